from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lepton_ai import layers
from lepton_ai.core import ConfigError, DataError, ShapeError, UsageError
from lepton_ai.layers import Layer
from tests.contracts.layer import Inputs, LayerContract, noise

NUMBERS = torch.arange(21).view(7, 3) * 5 % 11


class TestCategoryEncoding(LayerContract):
    differentiable = False
    any_rank = True

    def make(self) -> Layer:
        return layers.CategoryEncoding(9, "count")

    def example(self) -> Inputs:
        return (NUMBERS,)


class TestIntegerLookup(LayerContract):
    differentiable = False
    any_rank = True

    def make(self) -> Layer:
        return layers.IntegerLookup(vocabulary=(7, 3, 10, 2), output_mode="count", num_oov_indices=2)

    def example(self) -> Inputs:
        return (NUMBERS,)


class TestDiscretization(LayerContract):
    differentiable = False
    any_rank = True

    def make(self) -> Layer:
        return layers.Discretization((-0.5, 0.0, 0.75), output_mode="one_hot")

    def example(self) -> Inputs:
        return (noise(7, 3),)


def test_modes() -> None:
    x = torch.tensor([[0, 2, 2], [1, 5, -1]])
    assert layers.CategoryEncoding(3)(x).tolist() == [[1, 0, 1], [0, 1, 0]]
    assert layers.CategoryEncoding(3, "count")(x).tolist() == [[1, 0, 2], [0, 1, 0]]
    assert layers.CategoryEncoding(3, "one_hot")(x[1]).tolist() == [[0, 1, 0], [0, 0, 0], [0, 0, 0]]
    assert layers.CategoryEncoding(3, "one_hot")(x[:, :1]).tolist() == [[1, 0, 0], [0, 1, 0]]
    assert layers.CategoryEncoding(3)(x[:, 0]).tolist() == [[1, 0, 0], [0, 1, 0]]
    weights = torch.tensor([[0.5, 1.0, 2.0], [3.0, 4.0, 5.0]])
    assert layers.CategoryEncoding(3, "count")(x, count_weights=weights).tolist() == [[0.5, 0, 3], [0, 3, 0]]


def test_refused_encodings() -> None:
    with pytest.raises(ConfigError, match=r"CategoryEncoding\.num_tokens: got 0, expected a positive int"):
        layers.CategoryEncoding(0)
    with pytest.raises(
        ConfigError, match=r"CategoryEncoding\.output_mode: got 'int', expected 'multi_hot' or 'one_hot'"
    ):
        layers.CategoryEncoding(3, "int")
    with pytest.raises(ConfigError, match=r"CategoryEncoding\.sparse: got True, expected False"):
        layers.CategoryEncoding(3, sparse=True)
    with pytest.raises(
        ConfigError, match=r"'code': count_weights are for counts\. Use output_mode=\"count\", not \"multi_hot\""
    ):
        layers.CategoryEncoding(3, name="code")(NUMBERS, count_weights=torch.ones(7, 3))
    with pytest.raises(ShapeError, match=r"'code': got 'float32', expected whole numbers\. Declare them, Input\(shape"):
        layers.CategoryEncoding(3, name="code")(torch.ones(2, 3))
    with pytest.raises(ShapeError, match=r"'code': got an input of shape \(2, 2, 2\), expected \(B,\) or \(B, T\)"):
        layers.CategoryEncoding(3, name="code")(torch.ones(2, 2, 2, dtype=torch.int64))


@given(
    st.lists(st.integers(-(2**40), 2**40), unique=True, min_size=1, max_size=40),
    st.lists(st.integers(-(2**40), 2**40) | st.integers(-3, 3), min_size=1, max_size=20),
    st.integers(1, 3),
    st.booleans(),
)
@settings(max_examples=80, deadline=None)
def test_numbers_are_places_in_the_vocabulary(terms: list[int], others: list[int], oov: int, mask: bool) -> None:
    token = 2**50 if mask else None
    layer = layers.IntegerLookup(vocabulary=terms, num_oov_indices=oov, mask_token=token)
    x = [*terms, *others] + ([2**50] if mask else [])
    first = int(mask) + oov

    def wanted(value: int) -> int:
        if value == token:
            return 0
        return first + terms.index(value) if value in terms else int(mask) + value % oov

    numbers = layer(torch.tensor([x]))
    assert numbers.tolist() == [[wanted(value) for value in x]]
    back = layers.IntegerLookup(vocabulary=terms, num_oov_indices=oov, mask_token=token, invert=True)(numbers)
    assert back.tolist() == [[value if value in terms or value == token else -1 for value in x]]
    assert layer.get_vocabulary() == [*([token] if mask else []), *[-1] * oov, *terms]


