#!/usr/bin/env python3
"""Models by Python's xgboost and lightgbm, and what these say of this crate's.

foreign_models.py train FOLDER    trains models and writes them with rows and their own predictions
foreign_models.py verify FOLDER   compares what this crate exported into FOLDER with its predictions
foreign_models.py small FOLDER    trains the small models that the tests carry (tests/external)
"""

import sys
from pathlib import Path

import numpy as np
import xgboost as xgb

try:
    import lightgbm as lgb
except ImportError:  # which verifying does not need
    lgb = None

ROWS = 100_000
LEARNT = 5_000
# Names of this crate's features; the last two are categories.
NAMES = [
    "agent_past_performance",
    "task_description_length",
    "temperature",
    "num_technical_terms",
    "agent_type_encoded",
    "model_used_encoded",
]
CATEGORIES = [4, 5]
TYPES = ["c" if i in CATEGORIES else "float" for i in range(len(NAMES))]


def rows(n, seed, more=1.0):
    """A tenth of all values missing; `more` above one brings categories that were not learnt."""
    r = np.random.default_rng(seed)
    x = np.column_stack([
        r.random(n),
        np.floor(r.random(n) * 1e6),
        (r.random(n) - 0.5) * 1e-6,
        np.floor(r.random(n) * 20),
        np.floor(r.random(n) * 10 * more),
        np.floor(r.random(n) * 100 * more),
    ]).astype(np.float32)
    x[r.random(x.shape) < 0.1] = np.nan
    if more > 1:
        # No category has such a code.
        x[::40, 4], x[1::40, 5], x[2::40, 4] = -1, -3, 5000
    return x


def labels(x, seed):
    r = np.random.default_rng(seed)
    z = np.nan_to_num(x)
    odds = 3 * z[:, 0] - 1.5 + np.where(z[:, 4] % 3 == 1, 1.0, -0.5) + np.where(z[:, 5] % 2 == 0, 0.7, -0.7)
    return odds + 0.3 * r.standard_normal(len(x)), (r.random(len(x)) < 1 / (1 + np.exp(-odds))).astype(float)


def with_xgboost(x, y, objective, rounds, **more):
    data = xgb.DMatrix(x, label=y, feature_names=NAMES, feature_types=TYPES, enable_categorical=True)
    params = {"objective": objective, "max_depth": 6, "eta": 0.1, "nthread": 2, "seed": 1} | more
    return xgb.train(params, data, rounds)


def with_lightgbm(x, y, objective, rounds, **more):
    data = lgb.Dataset(x, y, feature_name=NAMES, categorical_feature=CATEGORIES)
    params = {"objective": objective, "learning_rate": 0.1, "num_threads": 2, "seed": 1, "verbosity": -1} | more
    return lgb.train(params, data, rounds)


def write(folder, x, models):
    """Models in every format of theirs, and what they predict of the rows."""
    x.tofile(folder / "rows.f32")
    for name, model in models:
        if isinstance(model, lgb.Booster):
            said, endings = model.predict(x), ["txt"]
        else:
            data = xgb.DMatrix(x, feature_names=NAMES, feature_types=TYPES, enable_categorical=True)
            said, endings = model.predict(data), ["json", "ubj"]
        for ending in endings:
            model.save_model(folder / f"{name}.{ending}")
            said.astype(np.float64).tofile(folder / f"{name}.{ending}.f64")


def train(folder, rounds=200, learnt=LEARNT, unseen=ROWS, **size):
    x = rows(learnt, 1)
    amount, success = labels(x, 3)
    amount = np.exp(2 + 0.5 * amount)
    objectives = [
        ("logistic", success, "binary:logistic", "binary"),
        ("squared", amount, "reg:squarederror", "regression"),
        ("absolute", amount, "reg:absoluteerror", "regression_l1"),
        ("logged", amount, "reg:gamma", "poisson"),
    ]
    models = []
    for name, y, theirs, its in objectives[: size.pop("objectives", 4)]:
        models.append((f"xgboost-{name}", with_xgboost(x, y, theirs, rounds, **size)))
        models.append((f"lightgbm-{name}", with_lightgbm(x, y, its, rounds, **size)))
    models.append(("lightgbm-one-leaf", one_leaf(x, amount)))
    write(folder, rows(unseen, 2, more=1.3), models)


def one_leaf(x, y):
    """A model whose first tree found no split, with the one feature that it might look at."""
    by_chance = {"feature_fraction": 1 / len(NAMES), "min_gain_to_split": 1000, "num_leaves": 3}
    for seed in range(100):
        model = with_lightgbm(x, y, "regression", 20, seed=seed, **by_chance)
        sizes = [tree["num_leaves"] for tree in model.dump_model()["tree_info"]]
        if sizes[0] == 1 and max(sizes) > 1:
            return model
    raise AssertionError("every first tree found a split")


def verify(folder):
    """Every exported model, by XGBoost itself."""
    exported = sorted(folder.glob("exported-*.ubj"))
    if not exported:
        sys.exit(f"nothing was exported into {folder}")
    x = np.fromfile(folder / "rows.f32", np.float32).reshape(-1, len(NAMES))
    failed = False
    for path in exported:
        model = xgb.Booster(model_file=path)
        types = model.feature_types or TYPES
        theirs = model.predict(xgb.DMatrix(x, feature_types=types, enable_categorical=True), validate_features=False)
        ours = np.fromfile(path.with_suffix(".f64"), np.float64)
        off = float(np.max(np.abs(theirs - ours) / np.maximum(1, np.abs(ours))))
        print(f"{path.name}: {len(x)} rows, farthest off by {off:.2e} in XGBoost {xgb.__version__}")
        failed |= not off <= 1e-6
    sys.exit(1 if failed else 0)


def small(folder):
    train(folder, rounds=5, learnt=2_000, unseen=100, objectives=2, max_depth=3)


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in ("train", "verify", "small"):
        sys.exit(__doc__)
    {"train": train, "verify": verify, "small": small}[sys.argv[1]](Path(sys.argv[2]))
