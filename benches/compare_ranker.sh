#!/usr/bin/env bash
# LambdaRank here and LightGBM's on the same rows in the same run, over the same seeds: LightGBM with its
# own defaults, and with the parameters that are the defaults here.
#   benches/compare_ranker.sh DIRECTORY [SEEDS]
# The directory holds rank.train and rank.test, each with .query beside it: examples/lambdarank of
# https://github.com/microsoft/LightGBM. Needs python3; lightgbm and scikit-learn are installed into a
# throwaway venv if they are missing.
set -euo pipefail
data=$(realpath "$1") seeds=${2:-5}
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python=python3
if ! python3 -c 'import lightgbm, sklearn' 2>/dev/null; then
  python3 -m venv "$work/venv"
  "$work/venv/bin/pip" install --quiet lightgbm scikit-learn
  python=$work/venv/bin/python
fi
cargo build --quiet --release --example rank
for seed in $(seq "$seeds"); do
  target/release/examples/rank "$data/rank.train" --test "$data/rank.test" \
    --params "{\"seed\": $seed}" --scores "$work/$seed" >/dev/null
done
"$python" - "$data" "$work" "$seeds" <<'P'
import sys
import lightgbm, numpy as np
from sklearn.datasets import load_svmlight_file
from sklearn.metrics import ndcg_score
data, work, seeds = sys.argv[1], sys.argv[2], range(1, int(sys.argv[3]) + 1)
places = (1, 3, 5, 10)

def load(name):
    rows, labels = load_svmlight_file(f"{data}/{name}", n_features=301, zero_based=True)
    return rows.toarray(), labels, np.loadtxt(f"{data}/{name}.query", dtype=int)

def ndcg(scores):
    """One row a group with a relevant row."""
    ends = np.cumsum(groups)
    parts = [slice(end - size, end) for end, size in zip(ends, groups) if labels[end - size:end].any()]
    return np.array([[ndcg_score([2 ** labels[p] - 1], [scores[p]], k=k) for k in places] for p in parts])

def lightgbm_with(**params):
    def scores(seed):
        ranker = lightgbm.LGBMRanker(random_state=seed, n_jobs=1, verbose=-1, **params)
        return ranker.fit(*train[:2], group=train[2]).predict(rows)
    return np.array([ndcg(scores(seed)) for seed in seeds])

train, (rows, labels, groups) = load("rank.train"), load("rank.test")
here = np.array([ndcg(np.loadtxt(f"{work}/{seed}")) for seed in seeds])
same = lightgbm_with(
    n_estimators=200, learning_rate=0.03, num_leaves=31, max_depth=6, reg_lambda=1.0, min_child_samples=5,
    min_child_weight=1e-3, subsample=0.8, subsample_freq=1, colsample_bytree=0.5, lambdarank_truncation_level=10)
table = [("here", here), ("LightGBM, same parameters", same), ("LightGBM, its defaults", lightgbm_with())]
print(f"{'mean of NDCG at':28}" + "".join(f"{k:>9}" for k in places))
for name, found in table:
    print(f"{name:28}" + "".join(f"{v:9.4f}" for v in found.mean((0, 1))))
for name, found in table[1:]:
    by_group = (here - found).mean(0)
    error = by_group.std(0) / len(by_group) ** 0.5
    print(f"{'here - ' + name.split(', ')[1]:28}" + "".join(f"{v:+9.4f}" for v in by_group.mean(0)))
    print(f"{'  standard error':28}" + "".join(f"{v:9.4f}" for v in error))
P
