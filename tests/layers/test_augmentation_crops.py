import numpy as np
import pytest
import torch
from scipy import ndimage

from lepton_ai import layers
from lepton_ai.core import ConfigError
from lepton_ai.layers import Layer
from tests.contracts.layer import noise
from tests.contracts.random_layer import RandomImages, train


class TestRandomCrop(RandomImages):
    identity = False

    def make(self) -> Layer:
        return layers.RandomCrop(6, 5)


class TestRandomResizedCrop(RandomImages):
    identity = False

    def make(self) -> Layer:
        return layers.RandomResizedCrop(6, 5, scale=(0.2, 0.9))


def test_crops_are_windows_and_every_place_is_reached() -> None:
    x = torch.arange(6 * 5).view(1, 6, 5, 1).expand(400, -1, -1, -1)
    crops, masks = train(layers.RandomCrop(4, 3), x, torch.arange(400), targets=x[..., 0])
    places = set()
    for crop, mask in zip(crops, masks, strict=True):
        top, left = divmod(int(crop[0, 0, 0]), 5)
        assert torch.equal(crop[..., 0].long(), x[0, top : top + 4, left : left + 3, 0])
        assert torch.equal(crop[..., 0].long(), mask)
        places.add((top, left))
    assert places == {(top, left) for top in range(3) for left in range(3)}


def test_inference_and_small_images_give_the_resized_middle() -> None:
    x = noise(3, 10, 6, 2)
    layer = layers.RandomCrop(4, 4)
    torch.testing.assert_close(layer(x), layers.Resizing(4, 4)(x[:, 2:8]))
    mask = (x[..., :1] > 0).to(torch.uint8)
    cropped, moved = layers.RandomCrop(5, 3)(mask, mask)  # the whole, halved
    assert cropped.shape == moved.shape == (3, 5, 3, 1) and moved.dtype == torch.uint8
    small = layers.RandomCrop(12, 12)
    assert torch.equal(small.train()(x), small.eval()(x)) and small(x).shape == (3, 12, 12, 2)


def test_a_resized_window_is_scipys() -> None:
    x = np.random.default_rng(0).normal(size=(1, 12, 10, 1))
    layer = layers.RandomResizedCrop(5, 4)
    top, left, tall, wide = 2.25, 1.5, 6.5, 7.0
    numbers = torch.tensor([[top, left, tall, wide]], dtype=torch.float64)
    got = layer.window(torch.from_numpy(x), numbers[:, 0], numbers[:, 1], numbers[:, 2], numbers[:, 3])[
        0, :, :, 0
    ].numpy()
    rows = top + (np.arange(5) + 0.5) * tall / 5 - 0.5
    columns = left + (np.arange(4) + 0.5) * wide / 4 - 0.5
    places = np.stack(np.meshgrid(rows, columns, indexing="ij"))
    np.testing.assert_allclose(got, ndimage.map_coordinates(x[0, :, :, 0], places, order=1), atol=1e-9)


def test_windows_keep_their_bounds() -> None:
    """A ramp tells which window was read: its slope is the size, its mean the place."""
    ramp = torch.linspace(0.5, 99.5, 100)
    x = torch.stack((ramp[:, None].expand(100, 100), ramp[None].expand(100, 100)), 2).expand(300, -1, -1, -1)
    y = train(layers.RandomResizedCrop(50, 50, scale=(0.1, 0.5), ratio=(0.5, 2.0)), x, torch.arange(300))
    tall = (y[:, 30, 20, 0] - y[:, 20, 20, 0]) * 5
    wide = (y[:, 20, 30, 1] - y[:, 20, 20, 1]) * 5
    area, ratio = tall * wide / 1e4, wide / tall
    assert 0.099 < area.min() < 0.12 and 0.45 < area.max() < 0.501
    assert 0.499 < ratio.min() < 0.55 and 1.8 < ratio.max() < 2.001
    assert y.min() >= 0.5 - 1e-3 and y.max() <= 99.5 + 1e-3


def test_refused_arguments() -> None:
    with pytest.raises(ConfigError, match=r"RandomCrop\.height: got 0, expected a positive int"):
        layers.RandomCrop(0, 3)
    with pytest.raises(ConfigError) as caught:
        layers.RandomResizedCrop(3, 3, scale=(0.5, 1.5))
    assert str(caught.value) == (
        "RandomResizedCrop.scale: got (0.5, 1.5), expected two numbers above 0 and up to 1, the lower first"
    )
    with pytest.raises(ConfigError, match=r"ratio: got \(0, 1\), expected two numbers above 0, the lower first"):
        layers.RandomResizedCrop(3, 3, ratio=(0, 1))
