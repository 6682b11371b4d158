"""Golden pairs replayed."""

from pathlib import Path

import numpy as np
import pytest

from lepton_ai.bundle import Array, Bundle
from lepton_ai.core import BundleError
from lepton_ai.runtime import OnnxRuntime, open_model, replay_golden, time_rows, warm_up
from tests.contracts import graphs
from tests.contracts.bundles import write_bundle

X = np.array([[1, 2, 3], [4, 5, 6]], "float32")
DOUBLE = X * 2


def rows(folder: Path, double: Array) -> Bundle:
    golden = (({"x": X}, {"double": DOUBLE}), ({"x": X}, {"double": double}))
    sign, content = graphs.ROWS, graphs.rows_graph()
    return Bundle.open(write_bundle(folder / "b", sign=sign, graphs={"fp32": content}, golden=golden))


def test_the_largest_difference_is_told(tmp_path: Path) -> None:
    bundle = rows(tmp_path, DOUBLE * np.float32(1.00005))
    assert replay_golden(bundle, open_model(bundle)) == pytest.approx(5e-5, rel=0.01)


@pytest.mark.parametrize(
    ("double", "message"),
    [
        (DOUBLE + np.float32(0.04), "golden pair 1, output 'double': differs by 0.0"),
        (DOUBLE * np.float32(np.nan), "differs by inf"),
        (DOUBLE[:1], "got 'float32 of shape [2, 3]', expected float32 of shape [1, 3]"),
        (DOUBLE.astype("float64"), "expected float64 of shape [2, 3]"),
    ],
)
def test_what_differs_is_refused(tmp_path: Path, double: Array, message: str) -> None:
    bundle = rows(tmp_path, double)
    with pytest.raises(BundleError) as caught:
        replay_golden(bundle, open_model(bundle))
    assert message in str(caught.value)


def test_nan_equals_nan(tmp_path: Path) -> None:
    x = np.array([[-1, 1]], "float32")
    golden = (({"x": x}, {"y": np.array([[np.nan, 0]], "float32")}),)
    path = write_bundle(tmp_path / "b", sign=graphs.LOGARITHM, graphs={"fp32": graphs.logarithm_graph()}, golden=golden)
    bundle = Bundle.open(path)
    assert replay_golden(bundle, open_model(bundle)) == 0


def test_texts_must_be_equal(tmp_path: Path) -> None:
    for answer, fine in (("a", True), ("b", False)):
        golden = (({"text": np.array([["a"]], object)}, {"echo": np.array([[answer]], object)}),)
        path = write_bundle(tmp_path / answer, sign=graphs.TEXT, graphs={"fp32": graphs.text_graph()}, golden=golden)
        bundle = Bundle.open(path)
        if fine:
            assert replay_golden(bundle, open_model(bundle)) == 0
        else:
            with pytest.raises(BundleError, match="output 'echo': differs by inf"):
                replay_golden(bundle, open_model(bundle))


def test_warm_up_takes_any_signature(tmp_path: Path) -> None:
    for name, content in (
        ("text", graphs.text_graph()),
        ("half", graphs.half_graph()),
        ("fixed", graphs.fixed_graph()),
    ):
        (tmp_path / name).write_bytes(content)
        warm_up(OnnxRuntime(tmp_path / name, threads=1))


def test_rows_are_timed_where_a_model_has_rows(tmp_path: Path) -> None:
    for name, graph, timed in (("rows", graphs.rows_graph(), True), ("fixed", graphs.fixed_graph(), False)):
        (tmp_path / name).write_bytes(graph)
        seconds = time_rows(OnnxRuntime(tmp_path / name, threads=1), 8)
        assert (0 < seconds < 60) if timed else seconds == float("inf")
