import os
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

os.environ["KERAS_BACKEND"] = "torch"

from keras.utils import pad_sequences as keras_pad_sequences
from keras.utils import to_categorical as keras_to_categorical

from lepton_ai.core import ConfigError, DataError
from lepton_ai.data import encode_labels, pad_sequences, to_categorical


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


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.integers(-9, 9), max_size=6), max_size=5),
    st.none() | st.integers(1, 8),
    st.sampled_from(["pre", "post"]),
    st.sampled_from(["pre", "post"]),
)
def test_padding_as_keras(rows: list[list[int]], maxlen: int | None, padding: str, truncating: str) -> None:
    if not rows:
        assert pad_sequences(rows, maxlen).shape == (0, maxlen or 0)  # Keras fails
        return
    ours = pad_sequences(rows, maxlen, "int64", padding, truncating, -1)
    theirs = keras_pad_sequences(rows, maxlen, "int64", padding, truncating, -1)
    assert ours.dtype == theirs.dtype and np.array_equal(ours, theirs)


def test_steps_of_several_numbers_are_padded() -> None:
    padded = pad_sequences([np.ones((1, 2)), torch.ones(3, 2), []], dtype="float32", padding="post")
    assert padded.shape == (3, 3, 2) and padded[..., 0].tolist() == [[1, 0, 0], [1, 1, 1], [0, 0, 0]]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([[1, 2], 3], r"row 1 is 3, expected a sequence\. Give a list of lists: one sequence is \[\[1, 2, 3\]\]\."),
        (["ab"], r"row 0 is 'ab', expected a sequence"),
        ([[[1, 2]], [], [[3]]], r"the steps of row 2 have shape \(1,\), those before \(2,\)"),
        ([[1], ["a"]], r"pad_sequences: row 1: strings where numbers belong"),
    ],
)
def test_sequences_that_cannot_be_padded(rows: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        pad_sequences(rows)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"padding": "left"}, r"padding: got 'left', expected \"pre\" or \"post\""),
        ({"truncating": "end"}, r"truncating: got 'end', expected \"pre\" or \"post\""),
        ({"maxlen": 0}, r"maxlen: got 0, expected a positive int or None"),
        ({"value": "<pad>"}, r"value: got '<pad>', expected a number, for int32"),
    ],
)
def test_paddings_that_are_none(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        pad_sequences([[1]], **arguments)
