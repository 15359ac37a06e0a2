#!/usr/bin/env bash
# MLflow 3.17.2: a pyfunc model whose signature has a column of type `double`, asked with a column of int64, which is what pandas makes
# of whole numbers without gaps. It is taken while all its values are 0 or 1, and refused once one of them is 2: a test on a small
# frame passes, and the same code fails on other rows.
# Expected: both taken (float64 holds every count), or both refused. Seen: 0 and 1 pass, 2 raises.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf -- "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q --disable-pip-version-check 'mlflow-skinny==3.17.2' pandas 'numpy<3'
MLFLOW_DISABLE_TELEMETRY=true "$folder/env/bin/python" - <<'PY'
import mlflow, pandas as pd
from mlflow.models.utils import _enforce_schema
from mlflow.types import ColSpec, Schema
schema = Schema([ColSpec("double", "count")])
def taken(values):
    try:
        return str(_enforce_schema(pd.DataFrame({"count": values}), schema)["count"].dtype)
    except mlflow.exceptions.MlflowException as error:
        return "refused: " + str(error)[:70]
answers = [taken([0, 1, 1]), taken([0, 1, 2]), taken([0.0, 1.0, 2.0])]
print("mlflow", mlflow.__version__, *answers, sep="\n  ")
assert answers[0] == answers[2] == "float64" and answers[1].startswith("refused"), "the behaviour has changed"
print("as described: integers pass for doubles while they are 0 or 1")
PY
