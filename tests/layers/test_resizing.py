import pytest
import torch

from lepton_ai import layers
from lepton_ai.core import ConfigError
from lepton_ai.layers import Layer
from tests.contracts.layer import Inputs, LayerContract, noise


class TestResizing(LayerContract):
    def make(self) -> Layer:
        return layers.Resizing(4, 3, crop_to_aspect_ratio=True, antialias=True)

    def example(self) -> Inputs:
        return (noise(7, 5, 6, 2),)


class TestResizingNearest(LayerContract):
    def make(self) -> Layer:
        return layers.Resizing(4, 9, "nearest")

    def example(self) -> Inputs:
        return (noise(7, 5, 6, 2),)


def test_bytes_keep_their_range() -> None:
    y = layers.Resizing(2, 2)(torch.full((1, 5, 5, 1), 200, dtype=torch.uint8))
    assert y.dtype == torch.float32 and y.flatten().tolist() == [200.0] * 4


def test_free_image_sizes() -> None:
    assert layers.Resizing(4, 3).compute_output_shape((None, None, None, 3)) == (None, 4, 3, 3)


def test_cropping_keeps_the_middle() -> None:
    x = torch.zeros(1, 4, 8, 1)
    x[:, :, 2:6] = 1
    assert layers.Resizing(2, 2, crop_to_aspect_ratio=True)(x).flatten().tolist() == [1.0] * 4


def test_refused_arguments() -> None:
    with pytest.raises(
        ConfigError, match=r"Resizing\.interpolation: unknown interpolation 'bilinar'\. Did you mean 'bilinear'"
    ):
        layers.Resizing(4, 4, "bilinar")
    with pytest.raises(ConfigError, match=r"Resizing\.antialias: got True, expected False with"):
        layers.Resizing(4, 4, "nearest", antialias=True)
    with pytest.raises(ConfigError, match=r"Resizing\.height: got 0"):
        layers.Resizing(0, 4)