def test_vocabularies_from_data() -> None:
    layer = layers.IntegerLookup(max_tokens=4, mask_token=0)
    layer.adapt(np.array([5, 5, 5, 9, 9, 8, 8, 7, 0, 0, 0, 0, -1]))
    assert layer.get_vocabulary() == [0, -1, 5, 9] and layer.get_vocabulary(False) == [5, 9]
    assert layer.vocabulary_size() == 4
    again = layers.IntegerLookup.from_config(layer.get_config())
    x = torch.tensor([[5, 9, 8, 0, -1]])
    assert again(x).tolist() == layer(x).tolist() == [[2, 3, 1, 0, 1]]
    layer.adapt(np.array([1, 1]))
    assert layer.vocabulary == (1,)


def test_counted_modes() -> None:
    x = torch.tensor([[4, 4, 6], [5, 0, 99]])
    given_as: dict[str, Any] = {"vocabulary": [4, 5, 6], "mask_token": 0}
    assert layers.IntegerLookup(**given_as, output_mode="count")(x).tolist() == [[0, 2, 0, 1], [1, 0, 1, 0]]
    assert layers.IntegerLookup(**given_as, output_mode="multi_hot")(x).tolist() == [[0, 1, 0, 1], [1, 0, 1, 0]]
    wide = layers.IntegerLookup(**given_as, output_mode="multi_hot", max_tokens=6, pad_to_max_tokens=True)
    assert wide(x).shape == wide.compute_output_shape((2, 3)) == (2, 6)
    told = layers.IntegerLookup(**given_as, output_mode="tf_idf", idf_weights=[1.0, 2.0, 3.0])
    assert told(x).tolist() == [[0, 2, 0, 3], [2, 0, 2, 0]]
    learnt = layers.IntegerLookup(output_mode="tf_idf")
    learnt.adapt(torch.tensor([[4, 4], [5, 4], [5, 6]]))
    assert learnt.vocabulary == (4, 5, 6)
    np.testing.assert_allclose(learnt.idf_weights or (), np.log(1 + 3 / (1 + np.array([2, 2, 1]))))


def test_unknown_terms_where_none_may_be() -> None:
    layer = layers.IntegerLookup(vocabulary=[4, 5], num_oov_indices=0, mask_token=1, name="codes")
    assert layer(torch.tensor([[5, 1]])).tolist() == [[2, 0]]
    with pytest.raises(
        DataError, match=r"'codes': 7 in row 1 is not in the vocabulary, nor are 1 more\. Give unknown terms a bucket"
    ):
        layer(torch.tensor([[4, 5], [7, 8]]))


