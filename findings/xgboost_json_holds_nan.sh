#!/usr/bin/env bash
# XGBoost 2.1.4: the JSON that `save_model` writes is no JSON where a tree splits by categories: each such split has the threshold
# NaN, which no parser of the standard (RFC 8259) takes; Python's json does, so it goes unnoticed there. 3.2.0 writes a number.
# Expected: valid JSON from a file named .json. Seen: NaN in split_conditions with 2.1.4, none with 3.2.0.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf -- "$folder"' EXIT
cat >"$folder/train.py" <<'PY'
import json, sys, numpy as np, xgboost as xgb
rng = np.random.default_rng(3)
x = np.floor(rng.random((1000, 1)) * 10)
data = xgb.DMatrix(x, (x[:, 0] % 2).astype(float), feature_types=["c"], enable_categorical=True)
model = xgb.train({"max_depth": 2, "tree_method": "hist"}, data, 2)
model.save_model(sys.argv[1])
def refuse(constant):
    raise ValueError(f"{constant} is no JSON")
try:
    json.loads(open(sys.argv[1]).read(), parse_constant=refuse)
    print(xgb.__version__, "valid")
except ValueError as error:
    print(xgb.__version__, error)
PY
seen=
for version in 2.1.4 3.2.0; do
  python3 -m venv "$folder/$version"
  "$folder/$version/bin/pip" install -q --disable-pip-version-check "xgboost-cpu==$version" 'numpy<3' scipy
  seen+=$("$folder/$version/bin/python" "$folder/train.py" "$folder/$version.json" 2>/dev/null)$'\n'
done
echo "$seen"
[ "$seen" = $'2.1.4 NaN is no JSON\n3.2.0 valid\n' ] || { echo 'the behaviour has changed'; exit 1; }
echo 'as described: 2.1.4 writes NaN into its JSON'
