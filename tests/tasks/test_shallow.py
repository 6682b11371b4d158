"""LPNN: linear against closed form, dense, tables with gaps; the same answers from the bundle and over HTTP."""

import json
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lepton_ai.core import ConfigError, DataError, UnknownNameError, UsageError
from lepton_ai.models import LinearRegression, LogisticRegression, count_parameters
from lepton_ai.runtime import open_model
from lepton_ai.serving import Server
from lepton_ai.tasks import LPNN, Classes, Columns, Numbers, Vector

RNG = np.random.default_rng(0)
ROWS = 120
KINDS = np.arange(ROWS) % 3
POINTS = (RNG.normal(size=(ROWS, 4)) + KINDS[:, None]).astype(np.float32)
THREE = Classes(labels=("x", "y", "z"))
HELD_OUT = (POINTS[:30], KINDS[:30])


def frame() -> pd.DataFrame:
    """Numbers, one with a gap, one empty, one constant; codes, names with gaps, texts."""
    table = pd.DataFrame(
        {
            "size": RNG.normal(size=ROWS) + KINDS,
            "empty": np.nan,
            "constant": 1.0,
            "code": RNG.integers(1, 4, ROWS),
            "job": RNG.choice(["nurse", "clerk"], ROWS).astype(object),
            "note": [["a good day", "坏 天气", "so so"][kind] for kind in KINDS],
        }
    )
    table.loc[3, "size"] = np.nan
    table.loc[[4, 9], "job"] = None
    table.loc[5, "note"] = None
    return table


def columns(table: pd.DataFrame) -> Columns:
    return Columns.of(table, categories=("code",), texts=("note",))


def test_linear_classes_are_those_of_newton() -> None:
    model = LPNN(Vector(size=4), THREE, kind="linear").fit(POINTS, KINDS, validation_data=HELD_OUT)
    scaled = (POINTS - POINTS.mean(0)) / POINTS.std(0)
    assert np.allclose(model.predict(POINTS), LogisticRegression().fit(scaled, KINDS).predict_proba(scaled), atol=1e-5)
    assert model.chosen == "linear" and model.history is None
    assert set(model.measured) == {"validation accuracy", "validation log_loss"}
    assert model.classify(POINTS[:2]) == [THREE.labels[place] for place in model.predict(POINTS[:2]).argmax(1)]


def test_linear_numbers_are_least_squares_of_minimum_norm() -> None:
    x = np.concatenate([POINTS, POINTS], axis=1)  # each column twice: the normal equations are singular
    y = np.stack([POINTS @ [1.0, -2.0, 3.0, 0.5] + 7, KINDS], axis=1)
    model = LPNN(Vector(size=8), Numbers(count=2), kind="linear").fit(x, y, validation_data=(x, y))
    assert np.allclose(model.predict(x), LinearRegression().fit(x, y).predict(x), atol=1e-4)
    assert model.model is not None
    kernel = model.model.get_layer("answer").get_weights()[0]
    assert np.allclose(kernel[:4], kernel[4:], atol=1e-5)


def test_two_classes_and_one_that_never_comes() -> None:
    y = (KINDS > 0).astype(int)
    two = LPNN(Vector(size=4), Classes(labels=("no", "yes")), kind="linear").fit(POINTS, y)
    assert two.measured["validation accuracy"] > 0.6 and "validation roc_auc" in two.measured
    never = LPNN(Vector(size=4), Classes(labels=("no", "yes", "never")), kind="linear").fit(POINTS, y)
    assert never.predict(POINTS * 10)[:, 2].max() < 1e-8
    assert np.allclose(never.predict(POINTS)[:, :2], two.predict(POINTS), atol=1e-6)


def test_auto_keeps_the_better_on_the_rows_held_out() -> None:
    curved = (np.abs(POINTS[:, 0] - 1) > 1).astype(int)
    names = np.array(["inside", "outside"])[curved]
    model = LPNN(Vector(size=4), Classes.of(names)).fit(POINTS, names, epochs=60, verbose=0)
    assert model.candidates["dense"] < model.candidates["linear"] and model.chosen == "dense"
    line = LPNN(Vector(size=4), Numbers()).fit(POINTS, POINTS[:, 0] * 2 + 1, epochs=2, verbose=0)
    assert line.chosen == "linear" and line.measured["validation r2"] == pytest.approx(1.0)


