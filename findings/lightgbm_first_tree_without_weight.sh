#!/usr/bin/env bash
# LightGBM 4.7.0: a first tree that found no split (few features drawn, a high min_gain_to_split) is saved as one leaf with an empty
# `leaf_weight=`, though `leaf_value` and `leaf_count` have their one entry; a reader that takes an entry a leaf refuses the file,
# which LightGBM loads. Later rounds without a split leave no tree at all: 20 rounds give fewer trees, without an error.
# Expected: one weight for one leaf, and as many trees as rounds. Seen: neither.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf -- "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q --disable-pip-version-check 'lightgbm==4.7.0' 'numpy<3' scipy
"$folder/env/bin/python" - <<'PY'
import numpy as np, lightgbm as lgb
rng = np.random.default_rng(3)
x = rng.random((2000, 6))
y = 10 * x[:, 0] + rng.random(2000)
for seed in range(50):
    params = {"objective": "regression", "feature_fraction": 1 / 6, "min_gain_to_split": 500, "seed": seed, "verbosity": -1, "num_threads": 1}
    model = lgb.train(params, lgb.Dataset(x, y), 20)
    sizes = [tree["num_leaves"] for tree in model.dump_model()["tree_info"]]
    if sizes[0] == 1 and len(sizes) > 1:
        break
first = model.model_to_string().split("Tree=0\n")[1].split("\n\n")[0]
lines = dict(line.split("=", 1) for line in first.splitlines())
print("lightgbm", lgb.__version__, f"20 rounds, {len(sizes)} trees of {sizes} leaves; the first has", {k: lines[k] for k in ("num_leaves", "leaf_value", "leaf_weight", "leaf_count")})
assert sizes[0] == 1 and lines["leaf_weight"] == "" and lines["leaf_value"] and len(sizes) < 20 and 1 not in sizes[1:], "the behaviour has changed"
print("as described: one leaf without a weight, and rounds without a tree")
PY
