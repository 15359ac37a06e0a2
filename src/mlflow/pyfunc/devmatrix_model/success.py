"""Success: historical log-odds, corrected by a model, with item response abilities; then calibrated."""

import numpy as np

from .parts import Linear, Ngrams, Similar, Trees, logit, sigmoid, total
from .rows import by_part

CLIP = 3.0  # standardised values are kept within so many deviations
ALIKE = 100  # held-out predictions that are looked up around one
Z_90 = 1.6448536269514722  # the normal quantile of a 90 % interval
NOT_KNOWN = 2**32 - 1  # the code of an agent or LLM that is missing


class Success:
    def __init__(self, folder, spec):
        self.seen_by = spec["seen_by"]
        self.parts = [Calibrated(folder, spec[key]) for key in ("new_task", "seen_task") if spec[key]]

    def predict(self, rows):
        seen = (rows[self.seen_by] > 0) & (len(self.parts) > 1)
        return by_part(rows, seen.astype(int), self.parts, 3)


class Calibrated:
    def __init__(self, folder, spec):
        self.past, self.share = Past(folder, spec["past"]), spec["ability_share"]
        self.ability = spec["ability"] and Ability(spec["ability"])
        self.rate = spec.get("rate")
        calibration = spec["calibration"]
        self.calibrator, reliability = calibration["calibrator"], calibration["reliability"]
        self.weight = reliability["weight"]
        self.predicted = np.array(reliability["predicted"], dtype=np.float32)
        self.successes = np.array([0] + reliability["successes"], dtype=np.float64)

    def predict(self, rows):
        p = calibrated(self.calibrator, self.margin(rows))
        return np.column_stack([p, *self.interval(p)])

    def margin(self, rows):
        if self.rate:
            return rate_margin(rows, self.rate)
        margin = self.past.margin(rows)
        if self.ability:
            margin = (1 - self.share) * margin + self.share * self.ability.margin(rows)
        return margin

    def interval(self, p):
        """The 90 % interval of the success rate of tasks predicted like these: around the prediction, as wide as a
        rate seen in as many outcomes as similar rows were held out (Wilson 1927), wider in the proportion in which
        their own rate is further off than chance (Birge 1932)."""
        rate, width = self.similar(p) if len(self.predicted) else (p, np.zeros(len(p)))
        n = np.maximum(width * self.weight, 1.0)
        excess = (rate - p) ** 2 / np.maximum(p * (1 - p) / n, np.finfo(np.float64).tiny)
        n = np.maximum(n / np.maximum(excess, 1.0), 1.0)
        centre = (p + Z_90**2 / (2 * n)) / (1 + Z_90**2 / n)
        half = Z_90 / (1 + Z_90**2 / n) * np.sqrt(p * (1 - p) / n + Z_90**2 / (4 * n * n))
        return np.clip(centre - half, 0, p), np.clip(centre + half, p, 1)

    def similar(self, p):
        """The success rate of the rows predicted closest to each, and their number: at least all that were
        predicted exactly so, which are in no order."""
        n = len(self.predicted)
        begin, end = self.equal(p.astype(np.float32))
        width = np.minimum(np.maximum(ALIKE, end - begin), n)
        begin = np.minimum(np.maximum((begin + end) // 2 - width // 2, 0), n - width)
        return (self.successes_before(begin + width) - self.successes_before(begin)) / width, width

    def equal(self, p):
        return np.searchsorted(self.predicted, p, "left"), np.searchsorted(self.predicted, p, "right")

    def successes_before(self, end):
        """Where rows were predicted the same, they share their successes evenly."""
        begin, after = self.equal(self.predicted[np.minimum(end, len(self.predicted) - 1)])
        share = np.where(end < len(self.predicted), (end - begin) / (after - begin), 1.0)
        return self.successes[begin] + share * (self.successes[after] - self.successes[begin])


def rate_margin(rows, spec):
    """The log-odds of the first rate that is known and has enough outcomes, 0 where none has."""
    margin, open_ = np.zeros(len(rows)), np.ones(len(rows), dtype=bool)
    for step in spec["steps"]:
        rate = np.asarray(rows[step["rate"]], dtype=np.float64)
        found = open_ & ~np.isnan(rate)
        if step["outcomes"]:
            found &= np.asarray(rows[step["outcomes"]], dtype=np.float64) >= spec["enough"]
        margin[found] = logit(rate[found])
        open_ &= ~found
    return margin


def calibrated(calibrator, margin):
    """Maps log-odds to a calibrated probability."""
    [(method, fitted)] = [(calibrator, {})] if isinstance(calibrator, str) else calibrator.items()
    if method == "Isotonic":
        return np.interp(margin, fitted["margins"], fitted["probabilities"])
    if method == "Beta":
        tail = np.log1p(np.exp(-np.abs(margin)))
        yes, no = np.minimum(margin, 0) - tail, np.maximum(margin, 0) + tail
        return sigmoid(fitted["a"] * yes + fitted["b"] * no + fitted["c"])
    if method not in ("Identity", "Temperature", "Platt"):
        raise ValueError(f"the calibration {method} is not known")
    return sigmoid(fitted.get("slope", 1.0) * margin + fitted.get("intercept", 0.0))


class Past:
    """An offset from the past's rates; ridge regression and trees correct it."""

    def __init__(self, folder, spec):
        self.base, self.steps, self.offset_share = (spec["offset"][key] for key in ("base", "steps", "share"))
        self.prior_column = spec["prior_column"]
        self.columns = spec["columns"]["columns"]
        self.scaler = Scaler(spec["dense"], spec["dense_kinds"], spec["scaler"])
        self.ngrams, self.trees, self.share = Ngrams(spec["ngrams"]), Trees(folder, spec["trees"]), spec["tree_share"]
        self.linear = Linear(spec["linear"], len(self.ngrams.buckets))

    def margin(self, rows):
        rows = rows.encoded(self.columns)

        def log_odds(name):
            return logit(np.nan_to_num(rows[name], nan=0.5))

        past = log_odds(self.base) + sum(log_odds(to) - log_odds(since) for to, since in self.steps)
        column = past.astype(np.float32)[:, None][:, : int(self.prior_column)]
        linear = self.linear.wording([self.ngrams.numbered(text) for text in rows.texts])
        linear += np.hstack([self.scaler.of(rows), column]).astype(np.float64) @ self.linear.dense
        corrections = (1 - self.share) * linear + self.share * self.trees.margin(rows, column)
        return self.offset_share * past + corrections


class Scaler:
    """Brings features to a common scale; what is missing is at the mean."""

    def __init__(self, names, kinds, spec):
        self.names, self.kinds = names, kinds
        self.means, scales = np.array(spec["means"]), np.array(spec["scales"])
        self.scales = np.where(scales > 0, scales, 1.0)

    def of(self, rows):
        straight = {"Rate": logit, "Count": lambda value: np.log1p(np.fmax(value, 0.0))}
        values = [straight.get(kind, lambda value: value)(rows[name]) for name, kind in zip(self.names, self.kinds)]
        values = np.array(values).reshape(len(self.names), len(rows)).T
        return np.nan_to_num(np.clip((values - self.means) * self.scales, -CLIP, CLIP), nan=0.0).astype(np.float32)


class Ability:
    """Item response: how able the agent is with its LLM, how hard the task looks (a Gaussian process)."""

    def __init__(self, spec):
        self.spec, self.ngrams, self.tasks = spec, Ngrams(spec["ngrams"]), Tasks(spec)
        self.solvers = {(agent, model): able for agent, model, able in spec["solvers"]}
        self.agents = dict(spec["agents"])
        self.shape = Scaler(spec["shape"], spec["shape_kinds"], spec["shape_scaler"])

    def margin(self, rows):
        base, of_able, of_hard = self.spec["link"]
        able, unsure = np.array([self.able(*solver) for solver in solvers(rows, self.spec["solver_by"])]).T
        groups, (columns, categories) = matrix(rows, self.tasks.groups), self.tasks.own(rows)
        likenesses = zip(rows.texts, groups, columns, categories, self.shape.of(rows))
        guessed = [self.tasks.guess(self.ngrams.numbered(text), *rest) for text, *rest in likenesses]
        hard, variance = np.array(guessed).T
        shrink = 1 / np.sqrt(1 + np.pi / 8 * (variance + unsure))
        middle = self.tasks.middle
        return base + shrink * (of_able * (self.spec["mean"] - middle + able) + of_hard * (middle - hard))

    def able(self, agent, model):
        """Over the average, and how unsure that is."""
        if (agent, model) in self.solvers:
            return self.solvers[agent, model], 0.0
        if agent in self.agents:
            new = self.spec["with_new_model"]
            return new["share"] * self.agents[agent], new["variance"]
        return 0.0, self.spec["new_agent"]["variance"]


def solvers(rows, names):
    """The codes of agent and LLM of each row."""
    return zip(*[np.nan_to_num(rows[name], nan=NOT_KNOWN).astype(np.int64).tolist() for name in names])


class Tasks:
    """A Gaussian process over tasks."""

    def __init__(self, spec):
        self.groups, self.columns, known = spec["groups"], spec["columns"]["columns"], spec["difficulty"]
        values, self.kernel = np.array(known["values"]), Kernel(known["hyperparameters"], known["rows"])
        covariance = self.kernel.covariance() + np.diag(np.array(known["variances"]) + self.kernel.noise)
        # By the factor L of LL': its condition is the root of the matrix's own.
        self.inverse = np.linalg.inv(np.linalg.cholesky(covariance))
        ones, known_values = self.inverse @ np.ones(len(values)), self.inverse @ values
        self.middle = ones @ known_values / (ones @ ones)
        self.weights = self.inverse.T @ (known_values - self.middle * ones)

    def own(self, rows):
        """The host's own columns: numbers on a common scale, 0 where missing, and codes of categories."""
        numbers = [column for column in self.columns if column["kind"] != "category"]
        table = matrix(rows, [column["name"] for column in numbers])
        means, scales = (np.array([column[key] for column in numbers]) for key in ("mean", "scale"))
        scaled = np.nan_to_num(np.clip((table - means) * scales, -4.0, 4.0), nan=0.0).astype(np.float32)
        return scaled, matrix(rows, [column["name"] for column in self.columns if column["kind"] == "category"])

    def guess(self, *row):
        similar = self.kernel.with_all(*row)
        told = self.inverse @ similar
        left = self.kernel.with_itself(*row) - told @ told
        return self.middle + similar @ self.weights, max(left, 0.0) + self.kernel.noise


def matrix(rows, names):
    """Features in double precision, one column each."""
    return np.array([rows[name] for name in names]).reshape(len(names), len(rows)).T


class Kernel:
    """The covariance of rows: the cosine of their texts, shared groups, products of columns, nearness of shapes."""

    def __init__(self, parameters, rows):
        self.text, self.groups, self.noise = parameters["text"], np.array(parameters["groups"]), parameters["noise"]
        self.columns, self.shape, self.length = (parameters[key] for key in ("columns", "shape", "length"))
        pairs = [row["text"] for row in rows]
        self.texts = [(np.array(at), np.array(values, dtype=np.float32)) for at, values in pairs]
        self.similar = Similar([(at.tolist(), values) for at, values in self.texts])

        def part(key):
            values = [[np.nan if value is None else value for value in row[key]] for row in rows]
            return np.array(values, dtype=np.float64).reshape(len(rows), len(rows[0][key]))

        self.rows = [part(key) for key in ("groups", "columns", "categories", "shape")]

    def covariance(self):
        return np.array([self.with_all(*row) for row in zip(self.texts, *self.rows)])

    def with_all(self, text, groups, columns, categories, shape):
        row_groups, row_columns, row_categories, row_shapes = self.rows
        found = self.text * self.similar.products(*text)
        if len(self.groups):
            found += (row_groups == groups) @ self.groups
        if count := len(columns) + len(categories):
            found += self.columns * (row_columns @ columns + (row_categories == categories).sum(axis=1)) / count
        if row_shapes.shape[1]:
            apart = (row_shapes - shape).astype(np.float32).astype(np.float64)
            found += self.shape * np.exp(-0.5 * np.mean(apart**2, axis=1) / self.length**2)
        return found

    def with_itself(self, text, groups, columns, categories, shape):
        # A number of Python's times one of single precision is of single precision.
        found = self.text * float(total(text[1] * text[1])) + np.sum(self.groups[~np.isnan(groups)])
        if count := len(columns) + len(categories):
            known = (~np.isnan(categories)).sum()
            found += self.columns * (np.sum(columns.astype(np.float64) ** 2) + known) / count
        return found + (self.shape if len(shape) else 0.0)
