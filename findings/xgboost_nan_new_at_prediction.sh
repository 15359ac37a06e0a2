#!/usr/bin/env bash
# XGBoost 3.2.0: a column that never had a missing value in training, missing at prediction. The two tree methods of one
# library, on the same data with the same splits, send it to opposite sides: `hist` to the right child, `exact` to the left.
# So the tree method, chosen for speed, decides what an unknown means in production.
# Seen (label = x > .5): hist answers as for large x, exact as for small x.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf -- "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q --disable-pip-version-check 'xgboost-cpu==3.2.0' 'numpy<3' scipy
"$folder/env/bin/python" - <<'PY'
import numpy as np, xgboost as xgb
rng = np.random.default_rng(3)
x = rng.random((2000, 1))
y = (x[:, 0] > 0.5).astype(float)
answers = {}
for method in ("hist", "exact"):
    model = xgb.train({"max_depth": 1, "eta": 1.0, "lambda": 0.0, "tree_method": method, "objective": "reg:squarederror"}, xgb.DMatrix(x, y), 1)
    answers[method] = float(model.predict(xgb.DMatrix(np.array([[np.nan]])))[0])
print("xgboost", xgb.__version__, answers)
assert answers["hist"] > 0.9 and answers["exact"] < 0.1, "the behaviour has changed"
print("as described: a missing value that training never saw goes right with hist and left with exact")
PY
