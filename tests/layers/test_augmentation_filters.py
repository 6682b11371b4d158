import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance
from scipy import ndimage

from lepton_ai import layers
from lepton_ai.core import ConfigError
from lepton_ai.layers import Layer
from tests.contracts.layer import noise
from tests.contracts.random_layer import RandomImages, train


class TestRandomSharpness(RandomImages):
    def make(self) -> Layer:
        return layers.RandomSharpness(1.0)


class TestRandomGaussianBlur(RandomImages):
    def make(self) -> Layer:
        return layers.RandomGaussianBlur(0.7, kernel_size=(5, 3), sigma=(0.0, 2.0))


class TestRandomErasing(RandomImages):
    def make(self) -> Layer:
        return layers.RandomErasing(0.8)


@pytest.mark.parametrize("strength", [0.0, 0.3, 0.5, 0.9])
def test_sharpness_is_pillows(strength: float) -> None:
    given = np.random.default_rng(0).integers(0, 256, (10, 8, 3), dtype=np.uint8)
    factor = torch.full((1, 1, 1, 1), strength)
    got = layers.RandomSharpness(1.0).transform(torch.from_numpy(given)[None].float(), factor).clamp(0, 255)
    wanted = np.asarray(ImageEnhance.Sharpness(Image.fromarray(given)).enhance(2 * strength)).astype(float)
    assert np.abs(got[0].numpy() - wanted).max() <= 1.5  # Pillow rounds twice
    tiny = torch.ones(1, 2, 2, 1)
    assert torch.equal(layers.RandomSharpness(1.0).transform(tiny, factor), tiny)


@pytest.mark.parametrize(("size", "sigma"), [(3, 0.7), (7, 1.6), (9, 4.0)])
def test_blur_is_scipys(size: int, sigma: float) -> None:
    x = np.random.default_rng(0).normal(size=(2, 6, 7, 2))
    layer = layers.RandomGaussianBlur(kernel_size=(size, 1))
    tall = layer.transform(torch.from_numpy(x), torch.tensor([sigma, sigma], dtype=torch.float64)).numpy()
    wanted = ndimage.gaussian_filter1d(x, sigma, axis=1, mode="nearest", radius=size // 2)
    np.testing.assert_allclose(tall, wanted, atol=1e-5)
    both = layers.RandomGaussianBlur(kernel_size=size)
    got = both.transform(torch.from_numpy(x), torch.tensor([sigma, 0.0], dtype=torch.float64)).numpy()
    wanted = ndimage.gaussian_filter1d(wanted, sigma, axis=2, mode="nearest", radius=size // 2)
    np.testing.assert_allclose(got[0], wanted[0], atol=1e-5)
    np.testing.assert_allclose(got[1], x[1], atol=1e-12)


def test_erasing_covers_one_rectangle_of_its_size() -> None:
    x = torch.ones(500, 20, 30, 2)
    y, mask = train(
        layers.RandomErasing(0.6, scale=(0.04, 0.25), fill_value=(0.0, 5.0)), x, torch.arange(500), targets=x
    )
    assert torch.equal(mask, x)
    erased = y[..., 0] == 0
    assert torch.equal(y[..., 1] == 5, erased)
    changed = erased.flatten(1).any(1)
    assert 0.54 < changed.float().mean() < 0.66
    for each in erased[changed]:
        rows, columns = each.any(1).nonzero()[:, 0], each.any(0).nonzero()[:, 0]
        tall, wide = len(rows), len(columns)
        assert int(each.sum()) == tall * wide and 4 <= tall <= 10 and 6 <= wide <= 15
    assert erased.any(1).any(0).all() and erased.any(2).any(0).all()  # up to the borders


def test_noise_covers_the_range_evenly() -> None:
    x = torch.zeros(50, 16, 16, 3)
    y = train(layers.RandomErasing(1.0, scale=1.0, value_range=(10, 30)), x, torch.arange(50))
    values = y[y != 0]
    assert values.min() >= 10 and values.max() <= 30
    assert abs(values.mean() - 20) < 0.2 and abs(values.std() - 20 / 12**0.5) < 0.2
    again = train(layers.GaussianNoise(1.0), noise(5, 3), torch.arange(5), targets=noise(5, 3))
    assert torch.equal(again[1], noise(5, 3)) and not torch.equal(again[0], again[1])


def test_refused_arguments() -> None:
    for wrong in (2, 0, (3, 4), 2.5):
        with pytest.raises(ConfigError, match=r"RandomGaussianBlur\.kernel_size: got .*, expected an odd int, or two"):
            layers.RandomGaussianBlur(kernel_size=wrong)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"RandomErasing\.fill_value: got 'red', expected a number, one for each"):
        layers.RandomErasing(fill_value="red")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"RandomErasing\.scale: got \(0, 2\)"):
        layers.RandomErasing(scale=(0, 2))
