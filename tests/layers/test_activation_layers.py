from typing import Any

import pytest
import torch

from lepton_ai import layers
from lepton_ai.core import ConfigError, UnknownNameError
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
