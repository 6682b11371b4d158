from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from lepton_ai.core import DataError, ShapeError
from lepton_ai.data import as_array, to_tensor


@pytest.mark.parametrize(
    ("numpy_dtype", "torch_dtype"),
    [
        ("float64", torch.float32),
        ("float32", torch.float32),
        ("float16", torch.float32),
        ("longdouble", torch.float32),
        (">f4", torch.float32),
        ("uint8", torch.uint8),
        ("int32", torch.int32),
        ("int64", torch.int64),
        ("uint16", torch.int32),
        ("uint32", torch.int64),
        ("uint64", torch.int64),
        ("bool", torch.bool),
    ],
)
def test_dtypes_keep_their_kind_and_values(numpy_dtype: str, torch_dtype: torch.dtype) -> None:
    array = np.array([[0, 1], [1, 0]]).astype(numpy_dtype)
    tensor = to_tensor(array, "x")
    assert tensor.dtype == torch_dtype
    assert tensor.tolist() == [[0, 1], [1, 0]]


def test_memory_is_shared_unless_the_dtype_changes() -> None:
    array = np.zeros((3, 2), np.float32)
    tensor = to_tensor(array, "x")
    array[1, 1] = 7
    assert tensor[1, 1] == 7


def test_a_read_only_array_is_shared_without_a_warning() -> None:
    array = np.arange(3, dtype=np.int64)
    array.flags.writeable = False
    assert to_tensor(array, "x").data_ptr() == array.ctypes.data


def test_reversed_and_masked_arrays_keep_their_meaning() -> None:
    assert to_tensor(np.arange(3)[::-1], "x").tolist() == [2, 1, 0]
    masked = np.ma.MaskedArray([1, 2, 3], mask=[False, True, False])
    assert torch.isnan(to_tensor(masked, "x")).tolist() == [False, True, False]
    assert to_tensor(np.ma.MaskedArray([1, 2]), "x").tolist() == [1, 2]


def test_tensors_lose_their_graph_and_their_doubles() -> None:
    tensor = to_tensor(torch.ones(2, dtype=torch.float64, requires_grad=True), "x")
    assert tensor.dtype == torch.float32
    assert not tensor.requires_grad
    assert to_tensor(torch.ones(2, dtype=torch.bfloat16), "x").dtype == torch.bfloat16


def test_none_among_numbers_is_a_missing_number() -> None:
    assert torch.isnan(to_tensor([1, None, 2.5], "x")).tolist() == [False, True, False]


class Odd:
    def toarray(self) -> None: ...


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (["1", "2"], DataError, "y: strings where numbers belong, the first '1' at row 0. If they are numbers"),
        (np.array([["a", "b"]], object), DataError, "strings where numbers belong, the first 'a' at row 0, column 0"),
        ([1, {"a": 2}], DataError, "dict objects where numbers belong, the first {'a': 2} at row 1"),
        ([[1, 2], [3]], ShapeError, "row 0 has 2, row 1 has 1. Pad or cut them"),
        (np.array([[1, 2], [3]], object), ShapeError, "row 0 has 2, row 1 has 1"),
        ([[[1], [2]], [[1], [2, 3]]], ShapeError, "rows of different shapes"),
        (np.array(["2020-01-01"], "datetime64[D]"), DataError, "dates or durations"),
        ([1j], DataError, "complex numbers"),
        (torch.ones(2, dtype=torch.complex64), DataError, "complex numbers"),
        (3.5, ShapeError, "one single number (3.5), expected an array with one row per sample"),
        (np.array([2**63], np.uint64), DataError, "too large for int64"),
        ([1e300, 1.0], DataError, "too large for float32, such as 1e+300"),
        (Odd(), DataError, "x.toarray()"),
        ({1, 2}, DataError, "a set has no order"),
        (np.array([b"ab"]), DataError, "strings where numbers belong"),
        (np.zeros(2, "V4"), DataError, "values of dtype |V4"),
        (pd.Series(["a", "b"], name="kind"), DataError, "the series 'kind' holds no numbers, the first 'a' in row 0"),
    ],
)
def test_what_holds_no_numbers_is_named(value: Any, kind: type[Exception], text: str) -> None:
    with pytest.raises(kind) as caught:
        to_tensor(value, "y")
    assert text in str(caught.value)
    assert str(caught.value).startswith("y: ")


def test_infinity_itself_is_not_an_overflow() -> None:
    assert torch.isinf(to_tensor([np.inf, 1.0], "x")).tolist() == [True, False]


def test_as_array_does_not_convert() -> None:
    array = np.ones(2)
    assert as_array(array, "x") is array
