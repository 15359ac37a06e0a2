"""What models are made of."""

import json
import os

import numpy as np
import xgboost

# The first that knows the objective of quantiles, which older ones refuse.
if tuple(map(int, xgboost.__version__.split(".")[:2])) < (2, 0):
    raise ImportError(f"the model needs xgboost 2.0 or later, here is {xgboost.__version__}")


class Trees:
    def __init__(self, folder, spec):
        self.features = spec["features"]
        self.booster = xgboost.Booster(model_file=os.path.join(folder, spec["file"]))
        self.least = np.full(self.booster.num_features(), -np.inf, dtype=np.float32)
        self.greatest = -self.least
        for feature, least, greatest, *_ in json.loads(self.booster.attr("devmatrix_training_ranges") or "[]"):
            self.least[feature], self.greatest[feature] = least, greatest

    def margin(self, rows, *more):
        values = np.clip(np.hstack([rows.matrix(self.features), *more]), self.least, self.greatest)
        data = xgboost.DMatrix(values, missing=np.nan)
        return self.booster.predict(data, output_margin=True, validate_features=False).astype(np.float64)


class Ngrams:
    """Numbers the n-grams that are known, and weighs them (TF-IDF, of unit length together)."""

    def __init__(self, spec):
        self.buckets = np.array([bucket for bucket, _ in spec["weights"]], dtype=np.int64)
        self.weights = np.array([weight for _, weight in spec["weights"]], dtype=np.float32)

    def numbered(self, text):
        buckets, weights = text
        at = np.searchsorted(self.buckets, buckets)
        known = np.isin(buckets, self.buckets)
        values = weights[known] * self.weights[at[known]]
        return at[known], values / np.sqrt(total(values * values))


def total(values):
    """The sum in single precision, from the first to the last."""
    return np.cumsum(values, dtype=np.float32)[-1] if len(values) else np.float32(0)


class Linear:
    def __init__(self, spec, width):
        self.intercept, self.dense = spec["intercept"], np.array(spec["dense"])
        self.sparse = np.zeros(width)
        for number, weight in spec["sparse"]:
            self.sparse[number] = np.float32(weight)

    def wording(self, texts):
        """What n-grams add to the intercept."""
        return self.intercept + np.array([self.sparse[at] @ values.astype(np.float64) for at, values in texts])


class Similar:
    """Rows of n-grams, which tell how much of another they have."""

    def __init__(self, rows):
        self.shape, self.rows_of = len(rows), {}
        for row, (at, values) in enumerate(rows):
            for number, value in zip(at, values):
                self.rows_of.setdefault(number, ([], []))[0].append(row)
                self.rows_of[number][1].append(value)
        self.rows_of = {n: (np.array(r), np.array(v, dtype=np.float32)) for n, (r, v) in self.rows_of.items()}

    def products(self, at, values):
        found = np.zeros(self.shape)
        for number, value in zip(at.tolist(), values):
            if number in self.rows_of:
                rows, weights = self.rows_of[number]
                found[rows] += value * weights
        return found


def logit(p):
    p = np.clip(p, 1e-9, 1 - 1e-9)
    return np.log(p / (1 - p))


def sigmoid(x):
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1.0, e) / (1.0 + e)
