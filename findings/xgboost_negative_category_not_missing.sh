#!/usr/bin/env bash
# XGBoost 3.2.0: a negative category code at prediction. pandas codes a missing category as -1, and `DMatrix` takes it without a
# word: it is answered as a category that training never saw, by the side of "not in the set", while NaN takes the default side of
# each split. The two differ wherever training had missing categories.
# Expected: -1 as NaN (what pandas means by it), or an error. Seen: -1 as any unknown category.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf -- "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q --disable-pip-version-check 'xgboost-cpu==3.2.0' 'numpy<3' scipy
"$folder/env/bin/python" - <<'PY'
import numpy as np, xgboost as xgb
rng = np.random.default_rng(3)
x = np.floor(rng.random((4000, 1)) * 10)
y = np.where(x[:, 0] % 2 == 0, 0.0, 20.0)
missing = rng.random(4000) < 0.3
x[missing, 0], y[missing] = np.nan, 0.0
def matrix(values, label=None):
    return xgb.DMatrix(values, label, feature_types=["c"], enable_categorical=True)
model = xgb.train({"max_depth": 4, "eta": 0.5, "tree_method": "hist", "objective": "reg:squarederror"}, matrix(x, y), 40)
at = {code: float(model.predict(matrix(np.array([[code]])))[0]) for code in (np.nan, -1.0, 77.0)}
print("xgboost", xgb.__version__)
for code, answer in at.items():
    print(f"  code {code}: {answer:.2f}")
assert abs(at[-1.0] - at[77.0]) < 1e-6 and abs(at[-1.0] - list(at.values())[0]) > 5, "the behaviour has changed"
print("as described: -1 is an unknown category, not a missing value")
PY
