"""What models look at."""

import numpy as np
import pandas as pd


class Rows:
    """Features in single precision, and n-grams as (buckets, weights)."""

    def __init__(self, places, table, texts):
        self.places, self.table, self.texts = places, table, texts

    @classmethod
    def read(cls, frame, columns, worded):
        wanted = columns + (["ngram_buckets", "ngram_weights"] if worded else [])
        if missing := [name for name in wanted if name not in frame.columns]:
            raise ValueError(f"the data lack the columns {missing}: give every feature, NaN where it is not known")
        if frame.columns.duplicated().any():
            raise ValueError("the data have two columns of one name")
        numbers = frame[columns].apply(number)
        table = numbers.to_numpy(dtype=np.float64, na_value=np.nan).astype(np.float32)
        if np.isinf(table).any():
            raise ValueError("the data hold a number that is not finite: give NaN where a value is not known")
        texts = list(map(ngrams, frame["ngram_buckets"], frame["ngram_weights"])) if worded else []
        return cls({name: place for place, name in enumerate(columns)}, table, texts)

    def __len__(self):
        return len(self.table)

    def __getitem__(self, name):
        """A feature, in double precision."""
        return self.matrix([name])[:, 0].astype(np.float64)

    def matrix(self, names):
        return self.table[:, [self.places[name] for name in names]]

    def encoded(self, columns):
        """The rows with categories of the host's own columns as a model's means."""
        table = self.table.copy()
        for column in columns:
            if column["kind"] == "category" and column["name"] in self.places:
                means = {int(code): mean for code, mean in column["means"].items()}
                place = self.places[column["name"]]
                known = ~np.isnan(table[:, place])
                table[known, place] = [means.get(int(code), column["mean"]) for code in table[known, place]]
        return Rows(self.places, table, self.texts)

    def only(self, which):
        texts = [self.texts[row] for row in np.flatnonzero(which)] if self.texts else []
        return Rows(self.places, self.table[which], texts)


def number(column):
    """A column as pandas may have it: with integers, booleans, or objects among which None or NA is not known."""
    if column.dtype == object:
        column = column.where(column.notna(), np.nan)
    return pd.to_numeric(column).astype("Float64" if pd.api.types.is_extension_array_dtype(column.dtype) else "float64")


def ngrams(buckets, weights):
    buckets, weights = np.asarray(buckets, dtype=np.int64), np.asarray(weights, dtype=np.float32)
    if buckets.ndim != 1 or buckets.shape != weights.shape or np.any(np.diff(buckets) <= 0):
        raise ValueError("ngram_buckets and ngram_weights must be lists of equal length, the buckets ascending")
    return buckets, weights


def by_part(rows, which, parts, width):
    """Each row's prediction by the part that `which` numbers."""
    found = np.empty((len(rows), width))
    for number, part in enumerate(parts):
        own = which == number
        if own.any():
            found[own] = part.predict(rows.only(own))
    return found
