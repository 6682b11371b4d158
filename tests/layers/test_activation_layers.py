from typing import Any

import pytest
import torch

from lepton_ai import layers
from lepton_ai.core import ConfigError, ShapeError, UnknownNameError
from lepton_ai.layers import Layer
from tests.contracts.layer import Inputs, LayerContract, noise


class TestActivation(LayerContract):
    any_rank = True

    def make(self) -> Layer:
        return layers.Activation("gelu", name="bend")

    def example(self) -> Inputs:
        return (noise(7, 3, 5),)


class TestReLU(LayerContract):
    any_rank = True

    def make(self) -> Layer:
        return layers.ReLU(max_value=2.0, negative_slope=0.1, threshold=0.3)

    def example(self) -> Inputs:
        return (noise(7, 5),)


class TestLeakyReLU(LayerContract):
    any_rank = True

    def make(self) -> Layer:
        return layers.LeakyReLU(0.2)

    def example(self) -> Inputs:
        return (noise(7, 5),)


class TestELU(LayerContract):
    any_rank = True

    def make(self) -> Layer:
        return layers.ELU(0.7)

    def example(self) -> Inputs:
        return (noise(7, 5),)


class TestPReLU(LayerContract):
    def make(self) -> Layer:
        return layers.PReLU("uniform", "l2", shared_axes=(1, 2))

    def example(self) -> Inputs:
        return (noise(7, 3, 4, 5),)


class TestPReLUOfEachElement(LayerContract):
    def make(self) -> Layer:
        return layers.PReLU(layers.Constant(0.3))

    def example(self) -> Inputs:
        return (noise(7, 5),)


class TestSoftmax(LayerContract):
    def make(self) -> Layer:
        return layers.Softmax(axis=1)

    def example(self) -> Inputs:
        return (noise(7, 3, 5),)


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown activation 'reluu'\. Did you mean 'relu'\?"):
        layers.Activation("reluu")


def test_none_is_linear_and_a_function_is_itself() -> None:
    x = noise(2, 3)
    assert torch.equal(layers.Activation(None)(x), x)
    assert layers.get_activation(torch.sin) is torch.sin
    with pytest.raises(ConfigError, match="activation: got 3, expected a name, a function or None"):
        layers.get_activation(3)  # type: ignore[arg-type]


@pytest.mark.parametrize("arguments", [{"max_value": -1.0}, {"negative_slope": -0.1}, {"threshold": float("nan")}])
def test_relu_refuses_negative_arguments(arguments: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=rf"ReLU\.{next(iter(arguments))}: got .*, expected a number >= 0"):
        layers.ReLU(**arguments)


@pytest.mark.parametrize("axis", [0, 1.5, True])
def test_softmax_does_not_normalise_over_the_batch(axis: int) -> None:
    with pytest.raises(ConfigError, match=r"Softmax\.axis: got .*, expected an int other than 0, the batch"):
        layers.Softmax(axis)


def test_slopes_are_not_negative() -> None:
    with pytest.raises(ConfigError, match=r"LeakyReLU\.negative_slope: got -0\.1, expected a number >= 0"):
        layers.LeakyReLU(-0.1)
    with pytest.raises(ConfigError, match=r"ELU\.alpha: got -1, expected a number >= 0"):
        layers.ELU(-1)


def test_shared_axes_may_be_free() -> None:
    layer = layers.PReLU("ones", shared_axes=(1, 2))
    layer.ensure_built((None, None, None, 3))
    assert layer.alpha.shape == (1, 1, 3)
    x = noise(2, 4, 5, 3)
    torch.testing.assert_close(layer(x), x)
    with pytest.raises(ShapeError, match=r"'bend': .* expected fixed sizes but at shared_axes=\(1,\)\. Share the axes"):
        layers.PReLU(shared_axes=1, name="bend").ensure_built((None, None, None, 3))
    with pytest.raises(ShapeError, match=r"got an input of shape \(2, 3\), expected fixed sizes"):
        layers.PReLU(shared_axes=(1, 2))(noise(2, 3))
    with pytest.raises(ConfigError, match=r"PReLU\.shared_axes: got 0, expected axes from 1; 0 is the batch"):
        layers.PReLU(shared_axes=0)


def test_prelu_refuses_a_size_that_would_stretch() -> None:
    layer = layers.PReLU()
    layer(noise(2, 3))
    with pytest.raises(ShapeError, match=r"got an input of shape \(2, 1\), expected 3 at axis 1"):
        layer(noise(2, 1))
