from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from lepton_ai.core import DataError, ShapeError
from lepton_ai.data import Arrays, check_finite, check_lengths, check_source


@pytest.mark.parametrize(
    ("array", "text"),
    [
        (np.array([1.0, np.nan, np.inf, np.nan]), "x: 2 NaN and 1 infinite in 3 of 4 rows, the first in row 1. Remove"),
        (torch.tensor([[0.0, 1.0], [0.0, -torch.inf]]), "x: 1 infinite in 1 of 2 rows, the first in row 1, column 1."),
        (np.full((2, 2, 2), np.nan, np.float16), "x: 8 NaN in 2 of 2 rows, the first in row 0, at (0, 0)."),
        ({"a": np.ones(2), "b": np.array([1, np.nan])}, "x['b']: 1 NaN in 1 of 2 rows"),
        ((np.ones(2), [np.nan, 1]), "x[1]: 1 NaN in 1 of 2 rows, the first in row 0."),
        (pd.DataFrame({"a": [1.0, None]}), "x: 1 NaN in 1 of 2 rows, the first in row 1, column 0."),
    ],
)
def test_what_is_not_finite_is_counted_and_placed(array: Any, text: str) -> None:
    with pytest.raises(DataError) as caught:
        check_finite(array)
    assert text in str(caught.value)


def test_columns_are_called_by_name() -> None:
    with pytest.raises(DataError, match=r"row 0, column 1 \('pay'\)"):
        check_finite(np.array([[1.0, np.nan]]), names=["age", "pay"])


def test_targets_cannot_be_filled() -> None:
    with pytest.raises(DataError, match=r"^y: 1 NaN in 1 of 1 rows, the first in row 0. Remove those rows.$"):
        check_finite(np.array([np.nan]), "y")


def test_gaps_may_be_allowed_but_not_infinity() -> None:
    check_finite(np.array([1.0, np.nan]), "x", True)
    with pytest.raises(DataError, match=r"x: 1 infinite in 1 of 3 rows, the first in row 2"):
        check_finite(np.array([1.0, np.nan, np.inf]), "x", allow_nan=True)


def test_finite_data_passes_even_where_its_sum_overflows() -> None:
    check_finite(np.full(10, np.finfo(np.float32).max, np.float32))
    check_finite(np.arange(3))
    check_finite(np.empty((0, 3)))
    read_only = np.ones(3, np.float32)
    read_only.flags.writeable = False
    check_finite(read_only)


@pytest.mark.parametrize(
    ("arrays", "kind", "text"),
    [
        ((torch.ones(3), torch.ones(2)), DataError, "different lengths: x has 3 rows, y has 2. Give one target"),
        (({"a": torch.ones(3), "b": torch.ones(2)}, None), DataError, "x['a'] has 3 rows, x['b'] has 2"),
        ((torch.ones(3), None, torch.ones(4)), DataError, "x has 3 rows, sample_weight has 4"),
        ((torch.ones(0, 4), torch.ones(0)), DataError, "x: empty data: 0 rows"),
        (((), None), DataError, "x: empty data: no arrays"),
        ((torch.ones(3, 0), None), ShapeError, "x: rows without values, got (3, 0)"),
    ],
)
def test_lengths(arrays: tuple[Any, ...], kind: type[Exception], text: str) -> None:
    with pytest.raises(kind) as caught:
        check_lengths(*arrays)
    assert text in str(caught.value)


def test_a_source_is_checked_whole() -> None:
    check_source(Arrays([1.0, np.nan], [0, 1]), allow_nan=True)
    with pytest.raises(DataError, match="^x: 1 NaN"):
        check_source(Arrays([1.0, np.nan], [0, 1]))
    with pytest.raises(DataError, match="^y: 1 infinite"):
        check_source(Arrays([1.0, 2.0], [0, np.inf]), allow_nan=True)
