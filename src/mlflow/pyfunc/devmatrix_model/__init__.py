"""Predictions of a model of the Rust crate devmatrix-ml, for `mlflow.pyfunc.load_model`.

The crate wrote `model.json`, which FORMAT.md explains, and the trees in XGBoost's own format.

Input: a DataFrame with a column of numbers (floats, integers, booleans, also with gaps) for every name in the JSON's `columns`, NaN where a value is not known, and,
for all models but the template ranker, the description's n-grams as lists: `ngram_buckets` (ascending whole numbers)
and `ngram_weights`, both empty where there is no description. The order of the columns does not matter.

Output: a DataFrame with the columns that the JSON names in `output`, one row for each.

Arithmetic is in double precision but where the crate's is in single precision, so that both choose the same.
"""

import json
import os

import pandas as pd

from .number import Number
from .rows import Rows
from .success import Success
from .template import Template

FORMAT = 2


def _load_pyfunc(path):
    with open(os.path.join(path, "model.json"), encoding="utf-8") as file:
        spec = json.load(file)
    if spec["format"] != FORMAT:
        raise ValueError(f"the model has format {spec['format']}, this code reads {FORMAT}: load it with its own code")
    return Model(path, spec)


class Model:
    """What `mlflow.pyfunc` wraps."""

    def __init__(self, folder, spec):
        self.columns, self.worded, self.output = spec["columns"], spec["ngrams"], spec["output"]
        kinds = {"success": Success, "number": Number, "template": Template}
        self.model = kinds[spec["model"]["kind"]](folder, spec["model"])

    def predict(self, frame, params=None):
        rows = Rows.read(frame, self.columns, self.worded)
        return pd.DataFrame(self.model.predict(rows), columns=self.output, index=frame.index)