def test_refused_vocabularies() -> None:
    with pytest.raises(UsageError, match=r"'codes': has no vocabulary yet\. Call adapt\(x_train\) before"):
        layers.IntegerLookup(name="codes")(NUMBERS)
    with pytest.raises(ConfigError, match=r"IntegerLookup\.vocabulary\[2\]: 4 comes twice\. Leave it out"):
        layers.IntegerLookup(vocabulary=[4, 5, 4])
    with pytest.raises(ConfigError, match=r"IntegerLookup\.vocabulary: got 'a', expected ints"):
        layers.IntegerLookup(vocabulary=["a"])
    with pytest.raises(ConfigError, match=r"IntegerLookup\.max_tokens: got 1, expected more than 1"):
        layers.IntegerLookup(max_tokens=1)
    with pytest.raises(ConfigError, match=r"IntegerLookup\.num_oov_indices: got -1, expected 0 or more"):
        layers.IntegerLookup(num_oov_indices=-1)
    with pytest.raises(ConfigError, match=r"IntegerLookup\.output_mode: got 'count', expected \"int\" with invert"):
        layers.IntegerLookup(invert=True, output_mode="count")
    with pytest.raises(ConfigError, match=r"pad_to_max_tokens needs max_tokens"):
        layers.IntegerLookup(pad_to_max_tokens=True)
    with pytest.raises(ConfigError, match=r"vocabulary_dtype: got 'int32', expected \"int64\""):
        layers.IntegerLookup(vocabulary_dtype="int32")
    with pytest.raises(ConfigError, match=r"idf_weights: got 1, expected 2, one for each term"):
        layers.IntegerLookup(vocabulary=[4, 5], output_mode="tf_idf", idf_weights=[1.0])
    with pytest.raises(ConfigError, match=r"idf_weights go with output_mode=\"tf_idf\" and a vocabulary"):
        layers.IntegerLookup(vocabulary=[4, 5], idf_weights=[1.0, 2.0])
    with pytest.raises(DataError, match=r"'codes'\.adapt: got no terms but those that stand for something else"):
        layers.IntegerLookup(mask_token=0, name="codes").adapt([0, 0, -1])
    with pytest.raises(ShapeError, match=r"'codes'\.adapt: got 'float64', expected whole numbers"):
        layers.IntegerLookup(name="codes").adapt([0.5])


@given(
    st.lists(st.integers(-100, 100), unique=True, min_size=1, max_size=8).map(sorted),
    st.lists(st.floats(-120, 120, width=32) | st.just(float("nan")) | st.integers(-100, 100).map(float), min_size=1),
)
@settings(max_examples=80, deadline=None)
def test_bins_are_numpys(boundaries: list[int], values: list[float]) -> None:
    numbers = layers.Discretization(boundaries)(torch.tensor([values]))
    assert numbers.dtype == torch.int64
    assert numbers.tolist() == [np.digitize(values, boundaries).tolist()]


@given(st.integers(1, 60), st.integers(1, 8), st.integers(0, 2**31))
@settings(max_examples=50, deadline=None)
def test_bins_from_data_hold_as_many(rows: int, bins: int, seed: int) -> None:
    data = np.random.default_rng(seed).normal(size=(rows * bins, 1))
    layer = layers.Discretization(num_bins=bins)
    layer.adapt(data)
    assert layer.compute_output_shape((None, 1)) == (None, 1) and len(layer.bin_boundaries or ()) == bins - 1
    counts = np.bincount(layer(torch.from_numpy(data)).flatten().numpy(), minlength=bins)
    assert counts.sum() == rows * bins and np.abs(counts - rows).max() <= 1


def test_bins_stay_with_the_config() -> None:
    layer = layers.Discretization(num_bins=4, output_mode="one_hot")
    assert layer.compute_output_shape((None, 1)) == (None, 4)
    layer.adapt([[1.0], [2.0], [3.0], [float("nan")], [4.0]])
    again = layers.Discretization.from_config(layer.get_config())
    x = torch.tensor([[0.5], [2.5], [9.0]])
    assert torch.equal(again(x), layer(x)) and again.bin_boundaries == (1.0, 2.0, 3.0)
    again.adapt([[1.0], [1.0]])
    assert again.bin_boundaries == (1.0, 1.0, 1.0)
    whole = layers.Discretization(num_bins=2)
    whole.adapt(np.arange(10, dtype="uint8"))
    assert whole(torch.tensor([[0, 9]])).tolist() == [[0, 1]]


def test_refused_bins() -> None:
    with pytest.raises(ConfigError, match=r"Discretization: needs either bin_boundaries or num_bins"):
        layers.Discretization()
    with pytest.raises(ConfigError, match=r"Discretization: needs either bin_boundaries or num_bins"):
        layers.Discretization([1.0], num_bins=3)
    with pytest.raises(ConfigError, match=r"bin_boundaries: got \(2\.0, 1\.0\), expected finite numbers, each above"):
        layers.Discretization([2.0, 1.0])
    with pytest.raises(UsageError, match=r"'cut': has its bin boundaries already\. Leave them out to adapt\."):
        layers.Discretization([1.0], name="cut").adapt([1.0])
    with pytest.raises(DataError, match=r"'cut': got only missing values, or infinite ones\. Clean the data first"):
        layers.Discretization(num_bins=2, name="cut").adapt([float("nan")])
