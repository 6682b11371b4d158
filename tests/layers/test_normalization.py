import pytest
import torch

from lepton_ai import layers
from lepton_ai.core import ConfigError, ShapeError
from lepton_ai.layers import Layer
from tests.contracts.layer import Inputs, LayerContract, noise


class TestBatchNormalization(LayerContract):
    def make(self) -> Layer:
        return layers.BatchNormalization(moving_mean_initializer=layers.Constant(0.3))

    def example(self) -> Inputs:
        return (noise(7, 4, 3, 5),)


class TestLayerNormalization(LayerContract):
    def make(self) -> Layer:
        return layers.LayerNormalization(axis=(1, 2), gamma_initializer="uniform")

    def example(self) -> Inputs:
        return (noise(7, 4, 3, 5),)


class TestRMSNormalization(LayerContract):
    def make(self) -> Layer:
        return layers.RMSNormalization(axis=(1, 3))

    def example(self) -> Inputs:
        return (noise(7, 4, 3, 5),)


class TestGroupNormalization(LayerContract):
    def make(self) -> Layer:
        return layers.GroupNormalization(groups=3, gamma_initializer="uniform")

    def example(self) -> Inputs:
        return (noise(7, 4, 3, 6),)


class TestUnitNormalization(LayerContract):
    def make(self) -> Layer:
        return layers.UnitNormalization(axis=(1, -1))

    def example(self) -> Inputs:
        return (noise(7, 4, 3),)


def test_groups_are_normalised() -> None:
    y = layers.GroupNormalization(groups=2)(noise(3, 9, 8, 4) * 4 + 7).reshape(3, 72, 2, 2)
    torch.testing.assert_close(y.mean((1, 3)), torch.zeros(3, 2), atol=1e-5, rtol=0)
    torch.testing.assert_close(y.std((1, 3), correction=0), torch.ones(3, 2), atol=1e-3, rtol=0)
    each = layers.GroupNormalization(groups=-1)
    torch.testing.assert_close(each(noise(3, 9, 4)), layers.GroupNormalization(groups=4)(noise(3, 9, 4)))
    assert each.get_config()["groups"] == -1
    with pytest.raises(ShapeError, match=r"'sort': got .* number of channels that is a multiple of groups=32"):
        layers.GroupNormalization(name="sort")(noise(3, 9, 4))
    with pytest.raises(ConfigError, match=r"GroupNormalization\.groups: got 0, expected a positive int"):
        layers.GroupNormalization(groups=0)


def test_zeros_have_no_direction() -> None:
    x = torch.zeros(2, 3, requires_grad=True)
    y = layers.UnitNormalization()(x)
    y.sum().backward()
    assert torch.equal(y, torch.zeros(2, 3)) and x.grad is not None and x.grad.isfinite().all()
    torch.testing.assert_close(layers.UnitNormalization()(noise(4, 5)).norm(dim=1), torch.ones(4))
    with pytest.raises(ConfigError, match=r"UnitNormalization\.axis: got 0, expected axes other than 0, the batch"):
        layers.UnitNormalization(0)


def test_batches_are_normalised_in_training_only() -> None:
    layer = layers.BatchNormalization(momentum=0.5)
    x = noise(200, 3) * 4 + 7
    torch.testing.assert_close(layer(x), x / (1 + 1e-3) ** 0.5)
    y = layer.train()(x)
    torch.testing.assert_close(y.mean(0), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(y.std(0, correction=0), torch.ones(3), atol=1e-3, rtol=0)
    torch.testing.assert_close(layer.running_mean, x.mean(0) / 2)
    torch.testing.assert_close(layer.running_var, 0.5 + x.var(0, correction=0) / 2)


def test_running_statistics_do_not_hold_the_graph() -> None:
    layer = layers.BatchNormalization().train()
    for _ in range(2):
        layer(noise(4, 3)).sum().backward()
    assert not layer.running_mean.requires_grad and all(weight.grad is not None for weight in layer.parameters())


def test_gradients_in_training() -> None:
    layer = layers.BatchNormalization()
    layer(noise(4, 3))
    layer.double().train()
    x = noise(4, 3).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda *_: layer(x), (x, *layer.parameters()))


def test_images_stay_channels_last_in_memory() -> None:
    assert layers.BatchNormalization().train()(noise(4, 6, 5, 3)).is_contiguous()


def test_refused_arguments() -> None:
    with pytest.raises(ConfigError, match=r"BatchNormalization\.axis: got 0, expected axes other than 0, the batch"):
        layers.BatchNormalization(axis=0)
    with pytest.raises(
        ConfigError, match=r"BatchNormalization\.momentum: got 1\.5, expected a number from 0 to below 1"
    ):
        layers.BatchNormalization(momentum=1.5)
    with pytest.raises(ConfigError, match=r"LayerNormalization\.epsilon: got 0, expected a positive number"):
        layers.LayerNormalization(epsilon=0)
    with pytest.raises(
        ShapeError, match=r"'scale': got an input of shape \(None, None\), expected fixed sizes at axis -1"
    ):
        layers.LayerNormalization(name="scale").ensure_built((None, None))
