import pytest
import torch

from lepton_ai import layers
from lepton_ai.core import ConfigError, UnknownNameError
from lepton_ai.layers import Layer
from tests.contracts.layer import Inputs, LayerContract, noise


class TestUpSampling1D(LayerContract):
    def make(self) -> Layer:
        return layers.UpSampling1D(3)

    def example(self) -> Inputs:
        return (noise(7, 6, 3),)


class TestUpSampling2D(LayerContract):
    def make(self) -> Layer:
        return layers.UpSampling2D((2, 3), interpolation="bilinear")

    def example(self) -> Inputs:
        return (noise(7, 5, 6, 3),)


class TestUpSampling3D(LayerContract):
    def make(self) -> Layer:
        return layers.UpSampling3D((1, 2, 3))

    def example(self) -> Inputs:
        return (noise(7, 4, 5, 4, 2),)


def test_nearest_repeats_cells() -> None:
    x = noise(2, 3, 4, 2, 3)
    wanted = x.repeat_interleave(2, 1).repeat_interleave(3, 2)
    assert torch.equal(layers.UpSampling3D((2, 3, 1))(x), wanted)
    assert layers.UpSampling2D()(noise(2, 4, 4, 3)).is_contiguous()


def test_free_sizes_stay_free() -> None:
    assert layers.UpSampling2D((2, 3)).compute_output_shape((None, None, 7, 3)) == (None, None, 21, 3)


def test_refused_arguments() -> None:
    with pytest.raises(UnknownNameError, match=r"UpSampling2D\.interpolation: unknown interpolation 'linear'"):
        layers.UpSampling2D(interpolation="linear")
    with pytest.raises(ConfigError, match=r"UpSampling1D\.size: got 0, expected a positive int"):
        layers.UpSampling1D(0)
    with pytest.raises(ConfigError, match=r"UpSampling3D\.data_format"):
        layers.UpSampling3D(data_format="channels_first")
