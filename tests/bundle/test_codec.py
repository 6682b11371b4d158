"""Property tests of tensors as bytes, and the texts of what is refused."""

import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lepton_ai.bundle import DTYPES, decode_tensor, dtype_of, element_count, encode_tensor, numpy_dtype
from lepton_ai.bundle.codec import Array
from lepton_ai.core import DataError, ShapeError, UnknownNameError

SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
NUMBERS = st.sampled_from([name for name in DTYPES if name not in ("BYTES", "BF16")])
ARRAYS = NUMBERS.flatmap(lambda name: hnp.arrays(numpy_dtype(name), SHAPES))
FEW = settings(max_examples=80, deadline=None)


@given(array=ARRAYS)
@FEW
def test_numbers_come_back_bit_for_bit(array: Array) -> None:
    raw = encode_tensor(array)
    back = decode_tensor(raw, dtype_of(array), array.shape)
    assert back.dtype == array.dtype and back.shape == array.shape
    assert back.tobytes() == array.tobytes() and len(raw) == array.nbytes


@given(elements=st.lists(st.one_of(st.binary(max_size=9), st.text(max_size=9)), max_size=8))
@FEW
def test_bytes_come_back_as_bytes(elements: list[bytes | str]) -> None:
    array = np.empty(len(elements), dtype=object)
    array[:] = elements
    back = decode_tensor(encode_tensor(array), "BYTES", [len(elements)])
    assert back.tolist() == [e.encode() if isinstance(e, str) else e for e in elements]


@given(raw=st.binary(max_size=64), dtype=st.sampled_from(DTYPES), shape=st.lists(st.integers(-2, 2**62), max_size=10))
@FEW
def test_any_bytes_are_an_array_or_a_clear_error(raw: bytes, dtype: str, shape: list[int]) -> None:
    try:
        array = decode_tensor(raw, dtype, shape)
    except (ShapeError, DataError):
        return
    assert array.shape == tuple(shape) and encode_tensor(array) == raw


@given(raw=st.binary(max_size=40), count=st.integers(0, 5))
@FEW
def test_any_bytes_elements_are_exact_or_a_clear_error(raw: bytes, count: int) -> None:
    try:
        array = decode_tensor(raw, "BYTES", [count])
    except (ShapeError, DataError):
        return
    assert encode_tensor(array) == raw


def test_big_endian_and_strided_arrays_are_written_little_endian_row_major() -> None:
    array = np.arange(6, dtype=">i4").reshape(2, 3).T
    assert decode_tensor(encode_tensor(array), "INT32", [3, 2]).tolist() == [[0, 3], [1, 4], [2, 5]]


def test_bfloat16_keeps_its_bits() -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    given = np.array([[1.5, -2.0]], ml_dtypes.bfloat16)
    raw = encode_tensor(given)
    carried = decode_tensor(raw, "BF16", [1, 2])
    assert dtype_of(given) == dtype_of(carried) == "BF16" and encode_tensor(carried) == raw
    assert carried["bf16"].view(ml_dtypes.bfloat16).tolist() == [[1.5, -2.0]]
    assert dtype_of(np.concatenate([carried, carried])) == "BF16"


def test_numpy_strings_are_bytes() -> None:
    assert dtype_of(np.array(["ä"])) == "BYTES"
    assert decode_tensor(encode_tensor(np.array(["ä", "b"])), "BYTES", [2]).tolist() == ["ä".encode(), b"b"]


@pytest.mark.parametrize(
    ("raw", "dtype", "shape", "error", "text"),
    [
        (b"abc", "FP32", [1], ShapeError, "got '3 bytes', expected 4 bytes (FP32 of shape [1])"),
        (b"", "FP32", [-1, 2], ShapeError, "expected sizes of 0 or more"),
        (b"", "FP32", [1] * 9, ShapeError, "got '9 dimensions', expected at most 8"),
        (b"", "FP32", [2**32, 2**32, 0], ShapeError, "at most 1099511627776 elements"),
        (b"\x02", "BOOL", [1], DataError, "every byte of a BOOL tensor to be 0 or 1"),
        (struct.pack("<I", 9) + b"abc", "BYTES", [1], DataError, "element 0 claims 9 bytes, 3 are left"),
        (struct.pack("<I", 1) + b"abc", "BYTES", [1], ShapeError, "2 bytes are left over after 1 BYTES elements"),
        (struct.pack("<I", 3) + b"abc1", "BYTES", [2], DataError, "element 1 lies beyond the end"),
        (b"", "BYTES", [2], ShapeError, "expected at least 8 for 2 BYTES elements"),
        (b"123", "BF16", [2], ShapeError, "got '3 bytes', expected 4 bytes (BF16 of shape [2])"),
        (b"", "FP33", [0], UnknownNameError, "unknown dtype 'FP33'. Did you mean 'FP32'?"),
    ],
)  # fmt: skip
def test_refusals(raw: bytes, dtype: str, shape: list[int], error: type[Exception], text: str) -> None:
    with pytest.raises(error) as caught:
        decode_tensor(raw, dtype, shape, at="input 'x'")
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("array", "error", "text"),
    [
        (np.zeros(2, complex), ShapeError, "an array of complex128 has no counterpart"),
        (np.array([None], dtype=object), DataError, "expected elements of type str or bytes"),
    ],
)
def test_refused_arrays(array: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        encode_tensor(array)


def test_element_count() -> None:
    assert [element_count(shape) for shape in ([], [0, 5], [2, 3])] == [1, 0, 6]
