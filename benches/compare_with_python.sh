#!/usr/bin/env bash
# The design's Python pipeline and this crate on the same events in the same run.
#   benches/compare_with_python.sh EVENTS.jsonl[.gz] PATH/TO/design_pipeline.py [backtest options]
# Needs python3; pandas, scikit-learn and xgboost are installed into a throwaway venv if they are missing.
set -euo pipefail
events=$(realpath "$1") pipeline=$(realpath "$2")
shift 2
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python=python3
if ! python3 -c 'import pandas, sklearn, xgboost' 2>/dev/null; then
  python3 -m venv "$work/venv"
  "$work/venv/bin/pip" install --quiet pandas scikit-learn xgboost
  python=$work/venv/bin/python
fi
cargo build --quiet --release --example backtest
"$python" "$pipeline" "$events" >"$work/python.json"
target/release/examples/backtest "$events" "$@" --json "$work/rust.json" >/dev/null
"$python" - "$work" <<'P'
import json, sys
python, rust = (json.load(open(f"{sys.argv[1]}/{name}.json")) for name in ("python", "rust"))
timing, scores = rust["timing"], rust["metrics"]
rows = [
    ("features, us an event (Python: 16, here: all, history and n-grams too)", python["features_us_per_event"], timing["features_us_per_event"]),
    ("training, s (here: four fits, evaluation and gate)", python["fit_s"], timing["fit_s"]),
    ("one prediction, us, p50 (Python: from a ready row, here: from the text)", python["predict_one_us_p50"], timing["predict_us_p50"]),
    ("one prediction, us, p99", python["predict_one_us_p99"], timing["predict_us_p99"]),
]
print(f"{'':72}{'Python':>12}{'here':>12}{'ratio':>9}")
for name, theirs, ours in rows:
    print(f"{name:72}{theirs:12.2f}{ours:12.2f}{theirs / ours:9.1f}")
for name in ("auc", "logloss"):
    print(f"{name + ' (each on its own split)':72}{python[name]:12.3f}{scores[name]:12.3f}")
P
