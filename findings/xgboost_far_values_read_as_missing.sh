#!/usr/bin/env bash
# XGBoost 3.2.0 (histogram trees): where a split only separates missing rows from present ones, its threshold is about twice the
# largest training value. A present value beyond that threshold is answered as if it were missing, so an ordinary counter that
# keeps growing after training flips from the one answer to the other without a warning.
# Expected: every present value goes with the present ones. Seen (x in 0..1 or missing; label 0 present, 20 missing): about 0 at
# x = 1.9 and about 20 at x = 2.1.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf -- "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q --disable-pip-version-check 'xgboost-cpu==3.2.0' 'numpy<3' scipy
"$folder/env/bin/python" - <<'PY'
import numpy as np, xgboost as xgb
rng = np.random.default_rng(7)
x = rng.random((4000, 1))
x[rng.random(4000) < 0.5, 0] = np.nan
y = np.where(np.isnan(x[:, 0]), 20.0, 0.0)
model = xgb.train({"max_depth": 2, "eta": 0.5, "tree_method": "hist", "objective": "reg:squarederror"}, xgb.DMatrix(x, y), 40)
at = {v: float(model.predict(xgb.DMatrix(np.array([[v]])))[0]) for v in (0.5, 1.9, 2.1, 300.0, np.nan)}
print("xgboost", xgb.__version__)
for value, answer in at.items():
    print(f"  x = {value}: {answer:.2f}")
assert abs(at[1.9]) < 1 and abs(at[2.1] - 20) < 1 and abs(at[300.0] - 20) < 1, "the behaviour has changed"
print("as described: beyond about twice the largest training value a present value is answered as a missing one")
PY
