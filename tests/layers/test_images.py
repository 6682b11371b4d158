from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lepton_ai import layers
from lepton_ai.core import ConfigError, ShapeError
from lepton_ai.layers import Layer
from tests.contracts.layer import Inputs, LayerContract, noise


class TestCenterCrop(LayerContract):
    def make(self) -> Layer:
        return layers.CenterCrop(4, 3)

    def example(self) -> Inputs:
        return (noise(7, 5, 6, 2),)


class TestCropOrPad(LayerContract):
    def make(self) -> Layer:
        return layers.CropOrPad(4, 8, fill_value=0.5)

    def example(self) -> Inputs:
        return (noise(7, 5, 6, 2),)


class TestColorMode(LayerContract):
    def make(self) -> Layer:
        return layers.ColorMode("grayscale")

    def example(self) -> Inputs:
        return (noise(7, 2, 3, 3),)


class TestImageStandardization(LayerContract):
    def make(self) -> Layer:
        return layers.ImageStandardization()

    def example(self) -> Inputs:
        return (noise(7, 4, 5, 3),)


SIZES = st.integers(1, 9)


@given(SIZES, SIZES, SIZES, SIZES)
@settings(max_examples=80, deadline=None)
def test_what_is_cut_and_what_is_filled_up(height: int, width: int, goal_height: int, goal_width: int) -> None:
    x = torch.arange(1.0, height * width + 1).view(1, height, width, 1)
    y = layers.CropOrPad(goal_height, goal_width, fill_value=0)(x)
    assert y.shape == (1, goal_height, goal_width, 1)
    kept = y[y > 0]
    assert len(kept) == min(height, goal_height) * min(width, goal_width)
    again = layers.CropOrPad(height, width)(y)
    if goal_height >= height and goal_width >= width:
        assert torch.equal(again, x)
    if height >= goal_height and width >= goal_width:
        assert torch.equal(layers.CenterCrop(goal_height, goal_width)(x), y)


@given(SIZES, SIZES, SIZES, SIZES)
@settings(max_examples=60, deadline=None)
def test_smaller_images_are_enlarged(height: int, width: int, goal_height: int, goal_width: int) -> None:
    x = torch.full((2, height, width, 1), 7, dtype=torch.uint8)
    y = layers.CenterCrop(goal_height, goal_width)(x)
    assert y.shape == (2, goal_height, goal_width, 1)
    torch.testing.assert_close(y, torch.full_like(y, 7.0))


@pytest.mark.parametrize(
    ("channels", "mode", "wanted"),
    [
        (1, "grayscale", [10.0]),
        (2, "grayscale", [10.0]),
        (3, "grayscale", [0.2989 * 10 + 0.587 * 20 + 0.114 * 30]),
        (4, "grayscale", [0.2989 * 10 + 0.587 * 20 + 0.114 * 30]),
        (1, "rgb", [10.0] * 3),
        (2, "rgb", [10.0] * 3),
        (3, "rgb", [10.0, 20.0, 30.0]),
        (4, "rgb", [10.0, 20.0, 30.0]),
    ],
)
def test_colours(channels: int, mode: str, wanted: list[float]) -> None:
    x = torch.tensor([10, 20, 30, 40], dtype=torch.uint8)[:channels].view(1, 1, 1, -1)
    y = layers.ColorMode(mode)(x)
    np.testing.assert_allclose(y.flatten(), wanted, rtol=1e-6)
    assert y.shape == layers.ColorMode(mode).compute_output_shape(tuple(x.shape))


def test_images_to_one_brightness() -> None:
    x = (noise(3, 8, 9, 3) * torch.tensor([1.0, 40.0, 0.0]).view(3, 1, 1, 1) + 100).round().to(torch.uint8)
    y = layers.ImageStandardization()(x)
    torch.testing.assert_close(y.mean((1, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(y.std((1, 2, 3), correction=0), torch.tensor([1.0, 1.0, 0.0]), atol=1e-5, rtol=0)
    faint = layers.ImageStandardization()(torch.tensor([[[[0.0], [1e-3]]]]))
    assert float(faint.abs().max()) < 1e-3


def test_refused_arguments() -> None:
    sizes: list[Any] = [layers.CenterCrop, layers.CropOrPad]
    for make in sizes:
        with pytest.raises(ConfigError, match=rf"{make.__name__}\.width: got 0, expected a positive int"):
            make(4, 0)
    with pytest.raises(ConfigError, match=r"ColorMode\.mode: unknown mode 'grey'"):
        layers.ColorMode("grey")
    with pytest.raises(ShapeError, match=r"'mode': got an input of shape \(1, 2, 2, 5\), expected 1 to 4 channels"):
        layers.ColorMode("rgb", name="mode")(torch.ones(1, 2, 2, 5))
