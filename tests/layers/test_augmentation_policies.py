import pytest
import torch

from lepton_ai import layers
from lepton_ai.core import ConfigError
from lepton_ai.layers import Layer
from tests.contracts.random_layer import RandomImages, train


class TestRandAugment(RandomImages):
    needs_values = True

    def make(self) -> Layer:
        return layers.RandAugment(num_ops=2, factor=0.4)


def test_all_changes_come_up() -> None:
    """One image with a gradient, changed once in many rows: eleven changes leave many different images."""
    ramp = torch.linspace(30, 200, 8)
    image = torch.stack((ramp[:, None].expand(8, 8), ramp[None].expand(8, 8), ramp[:, None] / 2 + ramp[None] / 3), 2)
    x = image.expand(400, -1, -1, -1)
    y = train(layers.RandAugment(num_ops=1, factor=0.3), x, torch.arange(400))
    assert y.flatten(1).unique(dim=0).shape[0] > 200
    equalized = layers.Equalization()(image[None])[0]
    stretched = layers.AutoContrast()(image[None])[0]
    for fixed in (equalized, stretched):
        share = (y - fixed).abs().amax((1, 2, 3)).lt(1e-3).float().mean()
        assert 0.05 < share < 0.14  # one of eleven
    grey = train(layers.RandAugment(num_ops=2), x[..., :1], torch.arange(400))
    assert grey.shape == (400, 8, 8, 1)


def test_refused_arguments() -> None:
    with pytest.raises(ConfigError, match=r"RandAugment\.num_ops: got 0, expected a positive int"):
        layers.RandAugment(num_ops=0)
    with pytest.raises(ConfigError, match=r"RandAugment\.factor: got 2, expected a number from 0 to 1"):
        layers.RandAugment(factor=2)
