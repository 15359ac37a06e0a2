#!/usr/bin/env bash
# Instructions of what is written by hand here beside those of linfa, on the same 5,000 rows, and how far apart the answers
# lie. Needs valgrind.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
target=${CARGO_TARGET_DIR:-$(cargo metadata --no-deps --format-version 1 | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')}
cargo test --quiet --release --locked --features linfa-estimators --lib --no-run
tests=$(ls -t "$target"/release/deps/devmatrix_ml-* | grep -v '\.' | head -1)
"$tests" against_linfa::answers --nocapture | grep apart
count() {
  DEVMATRIX_COMPARED=$1 valgrind --tool=callgrind --callgrind-out-file="$work/out" "$tests" --test-threads 1 \
    --exact ml::against_linfa::one_of_them_alone 2>&1 | sed -n 's/.*Collected : //p'
}
nothing=$(count none)
names=('logistic regression' 'isotonic regression' 'Platt scaling' 'area under the ROC curve')
for i in "${!names[@]}"; do
  here=$(count $((2 * i))) linfa=$(count $((2 * i + 1)))
  printf '%s: %s million instructions here, %s of linfa\n' "${names[$i]}" $(((here - nothing) / 1000000)) $(((linfa - nothing) / 1000000))
done
