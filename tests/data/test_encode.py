import os
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

os.environ["KERAS_BACKEND"] = "torch"

from keras.utils import to_categorical as keras_to_categorical

from lepton_ai.core import ConfigError, DataError
from lepton_ai.data import encode_labels, to_categorical


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(
        st.sampled_from(["int64", "uint8", "float32"]), hnp.array_shapes(max_dims=3), elements=st.integers(0, 9)
    ),
    st.none() | st.integers(10, 12),
)
def test_as_keras(x: Any, num_classes: int | None) -> None:
    ours, theirs = to_categorical(x, num_classes), keras_to_categorical(x, num_classes)
    assert ours.dtype == theirs.dtype == np.float64
    assert ours.shape == theirs.shape
    assert np.array_equal(ours, theirs)


@pytest.mark.parametrize("x", [3, [1, 0], [[1], [2]], (0, 1), [True, False]])
def test_as_keras_on_lists(x: Any) -> None:
    ours, theirs = to_categorical(x, 4), keras_to_categorical(x, 4)
    assert ours.shape == theirs.shape and np.array_equal(ours, theirs)


def test_a_tensor_gives_the_values_of_keras_as_floats() -> None:
    x = torch.tensor([[0], [2]])
    ours, theirs = to_categorical(x, 3), keras_to_categorical(x, 3)
    assert ours.dtype == torch.float32
    assert torch.equal(ours, theirs.cpu().to(torch.float32))


@pytest.mark.parametrize(
    ("x", "num_classes", "text"),
    [
        ([0, -1], None, "class -1 at place 1, expected classes from 0 to 0"),
        ([0, 3], 3, "to_categorical: class 3 at place 1, expected classes from 0 to 2. Number the classes from 0"),
        ([0.5], None, "got 0.5, expected whole numbers"),
        ([np.nan, 1.0], None, "got nan, expected whole numbers"),
        ([], None, "empty data. Pass num_classes"),
        (["cat"], None, "strings where numbers belong"),
    ],
)
def test_what_cannot_be_one_hot(x: Any, num_classes: int | None, text: str) -> None:
    with pytest.raises(DataError) as caught:
        to_categorical(x, num_classes)
    assert text in str(caught.value)


def test_the_number_of_classes_is_positive() -> None:
    assert to_categorical([], 3).shape == (0, 3)
    with pytest.raises(ConfigError, match="num_classes: got 0, expected a positive int"):
        to_categorical([0], 0)


def test_labels_are_sorted_and_kept() -> None:
    codes, labels = encode_labels(np.array(["b", "a", "b"], object))
    assert codes.tolist() == [1, 0, 1] and codes.dtype == np.int64 and labels == ("a", "b")
    assert encode_labels(["b"], ["b", "a"])[0].tolist() == [0]


@pytest.mark.parametrize(
    ("values", "labels", "text"),
    [
        (["a", "x", "x"], ["a", "b"], "y: unknown class 'x' in row 1, expected one of a, b"),
        (["a", None], None, "y: 1 missing, the first in row 1"),
        (np.array([1.0, np.nan]), None, "1 missing"),
        ([], None, "expected one class name for each row"),
        ([["a"]], None, "shape (1, 1)"),
    ],
)
def test_labels_that_do_not_fit(values: Any, labels: list[str] | None, text: str) -> None:
    with pytest.raises(DataError) as caught:
        encode_labels(values, labels)
    assert text in str(caught.value)
