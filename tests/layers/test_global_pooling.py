import pytest
import torch

from lepton_ai import layers
from lepton_ai.core import ConfigError, ShapeError
from lepton_ai.layers import Layer
from tests.contracts.layer import Inputs, LayerContract, noise


class _OnSeries(LayerContract):
    def example(self) -> Inputs:
        return (noise(7, 6, 3),)


class _OnImages(LayerContract):
    def example(self) -> Inputs:
        return (noise(7, 5, 6, 3),)


class _OnVolumes(LayerContract):
    def example(self) -> Inputs:
        return (noise(7, 3, 4, 3, 2),)


class TestGlobalAveragePooling1D(_OnSeries):
    def make(self) -> Layer:
        return layers.GlobalAveragePooling1D()


class TestGlobalMaxPooling1D(_OnSeries):
    def make(self) -> Layer:
        return layers.GlobalMaxPooling1D(keepdims=True)


class TestGlobalAveragePooling2D(_OnImages):
    def make(self) -> Layer:
        return layers.GlobalAveragePooling2D()


class TestGlobalMaxPooling2D(_OnImages):
    def make(self) -> Layer:
        return layers.GlobalMaxPooling2D(keepdims=True)


class TestGlobalAveragePooling3D(_OnVolumes):
    def make(self) -> Layer:
        return layers.GlobalAveragePooling3D(keepdims=True)


class TestGlobalMaxPooling3D(_OnVolumes):
    def make(self) -> Layer:
        return layers.GlobalMaxPooling3D()


def test_masked_steps_do_not_count() -> None:
    x = noise(3, 4, 2)
    mask = torch.tensor([[True, True, False, False], [True] * 4, [False] * 4])
    x[0, 2] = float("nan")
    layer = layers.GlobalAveragePooling1D()
    y = layer(x, mask=mask)
    torch.testing.assert_close(y, torch.stack((x[0, :2].mean(0), x[1].mean(0), torch.zeros(2))))
    assert layers.GlobalAveragePooling1D(keepdims=True)(x, mask=mask).shape == (3, 1, 2)
    series, steps = layers.Input((4, 2)), layers.Input((4,), dtype="bool")
    assert layer(series, mask=steps).shape == (None, 2)


def test_refused_arguments() -> None:
    with pytest.raises(ConfigError, match=r"GlobalMaxPooling2D\.data_format"):
        layers.GlobalMaxPooling2D(data_format="channels_first")
    with pytest.raises(ShapeError, match=r"'whole': got an input of shape \(2, 3\), expected 3 dimensions"):
        layers.GlobalAveragePooling1D(name="whole")(noise(2, 3))
