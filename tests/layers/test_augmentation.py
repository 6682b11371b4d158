import pytest
import torch

from lepton_ai import layers
from lepton_ai.core import ConfigError
from lepton_ai.layers import Layer
from tests.contracts.layer import Inputs, LayerContract, noise


class _OnImages(LayerContract):
    def example(self) -> Inputs:
        return (noise(7, 5, 6, 3),)


class TestRandomFlip(_OnImages):
    def make(self) -> Layer:
        return layers.RandomFlip("horizontal")


class TestRandomTranslation(_OnImages):
    def make(self) -> Layer:
        return layers.RandomTranslation((-0.1, 0.2), 0.3, fill_mode="constant", fill_value=0.5)


@pytest.mark.parametrize("mode", ["horizontal", "vertical", "horizontal_and_vertical"])
def test_each_image_is_flipped_or_not(mode: str) -> None:
    x = noise(400, 3, 4, 2)
    y = layers.RandomFlip(mode).train()(x)
    ways = {"horizontal": [(), (2,)], "vertical": [(), (1,)]}.get(mode, [(), (1,), (2,), (1, 2)])
    counts = [sum(torch.equal(a, b) for a, b in zip(y, x.flip(way), strict=True)) for way in ways]
    assert sum(counts) == 400
    assert min(counts) > 400 / len(ways) * 0.7


def test_translation_by_whole_pixels_moves_them() -> None:
    x = noise(1, 6, 8, 2)
    layer = layers.RandomTranslation((0.5, 0.5), (-0.25, -0.25), fill_mode="constant")
    moved = layer.train()(x)
    torch.testing.assert_close(moved[:, 3:, :6], x[:, :3, 2:], atol=1e-5, rtol=1e-5)
    assert moved[:, :3].abs().max() < 1e-5 and moved[:, :, 6:].abs().max() < 1e-5


def test_shifts_stay_within_their_bounds_and_differ_by_row() -> None:
    x = torch.zeros(300, 21, 21, 1)
    x[:, 10, 10] = 1
    moved = layers.RandomTranslation(0.2, (0.0, 0.1), interpolation="nearest").train()(x)
    places = moved[..., 0].flatten(1).argmax(1)
    down, right = places // 21 - 10, places % 21 - 10
    assert down.min() == -4 and down.max() == 4
    assert right.min() == 0 and right.max() == 2


def test_bytes_become_floats_in_training_and_after() -> None:
    x = torch.full((2, 4, 4, 1), 7, dtype=torch.uint8)
    layer = layers.RandomFlip()
    assert layer(x).dtype == layer.train()(x).dtype == torch.float32


def test_refused_arguments() -> None:
    with pytest.raises(ConfigError, match=r"RandomFlip\.mode: unknown mode 'horizontl'\. Did you mean 'horizontal'"):
        layers.RandomFlip("horizontl")
    with pytest.raises(ConfigError, match=r"RandomTranslation\.height_factor: got \(0\.2, 0\.1\), expected a part"):
        layers.RandomTranslation((0.2, 0.1), 0.1)
    with pytest.raises(ConfigError, match=r"RandomTranslation\.fill_mode: unknown fill_mode 'wrap'"):
        layers.RandomTranslation(0.1, 0.1, fill_mode="wrap")
