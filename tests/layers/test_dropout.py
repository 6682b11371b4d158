import pytest
import torch

from lepton_ai import layers
from lepton_ai.core import ConfigError, ShapeError
from lepton_ai.layers import Layer
from tests.contracts.layer import Inputs, LayerContract, noise


class TestDropout(LayerContract):
    any_rank = True

    def make(self) -> Layer:
        return layers.Dropout(0.4, noise_shape=(None, 1, None), seed=3)

    def example(self) -> Inputs:
        return (noise(7, 4, 3),)


class TestAlphaDropout(LayerContract):
    any_rank = True

    def make(self) -> Layer:
        return layers.AlphaDropout(0.4, noise_shape=(None, 1, None), seed=3)

    def example(self) -> Inputs:
        return (noise(7, 4, 3),)


class TestSpatialDropout1D(LayerContract):
    def make(self) -> Layer:
        return layers.SpatialDropout1D(0.4, seed=3)

    def example(self) -> Inputs:
        return (noise(7, 4, 3),)


class TestSpatialDropout2D(LayerContract):
    def make(self) -> Layer:
        return layers.SpatialDropout2D(0.4)

    def example(self) -> Inputs:
        return (noise(7, 4, 3, 2),)


class TestSpatialDropout3D(LayerContract):
    def make(self) -> Layer:
        return layers.SpatialDropout3D(0.4)

    def example(self) -> Inputs:
        return (noise(7, 2, 3, 3, 2),)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_the_share_and_the_scale(rate: float) -> None:
    y = layers.Dropout(rate).train()(torch.ones(1000, 101))
    kept = y != 0
    assert abs(kept.float().mean() - (1 - rate)) < 0.005
    torch.testing.assert_close(y[kept].unique(), torch.tensor([1 / (1 - rate)]))


def test_rate_zero_and_inference_are_identity() -> None:
    x = noise(4, 5)
    assert torch.equal(layers.Dropout(0.0).train()(x), x)
    assert torch.equal(layers.Dropout(0.5)(x), x)


def test_gradients_pass_where_values_passed() -> None:
    x = torch.ones(8, 9, requires_grad=True)
    y = layers.Dropout(0.5).train()(x)
    y.sum().backward()
    assert x.grad is not None and torch.equal(x.grad, y.detach())


def test_noise_is_shared_along_sizes_of_one() -> None:
    y = layers.Dropout(0.5, noise_shape=(None, 1, None)).train()(torch.ones(50, 6, 7))
    assert torch.equal(y, y[:, :1].expand(50, 6, 7)) and 0 < (y == 0).float().mean() < 1


def test_refused_arguments() -> None:
    for rate in (-0.1, 1, 1.0, float("nan"), True):
        with pytest.raises(ConfigError, match=r"Dropout\.rate: got .*, expected a number from 0 to below 1"):
            layers.Dropout(rate)
    with pytest.raises(ConfigError, match=r"Dropout\.noise_shape: got \(1, 3\), expected None for the batch"):
        layers.Dropout(0.5, noise_shape=(1, 3))
    with pytest.raises(ConfigError, match=r"Dropout\.seed: got 1\.5, expected an int or None"):
        layers.Dropout(0.5, seed=1.5)  # type: ignore[arg-type]
    with pytest.raises(
        ShapeError, match=r"got an input of shape \(2, 3, 4\), expected as many dimensions as noise_shape=\(None, 1\)"
    ):
        layers.Dropout(0.5, noise_shape=(None, 1))(noise(2, 3, 4))
    with pytest.raises(ConfigError, match=r"SpatialDropout1D\.rate: got 2, expected a number from 0 to below 1"):
        layers.SpatialDropout1D(2)
    with pytest.raises(ConfigError, match=r"SpatialDropout2D\.data_format"):
        layers.SpatialDropout2D(0.5, data_format="channels_first")
    with pytest.raises(ConfigError, match=r"SpatialDropout3D\.data_format"):
        layers.SpatialDropout3D(0.5, data_format="channels_first")


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_whole_channels_are_dropped(rank: int) -> None:
    x = torch.ones(60, *(3, 2, 4)[:rank], 50)
    y = getattr(layers, f"SpatialDropout{rank}D")(0.3).train()(x).reshape(60, -1, 50)
    assert torch.equal(y, y[:, :1].expand_as(y))
    assert abs((y == 0).float().mean() - 0.3) < 0.03


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_alpha_dropout_keeps_mean_and_variance(rate: float) -> None:
    y = layers.AlphaDropout(rate).train()(noise(2000, 101))
    assert abs(y.mean()) < 0.02 and abs(y.var() - 1) < 0.02
    assert abs((y == y.flatten().mode().values).float().mean() - rate) < 0.01
    assert torch.equal(layers.AlphaDropout(0.0).train()(y), y)
