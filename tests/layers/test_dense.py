import pytest
import torch

from lepton_ai import layers
from lepton_ai.core import ConfigError, ShapeError, UnknownNameError
from lepton_ai.layers import Layer
from tests.contracts.layer import Inputs, LayerContract, noise


class TestDense(LayerContract):
    def make(self) -> Layer:
        return layers.Dense(
            4, "tanh", name="hidden", kernel_initializer=layers.HeNormal(), kernel_regularizer=layers.L1L2(0.1, 0.2)
        )

    def example(self) -> Inputs:
        return (noise(7, 3, 5),)


@pytest.mark.parametrize("units", [0, -1, 2.5, True, "4"])
def test_units_are_a_positive_int(units: int) -> None:
    with pytest.raises(ConfigError, match=r"Dense\.units: got .*, expected a positive int\. Pass the width"):
        layers.Dense(units)


def test_a_free_width_cannot_be_built() -> None:
    with pytest.raises(ShapeError, match=r"Dense 'out': got an input of shape \(None, None\) whose last size is free"):
        layers.Dense(2, name="out").ensure_built((None, None))


def test_whole_numbers_are_taken() -> None:
    layer = layers.Dense(2)
    assert torch.equal(layer(torch.tensor([[1, 2]])), layer(torch.tensor([[1.0, 2.0]])))


def test_unknown_names() -> None:
    with pytest.raises(UnknownNameError, match="unknown initializer 'glorot_unifrm'. Did you mean 'glorot_uniform'"):
        layers.Dense(2, kernel_initializer="glorot_unifrm")
    with pytest.raises(UnknownNameError, match="unknown regularizer 'l3'"):
        layers.Dense(2, kernel_regularizer="l3")
