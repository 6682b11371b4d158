import math

import pytest
import torch

from lepton_ai import layers
from lepton_ai.core import ConfigError
from lepton_ai.layers import Layer
from tests.contracts.layer import Inputs, LayerContract, noise


class TestGaussianNoise(LayerContract):
    any_rank = True

    def make(self) -> Layer:
        return layers.GaussianNoise(0.4, seed=3)

    def example(self) -> Inputs:
        return (noise(7, 4, 3),)


class TestGaussianDropout(LayerContract):
    any_rank = True

    def make(self) -> Layer:
        return layers.GaussianDropout(0.4)

    def example(self) -> Inputs:
        return (noise(7, 4, 3),)


def test_the_noise_has_the_moments_of_a_normal_one() -> None:
    z = layers.GaussianNoise(2.0).train()(torch.zeros(3000, 101)) / 2
    for power, wanted in ((1, 0.0), (2, 1.0), (3, 0.0), (4, 3.0)):
        assert abs((z**power).mean() - wanted) < 0.05
    assert abs((z.abs() < 1).float().mean() - math.erf(0.5**0.5)) < 0.005
    assert abs(torch.corrcoef(z[:, :50].T).fill_diagonal_(0)).max() < 0.1


def test_the_factors_have_the_variance_of_dropouts() -> None:
    y = layers.GaussianDropout(0.2).train()(torch.full((3000, 101), 3.0)) / 3
    assert abs(y.mean() - 1) < 0.01 and abs(y.var() - 0.25) < 0.01


def test_no_noise_and_inference_are_identity() -> None:
    x = noise(4, 5)
    for layer in (layers.GaussianNoise(0), layers.GaussianDropout(0)):
        assert torch.equal(layer.train()(x), x)
    for layer in (layers.GaussianNoise(0.5), layers.GaussianDropout(0.5)):
        assert torch.equal(layer(x), x) and not torch.equal(layer.train()(x), x)
        assert layer.train()(x.double()).dtype == torch.float64


def test_refused_arguments() -> None:
    for stddev in (-0.1, float("nan"), float("inf"), True):
        with pytest.raises(ConfigError, match=r"GaussianNoise\.stddev: got .*, expected a number >= 0"):
            layers.GaussianNoise(stddev)
    with pytest.raises(ConfigError, match=r"GaussianDropout\.rate: got 1, expected a number from 0 to below 1"):
        layers.GaussianDropout(1)
