import pytest
import torch

from lepton_ai import layers
from lepton_ai.core import ConfigError
from tests.contracts.layer import Inputs, LayerContract, noise


class TestAdaptiveAveragePooling1D(LayerContract):
    def make(self) -> layers.Layer:
        return layers.AdaptiveAveragePooling1D(3)

    def example(self) -> Inputs:
        return (noise(7, 8, 2),)


class TestAdaptiveMaxPooling1D(TestAdaptiveAveragePooling1D):
    def make(self) -> layers.Layer:
        return layers.AdaptiveMaxPooling1D(3)


class TestAdaptiveAveragePooling2D(LayerContract):
    def make(self) -> layers.Layer:
        return layers.AdaptiveAveragePooling2D((2, 3))

    def example(self) -> Inputs:
        return (noise(7, 6, 7, 2),)


class TestAdaptiveMaxPooling2D(TestAdaptiveAveragePooling2D):
    def make(self) -> layers.Layer:
        return layers.AdaptiveMaxPooling2D((2, 3))


class TestAdaptiveAveragePooling3D(LayerContract):
    def make(self) -> layers.Layer:
        return layers.AdaptiveAveragePooling3D((2, 3, 1))

    def example(self) -> Inputs:
        return (noise(7, 4, 6, 3, 2),)


class TestAdaptiveMaxPooling3D(TestAdaptiveAveragePooling3D):
    def make(self) -> layers.Layer:
        return layers.AdaptiveMaxPooling3D((2, 3, 1))


def test_one_window_is_the_global_mean() -> None:
    x = noise(2, 5, 6, 3)
    assert torch.allclose(layers.AdaptiveAveragePooling2D(1)(x)[:, 0, 0], layers.GlobalAveragePooling2D()(x), atol=1e-6)


def test_a_size_that_cannot_be() -> None:
    with pytest.raises(ConfigError, match=r"AdaptiveMaxPooling2D\.output_size"):
        layers.AdaptiveMaxPooling2D((1, 2, 3))
