from typing import Any

import pytest
import torch

from lepton_ai import layers
from lepton_ai.core import ConfigError, ShapeError
from lepton_ai.layers import Layer
from tests.contracts.layer import Inputs, LayerContract, noise


class _Pair(LayerContract):
    any_rank = True

    def example(self) -> Inputs:
        return ([noise(7, 3), noise(7, 3, seed=1)],)


class TestAdd(_Pair):
    def make(self) -> Layer:
        return layers.Add()


class TestSubtract(_Pair):
    def make(self) -> Layer:
        return layers.Subtract()


class TestMultiply(_Pair):
    def make(self) -> Layer:
        return layers.Multiply()


class TestAverage(_Pair):
    def make(self) -> Layer:
        return layers.Average()


class TestMaximum(_Pair):
    def make(self) -> Layer:
        return layers.Maximum()


class TestMinimum(_Pair):
    def make(self) -> Layer:
        return layers.Minimum()


class TestConcatenate(LayerContract):
    def make(self) -> Layer:
        return layers.Concatenate(axis=1)

    def example(self) -> Inputs:
        return ([noise(7, 3, 2), noise(7, 4, 2), noise(7, 1, 2)],)


class TestDot(LayerContract):
    def make(self) -> Layer:
        return layers.Dot(axes=(1, -1), normalize=True)

    def example(self) -> Inputs:
        return ([noise(7, 3, 2), noise(7, 4, 2, 3)],)


def test_sizes_of_one_stretch() -> None:
    layer = layers.Add()
    assert layer([noise(2, 3, 4), noise(2, 1, 4)]).shape == (2, 3, 4)
    assert layer.compute_output_shape([(None, None, 4), (None, 5, 1)]) == (None, 5, 4)
    assert layer.compute_output_shape([(None, None, 4), (None, 1, 1)]) == (None, None, 4)


def test_shapes_that_do_not_fit_are_named() -> None:
    with pytest.raises(
        ShapeError, match=r"Add 'sum': got inputs of shapes \(2, 3\), \(2, 4\), expected equal sizes, or 1"
    ):
        layers.Add(name="sum")([noise(2, 3), noise(2, 4)])
    with pytest.raises(ShapeError, match=r"got inputs of shapes \(2, 3\), \(2, 3, 1\), expected as many dimensions"):
        layers.Add()([noise(2, 3), noise(2, 3, 1)])
    with pytest.raises(
        ShapeError, match=r"got inputs of shapes \(2, 3, 4\), \(2, 5, 1\), expected sizes that differ at axis 1"
    ):
        layers.Concatenate(axis=1)([noise(2, 3, 4), noise(2, 5, 1)])
    built = layers.Add()
    built([noise(2, 3), noise(2, 3)])
    with pytest.raises(ShapeError, match=r"got inputs of shapes \(2, 3\), \(2, 4\)"):
        built([noise(2, 3), noise(2, 4)])


def test_a_list_is_asked_for() -> None:
    with pytest.raises(
        ShapeError, match=r"got one tensor, expected a list of at least two\. Write Add\(\)\(\[a, b\]\)"
    ):
        layers.Add()(noise(2, 3))
    with pytest.raises(ShapeError, match="got 3, expected a list of two tensors"):
        layers.Subtract()([noise(2, 3)] * 3)
    with pytest.raises(ConfigError, match=r"Concatenate\.axis: got 0, expected an int other than 0"):
        layers.Concatenate(axis=0)


def test_concatenated_sizes_add_up() -> None:
    layer = layers.Concatenate()
    assert layer.compute_output_shape([(None, 3, 4), (None, 3, 5)]) == (None, 3, 9)
    assert layer.compute_output_shape([(None, 3, None), (None, None, 5)]) == (None, 3, None)
    assert torch.equal(layer([noise(2, 3), noise(2, 1)])[:, :3], noise(2, 3))


def test_products_of_vectors_and_matrices() -> None:
    a, b = noise(5, 3, 2), noise(5, 4, 3, seed=1)
    torch.testing.assert_close(layers.Dot((1, 2))([a, b]), torch.einsum("bkr,bsk->brs", a, b))
    torch.testing.assert_close(layers.Dot(1)([a[:, :, 0], b[:, 0]]), (a[:, :, 0] * b[:, 0]).sum(1, keepdim=True))
    torch.testing.assert_close(layers.Dot(-1, normalize=True)([a, a]).diagonal(0, 1, 2), torch.ones(5, 3))
    assert layers.Dot((1, 2)).compute_output_shape([(None, 3, None), (None, 4, 3)]) == (None, None, 4)
    assert layers.Dot(1).compute_output_shape([(None, None), (None, 3)]) == (None, 1)


def test_products_that_do_not_fit() -> None:
    with pytest.raises(
        ShapeError,
        match=r"Dot 'cos': got inputs of shapes \(2, 3\), \(2, 4\), expected equal sizes at the axes",
    ):
        layers.Dot(1, name="cos")([noise(2, 3), noise(2, 4)])
    with pytest.raises(ShapeError, match=r"expected axes \(2, 2\) in them"):
        layers.Dot(2)([noise(2, 3, 4), noise(2, 4)])
    with pytest.raises(ShapeError, match="got 3, expected a list of two tensors"):
        layers.Dot(1)([noise(2, 3)] * 3)
    wrong: list[Any] = [0, (1, 2, 3), (1, 0), 1.5, True]
    for axes in wrong:
        with pytest.raises(ConfigError, match=r"Dot\.axes: got .*, expected one or two axes other than 0, the batch"):
            layers.Dot(axes)
