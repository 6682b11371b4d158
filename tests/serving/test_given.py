"""What callers give, as arrays."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from lepton_ai.bundle import Signature, TensorSpec, numpy_dtype
from lepton_ai.core import DataError, LeptonError, ShapeError, UnknownNameError
from lepton_ai.serving.given import as_feed

NUMBERS = ["BOOL", "UINT8", "INT8", "INT32", "INT64", "UINT64", "FP16", "FP32", "FP64"]


def sign(dtype: str, shape: tuple[int, ...] = (-1,)) -> Signature:
    return Signature(inputs=(TensorSpec(name="x", dtype=dtype, shape=shape),), outputs=())


def test_lists_take_the_model_s_dtype() -> None:
    assert as_feed(sign("UINT8"), {"x": [1, 255]})["x"].dtype == np.uint8
    assert as_feed(sign("FP16"), {"x": [1, 0.1]})["x"].dtype == np.float16
    assert as_feed(sign("FP32"), {"x": [float("nan"), float("inf")]})["x"].dtype == np.float32
    assert as_feed(sign("BOOL"), {"x": [True, False]})["x"].dtype == np.bool_
    assert as_feed(sign("FP32"), {"x": []})["x"].shape == (0,)
    assert as_feed(sign("FP32", ()), {"x": 7})["x"].shape == ()


def test_texts_may_be_of_any_kind() -> None:
    for texts in (["a", "ü"], np.array(["a", "ü"]), np.array(["a", "ü"], dtype=object), np.array([b"a", b"b"])):
        assert as_feed(sign("BYTES"), {"x": texts})["x"].shape == (2,)


def test_what_has_a_dtype_keeps_it() -> None:
    x = np.ones(3, "float32")
    assert as_feed(sign("FP32"), {"x": x})["x"] is x
    swapped = as_feed(sign("FP32"), {"x": x.astype(">f4")})["x"]
    assert swapped.dtype.isnative and np.array_equal(swapped, x)
    with pytest.raises(ShapeError, match='input .x.: got FP64, expected FP32. Convert it: array.astype."float32"'):
        as_feed(sign("FP32"), {"x": x.astype("float64")})


def test_bfloat16_of_another_package_is_taken() -> None:
    x = np.array([1, -2], "float32").astype(pytest.importorskip("ml_dtypes").bfloat16)
    assert as_feed(sign("BF16"), {"x": x})["x"].tobytes() == x.tobytes()


@pytest.mark.parametrize(
    ("dtype", "value", "kind", "said"),
    [
        ("UINT8", [1, 256], DataError, "input 'x': 256 does not fit UINT8"),
        ("UINT8", [-1], DataError, "input 'x': -1 does not fit UINT8"),
        ("INT8", [1000], DataError, "1000 does not fit INT8"),
        ("FP32", [1e39], DataError, "1e.39 does not fit FP32"),
        ("INT32", [1.5], ShapeError, "got FP64, expected INT32"),
        ("BOOL", [1], ShapeError, "got INT64, expected BOOL"),
        ("FP32", ["a"], ShapeError, "got BYTES, expected FP32"),
        ("FP32", [[1], [1, 2]], ShapeError, "the nested lists have different lengths"),
        ("FP32", None, ShapeError, "got object|got BYTES"),
    ],
)
def test_what_does_not_fit_is_said(dtype: str, value: object, kind: type[Exception], said: str) -> None:
    with pytest.raises(kind, match=said):
        as_feed(sign(dtype), {"x": value})


def test_names_are_checked() -> None:
    with pytest.raises(UnknownNameError, match="unknown input 'X'. Did you mean 'x'?"):
        as_feed(sign("FP32"), {"X": [1.0]})
    with pytest.raises(ShapeError, match="missing input 'x', expected 'x' as FP32"):
        as_feed(sign("FP32"), {})


@settings(max_examples=80, deadline=None)
@given(
    st.sampled_from(NUMBERS), npst.arrays(st.sampled_from(["?", "i1", "u2", "i8", "f8"]), npst.array_shapes(max_dims=2))
)
def test_a_list_becomes_what_it_says_or_an_error(dtype: str, values: npst.ArrayLike) -> None:
    array = np.asarray(values)
    try:
        found = as_feed(sign(dtype, (-1,) * array.ndim), {"x": array.tolist()})["x"]
    except LeptonError:
        return
    assert found.dtype == numpy_dtype(dtype) and found.shape == array.shape
    if array.dtype.kind in "bui" and found.dtype.kind in "bui":
        assert found.tolist() == array.tolist()
    else:
        assert np.array_equal(found, array.astype(found.dtype), equal_nan=True)
