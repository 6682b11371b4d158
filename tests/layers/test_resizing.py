import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

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


class TestResizingLanczos(LayerContract):
    def make(self) -> Layer:
        return layers.Resizing(4, 9, "lanczos3", pad_to_aspect_ratio=True, fill_value=0.5)

    def example(self) -> Inputs:
        return (noise(7, 5, 6, 2),)


MODES = ["nearest", "bilinear", "bicubic", "lanczos3", "lanczos5"]
SIZES = st.integers(1, 12)


@given(SIZES, SIZES, SIZES, SIZES, st.sampled_from(MODES), st.booleans())
@settings(max_examples=80, deadline=None)
def test_any_size_to_any_size(
    height: int, width: int, goal_height: int, goal_width: int, mode: str, antialias: bool
) -> None:
    layer = layers.Resizing(goal_height, goal_width, mode, antialias=antialias and mode != "nearest")
    flat = layer(torch.full((1, height, width, 2), 3.0))
    torch.testing.assert_close(flat, torch.full((1, goal_height, goal_width, 2), 3.0))
    x = noise(1, height, width, 1)
    if mode != "nearest":  # which must choose one of two that are as near
        torch.testing.assert_close(layer(x.flip(1)), layer(x).flip(1), atol=1e-4, rtol=1e-4)
    if (height, width) == (goal_height, goal_width):
        torch.testing.assert_close(layer(x), x)


@pytest.mark.parametrize(
    ("mode", "theirs"),
    [("bilinear", Image.Resampling.BILINEAR), ("bicubic", Image.Resampling.BICUBIC),
     ("lanczos3", Image.Resampling.LANCZOS)],
)  # fmt: skip
@pytest.mark.parametrize("size", [(5, 7), (11, 30), (40, 9)])
def test_antialias_is_pillows(mode: str, theirs: Image.Resampling, size: tuple[int, int]) -> None:
    x = noise(21, 17)
    wanted = Image.fromarray(x.numpy()).resize(size[::-1], theirs)
    got = layers.Resizing(*size, mode, antialias=True)(x[None, :, :, None])
    np.testing.assert_allclose(got[0, :, :, 0], np.asarray(wanted), atol=2e-6)


def test_half_precision_counts_pixels() -> None:
    x = torch.linspace(0, 1, 3000).view(1, 3000, 1, 1).expand(1, 3000, 2, 1)
    for antialias in (False, True):
        layer = layers.Resizing(1000, 2, antialias=antialias)
        torch.testing.assert_close(layer(x.bfloat16()).float(), layer(x), atol=1e-2, rtol=0)


def test_padding_keeps_proportions() -> None:
    layer = layers.Resizing(2, 4, pad_to_aspect_ratio=True, fill_value=9.0)
    assert layer(torch.ones(1, 2, 2, 1)).flatten().tolist() == [9.0, 1.0, 1.0, 9.0] * 2


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
    with pytest.raises(ConfigError, match=r"Resizing: cannot both crop and pad to the aspect ratio\. Choose one"):
        layers.Resizing(4, 4, crop_to_aspect_ratio=True, pad_to_aspect_ratio=True)
    with pytest.raises(ConfigError, match=r"Resizing\.fill_mode: unknown fill_mode 'reflect'"):
        layers.Resizing(4, 4, fill_mode="reflect")
