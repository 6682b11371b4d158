import pytest
import torch

from lepton_ai import layers
from lepton_ai.core import ConfigError, ShapeError
from lepton_ai.layers import Layer
from tests.contracts.layer import Inputs, LayerContract, noise


class _OnImages(LayerContract):
    def example(self) -> Inputs:
        return (noise(7, 5, 6, 3),)


class _OnSeries(LayerContract):
    def example(self) -> Inputs:
        return (noise(7, 6, 3),)


class _OnVolumes(LayerContract):
    def example(self) -> Inputs:
        return (noise(7, 3, 4, 3, 2),)


class TestMaxPooling2D(_OnImages):
    def make(self) -> Layer:
        return layers.MaxPooling2D(2, padding="same")


class TestAveragePooling2D(_OnImages):
    def make(self) -> Layer:
        return layers.AveragePooling2D((2, 3), strides=(2, 1), padding="same")


class TestMaxPooling1D(_OnSeries):
    def make(self) -> Layer:
        return layers.MaxPooling1D(3, strides=2, padding="same")


class TestAveragePooling1D(_OnSeries):
    def make(self) -> Layer:
        return layers.AveragePooling1D(3, strides=2, padding="same")


class TestMaxPooling3D(_OnVolumes):
    def make(self) -> Layer:
        return layers.MaxPooling3D((2, 1, 2), padding="same")


class TestAveragePooling3D(_OnVolumes):
    def make(self) -> Layer:
        return layers.AveragePooling3D(2, strides=1, padding="same")


def test_an_image_smaller_than_the_window() -> None:
    layer = layers.MaxPooling2D(4, name="shrink")
    with pytest.raises(
        ShapeError,
        match=r"MaxPooling2D 'shrink': got an input of shape \(1, 3, 9, 2\), smaller than the window \(4, 4\)",
    ):
        layer(noise(1, 3, 9, 2))
    layer(noise(1, 8, 8, 2))
    with pytest.raises(ShapeError, match="smaller than the window"):
        layer(noise(1, 3, 9, 2))


def test_free_sizes_stay_free() -> None:
    assert layers.MaxPooling2D(2).compute_output_shape((None, None, 7, 3)) == (None, None, 3, 3)


def test_whole_numbers_become_floats() -> None:
    x = torch.arange(16, dtype=torch.uint8).view(1, 4, 4, 1)
    assert layers.MaxPooling2D()(x).flatten().tolist() == [5.0, 7.0, 13.0, 15.0]
    assert layers.AveragePooling2D()(x).flatten().tolist() == [2.5, 4.5, 10.5, 12.5]


def test_refused_arguments() -> None:
    with pytest.raises(ConfigError, match=r"MaxPooling2D\.padding: unknown padding 'sam'\. Did you mean 'same'"):
        layers.MaxPooling2D(padding="sam")
    with pytest.raises(
        ConfigError, match=r'AveragePooling2D\.data_format: got .channels_first., expected "channels_last"'
    ):
        layers.AveragePooling2D(data_format="channels_first")
    with pytest.raises(ConfigError, match=r"MaxPooling2D\.pool_size: got 0, expected a positive int"):
        layers.MaxPooling2D(0)
    with pytest.raises(ConfigError, match=r"AveragePooling3D\.strides: got \(1, 2\), expected an int or 3 of them"):
        layers.AveragePooling3D(2, strides=(1, 2))  # type: ignore[arg-type]


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_cells_outside_count_for_nothing(rank: int) -> None:
    """Keras on torch repeats the edge instead where the padding is uneven; on TensorFlow it does as we do."""
    x = -1 - noise(2, *(5, 4, 7)[:rank], 3).abs()
    ones = getattr(layers, f"AveragePooling{rank}D")(2, strides=1, padding="same")(torch.ones_like(x))
    assert torch.equal(ones, torch.ones_like(x))
    largest = getattr(layers, f"MaxPooling{rank}D")(3, strides=2, padding="same")(x)
    assert largest.max() <= -1
