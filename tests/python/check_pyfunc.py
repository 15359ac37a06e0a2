"""check_pyfunc.py CASES: loads each model of the JSON file by `mlflow.pyfunc` and compares what it predicts with what
the crate does. Prints the largest difference of each; ends with an error where one is above 1e-9."""

import json
import os
import sys
import warnings

import mlflow
import numpy as np
import pandas as pd
import xgboost

TOLERANCE = 1e-9
LISTS = ["ngram_buckets", "ngram_weights"]


def some_booleans(frame, whole):
    return [name for name in whole if frame[name].isin([0, 1]).all()]


# What pandas makes of a host's rows: frame, columns of whole numbers alone, and all columns of numbers.
KINDS = {
    "int64": lambda frame, whole, _: frame.astype({name: "int64" for name in whole}),
    "int32": lambda frame, whole, _: frame.astype({name: "int32" for name in whole}),
    "bool": lambda frame, whole, _: frame.astype({name: "bool" for name in some_booleans(frame, whole)}),
    "boolean": lambda frame, whole, _: frame.astype({name: "boolean" for name in some_booleans(frame, whole)}),
    "Int64": lambda frame, whole, _: frame.astype({name: "Int64" for name in whole}),
    "Float64": lambda frame, _, numbers: frame.astype({name: "Float64" for name in numbers}),
    "object": lambda frame, _, numbers: frame.astype({name: object for name in numbers}).where(
        frame.notna() | frame.columns.isin(LISTS), None
    ),
}


def main(path):
    with open(path, encoding="utf-8") as file:
        cases = json.load(file)
    folder = os.path.dirname(path)
    frames = {}
    for case in cases["models"]:
        if case["rows"] not in frames:
            frames[case["rows"]] = read(os.path.join(folder, case["rows"]))
        check_model(case, frames[case["rows"]])
    for case in cases["trees"]:
        check_trees(case, frames[case["rows"]])
    for case in cases["calibrations"]:
        check_calibration(**case)


def read(path):
    frame = pd.read_json(path, lines=True, dtype=False, precise_float=True)
    numbers = frame.columns.difference(LISTS)
    return frame.astype({name: "float64" for name in numbers})


def check_model(case, frame):
    model = mlflow.pyfunc.load_model(case["uri"])
    columns = [column["name"] for column in model.metadata.signature.inputs.to_dict() if column["required"]]
    found = model.predict(frame)
    assert list(found.columns) == [column["name"] for column in model.metadata.signature.outputs.to_dict()]
    check(case["name"], found.to_numpy(), case["expected"])

    some = frame.iloc[::7]
    turned = model.predict(some[some.columns[::-1]])
    pd.testing.assert_frame_equal(turned, found.iloc[::7])
    single = model.predict(frame.iloc[[5]])
    pd.testing.assert_frame_equal(single, found.iloc[[5]])
    assert len(model.predict(frame.iloc[:0])) == 0

    # A column of whole numbers has no gaps.
    numbers = some.columns.difference(LISTS)
    present = some[numbers].notna().sum(axis=1)
    fullest = some[present == present.max()]
    whole = [name for name in numbers if (fullest[name] % 1 == 0).all()]
    assert whole, numbers
    for kind, as_pandas in KINDS.items():
        frame = as_pandas(fullest, whole, numbers)
        for predict in [model.predict, model._model_impl.predict]:
            expected = found.loc[fullest.index]
            pd.testing.assert_frame_equal(predict(frame), expected, obj=f"{case['name']} from {kind}")

    for name in [columns[0], columns[-1]]:
        for predict in [model.predict, model._model_impl.predict]:
            try:
                predict(some.drop(columns=name))
            except Exception as error:
                assert name in str(error), error
            else:
                raise AssertionError(f"{case['name']}: predicts without {name}")
    try:
        model.predict(some.assign(**{columns[0]: np.inf}))
    except ValueError as error:
        assert "not finite" in str(error), error
    else:
        raise AssertionError(f"{case['name']}: predicts of an infinite number")


def check_trees(case, frame):
    booster = xgboost.Booster()
    booster.load_model(case["file"])
    rows = frame.reindex(columns=case["features"]).to_numpy(dtype=np.float32)
    margins = booster.predict(xgboost.DMatrix(rows), output_margin=True)
    check(f"{case['name']} {os.path.basename(case['file'])}", margins, case["expected"])


def check_calibration(calibrator, margins, expected):
    from devmatrix_model_v2.success import calibrated  # which the models brought along

    name = calibrator if isinstance(calibrator, str) else list(calibrator)[0]
    check(f"calibration {name}", calibrated(calibrator, np.array(margins)), expected)


def check(name, found, expected):
    expected = np.array(expected)
    assert found.shape == expected.shape, (name, found.shape, expected.shape)
    differences = np.abs(found - expected)
    relative = differences / np.maximum(1.0, np.abs(expected))
    worst = np.unravel_index(np.argmax(relative), relative.shape)
    print(f"{name}: {len(expected)} rows, off by {differences.max():.1e} at most, {relative.max():.1e} relative")
    # Written so that NaN fails.
    assert relative.max() <= TOLERANCE, (
        f"{name}: {found[worst]} instead of {expected[worst]} at {worst}, {np.sum(~(relative <= TOLERANCE))} times off"
    )


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(sys.argv[1])
