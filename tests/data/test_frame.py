import numpy as np
import pandas as pd
import pytest

from lepton_ai.core import DataError
from lepton_ai.data.frame import first_odd, frame_numbers, is_frame


def test_only_pandas_counts() -> None:
    assert is_frame(pd.DataFrame()) and is_frame(pd.Series([1]))
    assert not is_frame(np.ones(2)) and not is_frame([1])


def test_whole_columns_stay_whole_and_gaps_become_nan() -> None:
    assert frame_numbers(pd.DataFrame({"a": [1, 2], "b": [True, False]}), "x").dtype == np.int64
    assert frame_numbers(pd.Series([True, False]), "y").dtype == np.bool_
    gaps = frame_numbers(pd.DataFrame({"a": pd.array([1, None], dtype="Int64"), "b": [0.5, 1.5]}), "x")
    assert gaps.dtype == np.float32
    assert np.isnan(gaps[1, 0]) and gaps[0].tolist() == [1.0, 0.5]


def test_columns_without_numbers_are_named() -> None:
    frame = pd.DataFrame({"age": [1, 2], "job": ["smith", None], "day": pd.to_datetime(["2020-01-01"] * 2)})
    with pytest.raises(DataError) as caught:
        frame_numbers(frame, "x")
    assert str(caught.value).startswith("x: columns 'job', 'day' hold no numbers, the first 'smith' in row 0. Encode")


def test_numbers_stored_as_objects_have_their_own_advice() -> None:
    with pytest.raises(DataError, match=r"column 'a' holds numbers stored as objects. Convert: frame.astype"):
        frame_numbers(pd.DataFrame({"a": np.array([1, 2.5], object)}), "x")


def test_first_odd() -> None:
    assert first_odd(pd.Series([1, None, "?"], dtype=object)) == (2, "?")
    assert first_odd(pd.Series([1, None], dtype=object)) == (-1, None)
