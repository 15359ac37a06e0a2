#!/usr/bin/env bash
# Counts the instructions of the paths that run for every generation, by callgrind: one line `name count` each, which does not
# depend on what else the machine does.
#
#   benches/instructions.sh           prints the counts
#   benches/instructions.sh --check   and fails where one is above its budget in benches/instructions.budget
#   benches/instructions.sh --write   and writes budgets of a twentieth more than was counted
#
# Needs valgrind. The counts are of this machine's instructions and this compiler's: write the budgets anew with another.
set -euo pipefail
cd "$(dirname "$0")/.."
budget=benches/instructions.budget
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

command -v valgrind >/dev/null || { echo 'benches/instructions.sh needs valgrind: install it (apt-get install valgrind)' >&2; exit 1; }
program=${INSTRUCTIONS:-$(cargo bench --locked --quiet --no-run --bench instructions --message-format json |
  sed -n 's/.*"name":"instructions".*"executable":"\([^"]*\)".*/\1/p')}

"$program" train "$work/models" >&2
for name in features_event replay_generation predict_all predict_all_explained choose_20 choose_1000 \
  analyze_python_kb analyze_javascript_kb; do
  units=$(valgrind --tool=callgrind --collect-atstart=no --toggle-collect='instructions::counted*' \
    --callgrind-out-file="$work/profile" "$program" run "$work/models" "$name" 2>"$work/error") || { cat "$work/error" >&2; exit 1; }
  total=$(sed -n 's/^totals: *\([0-9]*\).*/\1/p' "$work/profile")
  [ "${total:-0}" -gt 0 ] || { echo "$name: nothing was counted" >&2; exit 1; }
  echo "$name $((total / units))"
done | tee "$work/counts"

case ${1:-} in
  --write) awk '{ printf "%s %d\n", $1, $2 * 1.05 }' "$work/counts" >$budget ;;
  --check)
    awk 'NR == FNR { most[$1] = $2; next }
      !($1 in most) { print $1 " has no budget"; bad = 1 }
      $2 > most[$1] { print $1 " takes " $2 " instructions, at most " most[$1] " are in its budget"; bad = 1 }
      END { exit bad }' $budget "$work/counts" >&2 ;;
esac
