import pytest
import torch

from lepton_ai import layers
from lepton_ai.core import ConfigError, ShapeError
from lepton_ai.layers import Layer
from tests.contracts.layer import Inputs, LayerContract, noise


class TestZeroPadding1D(LayerContract):
    def make(self) -> Layer:
        return layers.ZeroPadding1D((2, 1))

    def example(self) -> Inputs:
        return (noise(7, 6, 3),)


class TestZeroPadding2D(LayerContract):
    def make(self) -> Layer:
        return layers.ZeroPadding2D(((1, 0), (2, 2)))

    def example(self) -> Inputs:
        return (noise(7, 5, 6, 3),)


class TestZeroPadding3D(LayerContract):
    def make(self) -> Layer:
        return layers.ZeroPadding3D((1, 0, 2))

    def example(self) -> Inputs:
        return (noise(7, 4, 5, 4, 2),)


class TestCropping1D(LayerContract):
    def make(self) -> Layer:
        return layers.Cropping1D((2, 1))

    def example(self) -> Inputs:
        return (noise(7, 6, 3),)


class TestCropping2D(LayerContract):
    def make(self) -> Layer:
        return layers.Cropping2D(((1, 0), (2, 2)))

    def example(self) -> Inputs:
        return (noise(7, 5, 6, 3),)


class TestCropping3D(LayerContract):
    def make(self) -> Layer:
        return layers.Cropping3D(1)

    def example(self) -> Inputs:
        return (noise(7, 4, 5, 4, 2),)


def test_one_number_is_for_all_sides_and_a_pair_is_before_and_after() -> None:
    assert layers.ZeroPadding1D(2).padding == layers.ZeroPadding1D((2, 2)).padding == ((2, 2),)
    assert layers.ZeroPadding2D((1, 2)).padding == ((1, 1), (2, 2))
    assert layers.Cropping2D().cropping == ((0, 0), (0, 0)) and layers.Cropping3D(1).cropping == ((1, 1),) * 3


def test_free_sizes_stay_free() -> None:
    assert layers.ZeroPadding2D(1).compute_output_shape((None, None, 7, 3)) == (None, None, 9, 3)
    assert layers.Cropping2D(1).compute_output_shape((None, None, 7, 3)) == (None, None, 5, 3)


def test_something_must_be_left() -> None:
    layer = layers.Cropping1D((2, 1), name="cut")
    wanted = r"'cut': got an input of shape \(1, 3, 2\), expected one from which \(\(2, 1\),\) can be cut off"
    with pytest.raises(ShapeError, match=wanted):
        layer(noise(1, 3, 2))
    layer(noise(1, 4, 2))
    with pytest.raises(ShapeError, match=wanted):
        layer(noise(1, 3, 2))


@pytest.mark.parametrize("cells", [-1, 1.5, True, (1, 2, 3), ((1, 2), (1, 2, 3)), ((0, -1), (0, 0)), "a"])
def test_refused_numbers(cells: int) -> None:
    with pytest.raises(ConfigError, match=r"ZeroPadding2D\.padding: got .*, expected an int >= 0, or 2 of them or of"):
        layers.ZeroPadding2D(cells)
    with pytest.raises(ConfigError, match=r"Cropping2D\.cropping: got .*"):
        layers.Cropping2D(cells)
    with pytest.raises(ConfigError, match=r"Cropping3D\.data_format"):
        layers.Cropping3D(1, data_format="channels_first")


def test_whole_numbers_become_floats() -> None:
    x = torch.ones(1, 2, 2, 1, dtype=torch.uint8)
    assert layers.ZeroPadding2D()(x).dtype == layers.Cropping2D()(x).dtype == torch.float32