def test_a_table_in_and_the_same_answers_out(tmp_path: Path) -> None:
    x = frame()
    spec = columns(x)
    assert spec == Columns(numbers=("size", "empty", "constant"), categories=("code", "job"), texts=("note",))
    model = LPNN(spec, THREE, parameters=5000, kind="dense").fit(x, KINDS, epochs=4, verbose=0)
    assert model.model is not None and count_parameters(model.model)[0] <= 5000
    model.evaluate(x, KINDS)
    bundle = model.export(tmp_path / "table.lepton")
    assert bundle.manifest.labels == ("x", "y", "z") and model.measured.items() <= bundle.manifest.metrics.items()
    assert all(each.shape == (-1, 1) for each in bundle.manifest.signature.inputs)

    new = pd.DataFrame({"note": ["一 good", None], "job": ["pilot", None], "code": [2.0, np.nan], "size": [np.nan, 1]})
    new["constant"], new["empty"] = 1, [None, 3]
    new["unused"] = "?"
    expected = model.predict(new)
    assert np.isfinite(expected).all()
    raw: dict[str, Any] = {
        "note": [["一 good"], [""]], "job": [["pilot"], [""]], "code": [["2"], [""]],
        "size": [[np.nan], [1.0]], "constant": [[1.0], [1.0]], "empty": [[np.nan], [3.0]],
    }  # fmt: skip
    feed = {k: np.array(v, "O" if isinstance(v[0][0], str) else "float32") for k, v in raw.items()}
    assert np.allclose(open_model(bundle).run(feed)["output"], expected, atol=1e-6)

    with Server.open(bundle.path, port=0) as server:
        tensors = [
            {"name": k, "shape": [2, 1], "datatype": "BYTES" if isinstance(v[0][0], str) else "FP32",
             "data": [None if each[0] != each[0] else each[0] for each in v]}
            for k, v in raw.items()
        ]  # fmt: skip
        request = urllib.request.Request(
            f"{server.url}/v2/models/table/infer", json.dumps({"inputs": tensors}).encode()
        )
        with urllib.request.urlopen(request) as response:
            answer = np.array(json.load(response)["outputs"][0]["data"]).reshape(2, 3)
    assert np.allclose(answer, expected, atol=1e-6)


@pytest.mark.parametrize(
    "spec", [Columns(categories=("job",)), Columns(texts=("note",)), Columns(numbers=("size",))], ids=str
)
def test_columns_of_one_kind(spec: Columns) -> None:
    model = LPNN(spec, Numbers(), kind="linear").fit(frame(), KINDS * 1.0)
    assert model.predict(frame()).shape == (ROWS, 1)


def test_serve_writes_what_is_not_written_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[Any] = []
    monkeypatch.setattr("lepton_ai.tasks.specified.serve", lambda path, **options: served.append((path, options)))
    written: list[Any] = []
    model = LPNN(Vector(size=4), THREE, kind="linear").fit(POINTS, KINDS)
    export = model.export

    def noted(path: Path, **options: Any) -> Any:
        written.append(path)
        return export(path, **options)

    monkeypatch.setattr(model, "export", noted)
    path = tmp_path / "points.lepton"
    model.serve(path, port=0)
    model.serve(path, port=0)
    assert served == [(path, {"host": "127.0.0.1", "port": 0})] * 2 and written == [path]
    model.fit(POINTS, KINDS)
    with pytest.raises(Exception, match="exists already"):
        model.serve(path)
    model.serve(path, overwrite=True)
    assert len(served) == 3


@pytest.mark.parametrize("kind, least", [("linear", 15), ("dense", 39), ("auto", 15)])
def test_a_budget_below_the_smallest_model(kind: Any, least: int) -> None:
    model = LPNN(Vector(size=4), THREE, parameters=14, kind=kind)
    with pytest.raises(ConfigError) as caught:
        model.fit(POINTS, KINDS)
    said = f"got 14, expected at least {least}, those of the smallest model for this specification"
    assert str(caught.value) == f"LPNN.parameters: {said}"
    model.parameters = least
    assert model.fit(POINTS, KINDS, epochs=1, verbose=0).model is not None


def test_mistakes() -> None:
    model = LPNN(Vector(size=4), THREE)
    for verb in (lambda: model.predict(POINTS), lambda: model.export("x"), lambda: model.evaluate(POINTS, KINDS)):
        with pytest.raises(UsageError, match=r"LPNN: \w+ was called before fit. Call fit\(x, y\) first."):
            verb()
    with pytest.raises(DataError, match="y: one class only: 'x' in every row. Add rows of the other classes."):
        model.fit(POINTS, KINDS * 0)
    with pytest.raises(DataError, match="different lengths: x has 120 rows, y has 119"):
        model.fit(POINTS, KINDS[:-1])
    with pytest.raises(DataError, match="different lengths"):
        model.fit(POINTS, KINDS, validation_data=(POINTS, KINDS[:5]))
    with pytest.raises(UnknownNameError, match="LPNN: unknown kind 'liner'. Did you mean 'linear'?"):
        LPNN(Vector(size=4), THREE, kind="liner")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"LPNN.outputs: got 'a', expected Classes"):
        LPNN(Vector(size=4), "a")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"LPNN.inputs: got Numbers\(count=1\), expected one of Vector, Columns"):
        LPNN(Numbers(), THREE)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="LPNN.parameters: got 0, expected a positive int"):
        LPNN(Vector(size=4), THREE, parameters=0)
    numbers = LPNN(Vector(size=4), Numbers(), kind="linear").fit(POINTS, KINDS * 1.0)
    with pytest.raises(UsageError, match="LPNN.classify: it answers with numbers, not classes"):
        numbers.classify(POINTS)


def test_a_class_of_one_row_is_no_obstacle() -> None:
    y = np.where(np.arange(ROWS) == 0, 2, KINDS % 2)
    assert LPNN(Vector(size=4), THREE, kind="linear").fit(POINTS, y).model is not None
