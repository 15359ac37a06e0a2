#!/usr/bin/env bash
# A model saved by XGBoost 3.2.0 loads in 2.1.4 without an error or a warning and predicts something else: 3.x writes base_score
# as a list of strings' numbers ("[...]"), which the older reader does not take as a number.
# Expected: an error, or equal predictions. Seen: both load; the margins differ by the logit of the base score.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf -- "$folder"' EXIT
for version in 3.2.0 2.1.4; do
  python3 -m venv "$folder/$version"
  "$folder/$version/bin/pip" install -q --disable-pip-version-check "xgboost-cpu==$version" 'numpy<3' scipy
done
cat >"$folder/train.py" <<'PY'
import json, sys, numpy as np, xgboost as xgb
rng = np.random.default_rng(5)
x = rng.random((2000, 2))
y = (rng.random(2000) < 0.05 + 0.1 * x[:, 0]).astype(float)
model = xgb.train({"max_depth": 2, "objective": "binary:logistic", "base_score": 0.1}, xgb.DMatrix(x, y), 5)
model.save_model(sys.argv[1])
PY
cat >"$folder/load.py" <<'PY'
import json, sys, numpy as np, xgboost as xgb
model = xgb.Booster(model_file=sys.argv[1])
print(json.dumps([xgb.__version__, float(model.predict(xgb.DMatrix(np.array([[0.3, 0.6]])))[0])]))
PY
"$folder/3.2.0/bin/python" "$folder/train.py" "$folder/model.json"
new=$("$folder/3.2.0/bin/python" "$folder/load.py" "$folder/model.json")
old=$("$folder/2.1.4/bin/python" "$folder/load.py" "$folder/model.json" 2>"$folder/stderr") || { echo "2.1.4 refuses the file: the behaviour has changed"; cat "$folder/stderr"; exit 1; }
grep -o '"base_score":"[^"]*"' "$folder/model.json"
echo "saved and loaded by $new"
echo "loaded by           $old"
python3 - "$new" "$old" <<'PY'
import json, sys
(_, a), (_, b) = map(json.loads, sys.argv[1:])
assert abs(a - b) > 0.05, "equal predictions: the behaviour has changed"
print("as described: no error, another probability")
PY
