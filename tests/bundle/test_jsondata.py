"""Tensor data in JSON."""

import json
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lepton_ai.bundle import DTYPES, dtype_of, numpy_dtype
from lepton_ai.bundle.codec import Array
from lepton_ai.bundle.jsondata import check_finite, json_data, parse_data
from lepton_ai.core import DataError, RequestError, ShapeError

JSON_DTYPES = [name for name in DTYPES if name not in ("BYTES", "BF16", "FP16")]
ELEMENTS: dict[str, Any] = {"allow_nan": False, "allow_infinity": False}
ARRAYS = st.sampled_from(JSON_DTYPES).flatmap(
    lambda name: hnp.arrays(
        numpy_dtype(name),
        hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4),
        elements=ELEMENTS if name.startswith("FP") else None,
    )
)


@given(array=ARRAYS)
@settings(max_examples=100, deadline=None)
def test_what_is_printed_comes_back_bit_for_bit_flat_and_nested(array: Array) -> None:
    dtype = dtype_of(array)
    flat = orjson.dumps(json_data(array), option=orjson.OPT_SERIALIZE_NUMPY)
    back = parse_data(flat, dtype, array.shape)
    assert back.dtype == array.dtype and back.shape == array.shape and back.tobytes() == array.tobytes()
    if array.ndim and array.size:
        nested = parse_data(json.dumps(array.tolist()).encode(), dtype, array.shape)
        assert nested.tobytes() == array.tobytes()


@given(text=st.text(alphabet='[]{}0123456789.,-eE "ntruefals\\', max_size=40), dtype=st.sampled_from(DTYPES))
@settings(max_examples=100, deadline=None)
def test_any_text_is_an_array_or_a_clear_error(text: str, dtype: str) -> None:
    for shape in ([], [1], [2], [1, 2]):
        try:
            array = parse_data(text.encode(), dtype, shape)
        except (RequestError, ShapeError, DataError):
            continue
        assert array.shape == tuple(shape)


def test_null_is_a_gap() -> None:
    assert np.array_equal(parse_data(b"[1, null]", "FP64", [2]), [1, np.nan], equal_nan=True)


def test_strings_stay_strings() -> None:
    assert parse_data('["a", "é"]'.encode(), "BYTES", [2]).tolist() == ["a", "é"]


@pytest.mark.parametrize(
    ("text", "dtype", "shape", "error", "message"),
    [
        (b"[1, 2", "FP32", [2], RequestError, "input 'x': Input data was truncated"),
        (b"[1, NaN]", "FP32", [2], RequestError, "JSON has no NaN: write null, or send the tensor in binary."),
        (b'[1, "2"]', "FP32", [2], RequestError, "Expected `float | null`, got `str` - at `$[1]`"),
        (b"[1.5]", "INT32", [1], RequestError, "Expected `int`, got `float` - at `$[0]`"),
        (b"[null]", "INT32", [1], RequestError, "Expected `int`, got `null`"),
        (b"[1]", "BOOL", [1], RequestError, "Expected `bool`, got `int`"),
        (b"[1]", "BYTES", [1], RequestError, "Expected `str`, got `int`"),
        (b'["\xff"]', "BYTES", [1], RequestError, "can't decode byte 0xff"),
        (b"[" + b"9" * 5000 + b"]", "INT64", [1], RequestError, "Integer value out of range"),
        (b"[1]", "FP16", [1], RequestError, "FP16 data cannot travel as JSON. Send it with the binary"),
        (b"[256]", "UINT8", [1], DataError, "a number does not fit UINT8"),
        (b"[-1]", "UINT64", [1], DataError, "a number does not fit UINT64"),
        (b"[1e39]", "FP32", [1], RequestError, "Expected `float` < 3.4028235677973366e+38 - at `$[0]`"),
        (b"[1, 2, 3]", "FP32", [2], ShapeError, "got '3 elements', expected 2 for shape [2]"),
        (b"[[1, 2], [3]]", "FP32", [2, 2], ShapeError, "the nested lists have different lengths"),
        (b"[[1, 2], [3, 4]]", "FP32", [4, 1], ShapeError, "nested lists of shape [2, 2]', expected shape [4, 1]"),
        (b"[[[1]]]", "FP32", [1, 1], ShapeError, "nested 3 deep"),
        (b"[" * 500, "FP32", [1], ShapeError, "nested 64 deep"),
        (b"5", "FP32", [1], ShapeError, "nested 0 deep"),
    ],
)
def test_refusals(text: bytes, dtype: str, shape: list[int], error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        parse_data(text, dtype, shape, at="input 'x'")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "array",
    [np.array([np.nan]), np.array([np.inf], "float32"), np.zeros(1, "float16"), np.array([b"\xff"], dtype=object)],
)
def test_what_json_cannot_carry_says_to_ask_for_binary(array: Array) -> None:
    with pytest.raises(RequestError, match=r'Ask for binary data: "parameters": \{"binary_data_output": true\}'):
        json_data(array)
        check_finite(array)
