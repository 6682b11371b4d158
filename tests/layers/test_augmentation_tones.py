import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from lepton_ai import layers
from lepton_ai.core import ConfigError
from lepton_ai.layers import Layer
from tests.contracts.layer import Inputs, LayerContract, noise
from tests.contracts.random_layer import RandomImages, train


class TestRandomPosterization(RandomImages):
    def make(self) -> Layer:
        return layers.RandomPosterization((1, 7))


class TestRandomInvert(RandomImages):
    def make(self) -> Layer:
        return layers.RandomInvert(0.5)


class TestSolarization(RandomImages):
    def make(self) -> Layer:
        return layers.Solarization(0.2, (0.3, 0.9))


class TestAutoContrast(LayerContract):
    def make(self) -> Layer:
        return layers.AutoContrast(value_range=(-2, 2))

    def example(self) -> Inputs:
        return (noise(7, 5, 6, 3),)


class TestEqualization(LayerContract):
    differentiable = False

    def make(self) -> Layer:
        return layers.Equalization(value_range=(-2, 2), bins=32)

    def example(self) -> Inputs:
        return (noise(7, 5, 6, 3),)


BYTES = np.random.default_rng(0).integers(20, 200, (5, 12, 9), dtype=np.uint8)
IMAGES = torch.from_numpy(BYTES).unsqueeze(3)


@pytest.mark.parametrize("bits", [1, 3, 5, 8])
def test_posterization_is_pillows(bits: int) -> None:
    got = layers.RandomPosterization(bits).transform(IMAGES.float(), torch.full((5,), float(bits)))
    for ours, given in zip(got[..., 0].numpy(), BYTES, strict=True):
        np.testing.assert_array_equal(ours, np.asarray(ImageOps.posterize(Image.fromarray(given), bits)))


def test_all_numbers_of_bits_come_up() -> None:
    x = torch.full((300, 1, 1, 1), 255)
    values = train(layers.RandomPosterization((2, 4)), x, torch.arange(300)).unique().tolist()
    assert values == [192.0, 224.0, 240.0]


@pytest.mark.parametrize("threshold", [0, 90, 128, 255])
def test_solarization_is_pillows(threshold: int) -> None:
    part = torch.full((1, 1, 1, 1), threshold / 255, dtype=torch.float64)
    got = layers.Solarization().transform(IMAGES.double(), part * 0, part)
    for ours, given in zip(got[..., 0].numpy(), BYTES, strict=True):
        np.testing.assert_array_equal(ours, np.asarray(ImageOps.solarize(Image.fromarray(given), threshold)))


def test_solarization_in_another_range_is_the_same() -> None:
    x, places = IMAGES.double(), torch.arange(5)
    bytes_, parts = (layers.Solarization(0.3, 0.9, value_range=each) for each in ((0, 255), (0, 1)))
    torch.testing.assert_close(train(parts, x / 255, places), train(bytes_, x, places) / 255)


def test_inversion_keeps_the_range_and_its_share() -> None:
    x = torch.full((1000, 1, 1, 1), -0.5)
    y = train(layers.RandomInvert((0.2, 0.4), value_range=(-1, 2)), x, torch.arange(1000))
    assert set(y.unique().tolist()) == {-0.5, 1.5}
    assert 0.26 < (y == 1.5).float().mean() < 0.34


def test_contrast_is_stretched_as_pillow_does() -> None:
    got = layers.AutoContrast()(IMAGES)
    for ours, given in zip(got[..., 0].numpy(), BYTES, strict=True):
        wanted = np.asarray(ImageOps.autocontrast(Image.fromarray(given))).astype(float)
        assert np.abs(ours - wanted).max() <= 1.001
        assert ours.min() == 0 and abs(ours.max() - 255) < 1e-3
    flat = torch.full((1, 3, 3, 1), 7.0)
    assert torch.equal(layers.AutoContrast()(flat), flat) and torch.equal(layers.Equalization()(flat), flat)


def test_equalization_is_the_cumulative_histogram() -> None:
    got = layers.Equalization()(IMAGES)
    for ours, given in zip(got[..., 0].numpy(), BYTES, strict=True):
        up_to = np.cumsum(np.bincount(given.ravel(), minlength=256))
        first = up_to[given.min()]
        table = np.round((up_to - first) * 255 / (given.size - first))
        np.testing.assert_allclose(ours, table[given], atol=1)  # halves may be rounded either way
        assert np.abs(np.sort(ours.ravel()) - np.linspace(0, 255, given.size)).mean() < 6


def test_refused_arguments() -> None:
    for wrong in (0, 9, (5, 3), 2.5, (1, 2, 3), True):
        with pytest.raises(ConfigError, match=r"RandomPosterization\.factor: got .*, expected an int from 1 to 8"):
            layers.RandomPosterization(wrong)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"RandomInvert\.factor: got \(1\.5, 1\.5\)|RandomInvert\.factor: got 1\.5"):
        layers.RandomInvert(1.5)
    with pytest.raises(ConfigError, match=r"Equalization\.bins: got 1, expected an int of at least 2"):
        layers.Equalization(bins=1)
