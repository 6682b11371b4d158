import colorsys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lepton_ai import layers
from lepton_ai.core import ConfigError, ShapeError
from lepton_ai.layers import Layer
from tests.contracts.layer import noise
from tests.contracts.random_layer import RandomImages, train


class TestRandomBrightness(RandomImages):
    def make(self) -> Layer:
        return layers.RandomBrightness((-0.2, 0.5))


class TestRandomContrast(RandomImages):
    def make(self) -> Layer:
        return layers.RandomContrast(0.6)


class TestRandomSaturation(RandomImages):
    def make(self) -> Layer:
        return layers.RandomSaturation((0.1, 0.9))


class TestRandomHue(RandomImages):
    def make(self) -> Layer:
        return layers.RandomHue(0.5)


class TestRandomColorDegeneration(RandomImages):
    def make(self) -> Layer:
        return layers.RandomColorDegeneration(0.8)


class TestRandomGrayscale(RandomImages):
    def make(self) -> Layer:
        return layers.RandomGrayscale(0.5)


class TestRandomColorJitter(RandomImages):
    def make(self) -> Layer:
        return layers.RandomColorJitter((0, 255), 0.2, 0.3, (0.3, 0.7), 0.1)


def one(value: float) -> torch.Tensor:
    return torch.full((1, 1, 1, 1), value, dtype=torch.float64)


pixel = st.tuples(*[st.floats(0, 1, width=32)] * 3)


@given(pixels=st.lists(pixel, min_size=1, max_size=8), turn=st.floats(-0.5, 0.5), low=st.sampled_from([0.0, -1.0]))
@settings(max_examples=80, deadline=None)
def test_hue_turns_as_colorsys_does(pixels: list[tuple[float, float, float]], turn: float, low: float) -> None:
    x = torch.tensor(pixels, dtype=torch.float64).view(1, 1, -1, 3)
    layer = layers.RandomHue(1.0, value_range=(low, 1 - low))
    got = (layer.transform(x * (1 - 2 * low) + low, one(turn)) - low) / (1 - 2 * low)
    for ours, colour in zip(got[0, 0].tolist(), pixels, strict=True):
        hue, saturation, value = colorsys.rgb_to_hsv(*colour)
        np.testing.assert_allclose(ours, colorsys.hsv_to_rgb((hue + turn) % 1, saturation, value), atol=1e-9)


@given(pixels=st.lists(pixel, min_size=1, max_size=8), strength=st.floats(0, 20))
@settings(max_examples=80, deadline=None)
def test_saturation_scales_as_colorsys_does(pixels: list[tuple[float, float, float]], strength: float) -> None:
    x = torch.tensor(pixels, dtype=torch.float64).view(1, 1, -1, 3)
    got = layers.RandomSaturation(1.0, value_range=(0, 255)).transform(x * 255, one(strength)) / 255
    for ours, colour in zip(got[0, 0].tolist(), pixels, strict=True):
        hue, saturation, value = colorsys.rgb_to_hsv(*colour)
        wanted = colorsys.hsv_to_rgb(hue, min(1.0, saturation * strength), value)
        np.testing.assert_allclose(ours, wanted, atol=1e-9)


def test_brightness_adds_parts_of_the_range() -> None:
    x = torch.full((500, 1, 1, 1), 0.5)
    y = train(layers.RandomBrightness((-0.1, 0.3), value_range=(0, 1)), x, torch.arange(500)) - 0.5
    assert -0.1 <= y.min() < -0.098 and 0.298 < y.max() <= 0.3001
    white = train(layers.RandomBrightness((1, 1)), torch.full((2, 2, 2, 1), 3), torch.arange(2))
    assert torch.equal(white, torch.full((2, 2, 2, 1), 255.0))


def test_contrast_scales_distances_to_each_channels_mean() -> None:
    x = noise(400, 5, 5, 2).double()
    y = train(layers.RandomContrast((0.3, 0.5), value_range=(-99, 99)), x, torch.arange(400))
    scale = (y - x.mean((1, 2), keepdim=True)) / (x - x.mean((1, 2), keepdim=True))
    assert bool((scale - scale[:, :1, :1, :1]).abs().max() < 1e-6)
    assert 0.7 <= scale.min() < 0.71 and 1.49 < scale.max() <= 1.5 + 1e-6


def test_grey_is_luma_and_its_share_is_the_factor() -> None:
    x = torch.tensor([255.0, 0.0, 100.0]).view(1, 1, 1, 3).expand(1000, -1, -1, -1)
    y = train(layers.RandomGrayscale(0.3), x, torch.arange(1000))
    grey = 0.2989 * 255 + 0.114 * 100
    changed = (y - grey).abs().amax((1, 2, 3)) < 1e-3
    assert torch.equal(y[~changed], x[~changed]) and 0.26 < changed.float().mean() < 0.34
    half = layers.RandomColorDegeneration(1.0).transform(x[:1], torch.full((1, 1, 1, 1), 0.5))
    torch.testing.assert_close(half, (x[:1] + grey) / 2)


def test_jitter_is_its_parts_in_order() -> None:
    x = torch.rand(6, 4, 4, 3, generator=torch.Generator().manual_seed(0))
    one_by_one = layers.RandomColorJitter((0, 1), brightness_factor=0.2)
    assert torch.equal(train(layers.RandomColorJitter((0, 1)), x, torch.arange(6)), x)
    moved = train(one_by_one, x, torch.arange(6)) - x
    assert moved.abs().amax((1, 2, 3)).unique().numel() == 6
    grey_allowed = layers.RandomColorJitter((0, 1), brightness_factor=0.2, contrast_factor=0.1)
    assert grey_allowed.train()(x[..., :1]).shape == (6, 4, 4, 1)


def test_refused_arguments() -> None:
    with pytest.raises(ConfigError) as caught:
        layers.RandomHue((0.5, 0.2))
    assert str(caught.value) == (
        "RandomHue.factor: got (0.5, 0.2), expected a number from 0 to 1, or two from 0 to 1, the lower first"
    )
    with pytest.raises(ConfigError) as caught:
        layers.RandomBrightness(0.1, value_range=(255, 0))
    assert str(caught.value) == (
        "RandomBrightness.value_range: got (255, 0), expected two numbers, the lower first, such as (0, 255) or (0, 1)"
    )
    with pytest.raises(ShapeError) as shape:
        layers.RandomHue(0.1, name="hue")(torch.ones(2, 4, 4, 1))
    assert str(shape.value) == (
        "RandomHue 'hue': got an input of shape (2, 4, 4, 1), expected 3 channels: red, green and blue"
    )
    with pytest.raises(ShapeError, match="3 channels"):
        layers.RandomColorJitter(hue_factor=0.1)(torch.ones(2, 4, 4, 1))
