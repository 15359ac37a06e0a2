"""Numeric targets: a historical baseline or an ordinal regression over the text, corrected by trees."""

import numpy as np

from .parts import Linear, Ngrams, Trees, sigmoid
from .rows import by_part
from .success import Tasks, matrix, solvers

ROUNDING = 1e-9  # the ends of intervals belong to them, whatever rounding does


class Number:
    def __init__(self, folder, spec):
        self.tried_by, self.code_by = spec["tried_by"], spec["code_by"]
        self.parts = []
        for regimes in filter(None, (spec["before"], spec["after"])):
            untried = Fitted(folder, spec, regimes["untried"])
            # Where there is nothing for tasks tried before, they are as others.
            self.parts += [untried, Fitted(folder, spec, regimes["tried"]) if regimes["tried"] else untried]

    def predict(self, rows):
        tried = rows[self.tried_by] > 0 if self.tried_by else np.zeros(len(rows), dtype=bool)
        code = ~np.isnan(rows.matrix(self.code_by)).all(axis=1)
        return by_part(rows, 2 * code + tried, self.parts, 5)


class Fitted:
    def __init__(self, folder, spec, part):
        self.scale, self.floor, self.range = spec["scale"], spec["floor"], spec["range"]
        self.part, self.ngrams = part, Ngrams(part["ngrams"])
        self.value, self.quantiles = Trees(folder, part["value"]), [Trees(folder, q) for q in part["quantiles"]]
        [(self.wording, fitted)] = part["wording"].items()
        if self.wording == "Linear":
            self.linear = Linear(fitted, len(self.ngrams.buckets))
        elif self.wording == "Solvers":
            self.solvers = Solvers(fitted)
        else:
            self.ordinal = Ordinal(fitted, len(self.ngrams.buckets), self.unit)

    def predict(self, rows):
        plain, rows = rows, rows.encoded(self.part["columns"]["columns"])
        start, trust = self.part["start"], self.part["trust"]
        texts = [self.ngrams.numbered(text) for text in rows.texts]
        correction = self.value.margin(rows)
        if self.wording == "Linear":
            past = self.expected(rows) + self.linear.wording(texts)
            ends = np.array([past + trees.margin(rows) for trees in self.quantiles])
        elif self.wording == "Solvers":
            level, effect, spread = self.solvers.guess(plain, texts, self.expected(rows, np.nan))
            past, tails = level + effect, [0.5 * (1 - p) for p in self.part["probabilities"]]
            margin = start + trust[0] * (past - start) + trust[1] * correction
            levels = [level for tail in tails for level in (tail, 1 - tail)]
            ends = np.array([margin + spread * self.solvers.residual(level) for level in levels])
        else:
            found = np.array([self.ordinal.intervals(text, self.part["probabilities"]) for text in texts])
            past, ends = found[:, 0], found[:, 1:].T + trust[1] * correction
        margin = start + trust[0] * (past - start) + trust[1] * correction
        return np.column_stack([self.number(margin), *self.intervals(ends, margin)])

    def intervals(self, ends, margin):
        """Lower and upper ends of the intervals of 80 and 90 %, which hold the margin, the wider the narrower."""
        lower, upper = nested(np.minimum(ends[::2], ends[1::2]), np.maximum(ends[::2], ends[1::2]))
        if self.part["widenings"]:
            half, middle = 0.5 * (upper - lower), lower + 0.5 * (upper - lower)
            half = np.maximum(half + np.array(self.part["widenings"])[:, None], 0.0)
            lower, upper = middle - half, middle + half
        lower, upper = nested(np.minimum(lower, margin), np.maximum(upper, margin))
        lower, upper = self.number(lower - ROUNDING), self.number(upper + ROUNDING)
        return lower[0], upper[0], lower[1], upper[1]

    def expected(self, rows, missing=None):
        value = rows[self.part["expected"]]
        raw = value if self.part["expected_is_raw"] else np.log1p(np.fmax(value, 0.0))
        return np.nan_to_num(raw, nan=self.part["start"] if missing is None else missing)

    def unit(self, raw):
        if self.scale == "relative":
            return np.where(raw <= np.log(self.floor), 0.0, np.exp(np.minimum(raw, 50.0)))
        return np.expm1(np.minimum(raw, 50.0)) if self.scale == "log" else raw

    def number(self, raw):
        return np.clip(self.unit(raw), *self.range)


def nested(lower, upper):
    return np.minimum.accumulate(lower), np.maximum.accumulate(upper)


class Solvers:
    """What each agent takes with its LLM, and how much a new task takes by similar ones."""

    def __init__(self, spec):
        self.spec, self.tasks = spec, Tasks(spec)
        self.known = {(known["agent"], known["model"]): known for known in spec["solvers"]}

    def guess(self, rows, texts, expected):
        nearest, columns = self.spec["nearest"], self.tasks.own(rows)
        values = (rows[nearest["name"]].astype(np.float64) - nearest["mean"]) * nearest["factor"]
        values = np.nan_to_num(np.clip(values, -4.0, 4.0), nan=0.0).astype(np.float32)
        numbers = np.column_stack([columns[0], values]).astype(np.float32)
        inputs = zip(texts, matrix(rows, self.tasks.groups), numbers, columns[1], np.zeros((len(rows), 0)))
        effects, found = [self.tasks.guess(*row)[0] for row in inputs], []
        for solver, effect, past in zip(solvers(rows, self.spec["solver_by"]), effects, expected):
            known = self.known.get(solver, self.spec["unknown"])
            level = known["level"] if solver in self.known or np.isnan(past) else past
            found.append((level, known["slope"] * effect, known["spread"]))
        return np.array(found).T

    def residual(self, level):
        residuals = np.array(self.spec["residuals"])
        return np.interp(level * (len(residuals) - 1), np.arange(len(residuals)), residuals)


class Ordinal:
    """The distribution of a value: that of past labels, mixed with a cumulative logit model over n-grams."""

    def __init__(self, spec, width, unit):
        regression, self.share = spec["regression"], spec["past_share"]
        self.values, self.past = np.array(spec["values"]), np.array(spec["past"])
        self.cuts, self.units = np.array(regression["cuts"]), unit(self.values)
        self.weights = np.zeros(width)
        for number, weight in regression["weights"]:
            self.weights[number] = np.float32(weight)

    def intervals(self, text, probabilities):
        """The median, then the ends of the narrowest interval of each probability."""
        at, values = text
        cumulative = np.append(sigmoid(self.cuts - self.weights[at] @ values.astype(np.float64)), 1.0)
        cumulative = self.share * self.past + (1.0 - self.share) * cumulative
        last = len(self.values) - 1
        median = self.values[min(np.searchsorted(cumulative, 0.5 - ROUNDING), last)]
        return [median, *(end for p in probabilities for end in self.narrowest(cumulative, p))]

    def narrowest(self, cumulative, probability):
        last, below, high = len(self.values) - 1, 0.0, 0
        best, width, held_most = (0, last), self.units[last] - self.units[0], 0.0
        for low in range(last + 1):
            high = max(high, low)
            while high < last and cumulative[high] - below < probability - ROUNDING:
                high += 1
            held, wide = cumulative[high] - below, self.units[high] - self.units[low]
            narrower = wide < width - ROUNDING or (wide < width + ROUNDING and held > held_most)
            if held >= probability - ROUNDING and narrower:
                best, width, held_most = (low, high), wide, held
            below = cumulative[low]
        return self.values[best[0]], self.values[best[1]]
