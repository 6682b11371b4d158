import numpy as np
import pytest
import torch

from lepton_ai import layers
from lepton_ai.core import ConfigError, DataError, ShapeError
from lepton_ai.layers import Fitted, Layer
from tests.contracts.fitted import FittedContract
from tests.contracts.layer import Inputs, LayerContract, noise


class TestLogScaling(LayerContract):
    any_rank = True

    def make(self) -> Layer:
        return layers.LogScaling()

    def example(self) -> Inputs:
        return (noise(7, 3) * 9,)


class TestPowerTransform(FittedContract):
    def make(self) -> Fitted:
        return layers.PowerTransform()

    def example(self) -> Inputs:
        return (noise(7, 3).exp() - 0.5,)


class TestPolynomialFeatures(LayerContract):
    any_rank = True

    def make(self) -> Layer:
        return layers.PolynomialFeatures(3)

    def example(self) -> Inputs:
        return (noise(7, 3),)


def test_logarithms_of_all_numbers() -> None:
    x = torch.tensor([[-3.0, 0.0, 3.0]])
    assert torch.equal(layers.LogScaling()(-x), -layers.LogScaling()(x))
    assert torch.equal(layers.LogScaling(floor=1.0)(x), torch.tensor([[0.0, 0.0, 3.0]]).clamp(min=1).log())
    with pytest.raises(ConfigError, match=r"LogScaling\.floor: got 0, expected a number above 0, or None"):
        layers.LogScaling(0)


@pytest.mark.parametrize("method", ["yeo-johnson", "box-cox"])
def test_skewed_data_become_normal(method: str) -> None:
    data = np.random.default_rng(0).lognormal(1, 1.5, (2000, 2)) + 0.01
    layer = layers.PowerTransform(method)
    layer.adapt(data)
    y = layer(torch.from_numpy(data).float())
    torch.testing.assert_close(y.mean(0), torch.zeros(2), atol=1e-4, rtol=0)
    torch.testing.assert_close(y.std(0, correction=0), torch.ones(2), atol=1e-4, rtol=0)
    assert float(y.pow(3).mean(0).abs().max()) < 0.2  # no longer skewed


def test_zero_has_a_finite_gradient() -> None:
    layer = layers.PowerTransform()
    layer.adapt(noise(50, 1))
    x = torch.tensor([[0.0], [-0.0], [1e-30], [-5.0]], requires_grad=True)
    layer(x).sum().backward()
    assert x.grad is not None and x.grad.isfinite().all()


def test_constant_features() -> None:
    layer = layers.PowerTransform()
    layer.adapt([[3.0], [3.0], [float("nan")]])
    assert layer(torch.tensor([[3.0], [4.0]])).flatten().tolist() == [0.0, 1.0]


def test_data_without_a_power() -> None:
    with pytest.raises(DataError, match=r"'bend': got values that are not above 0\. Use method=\"yeo-johnson\""):
        layers.PowerTransform("box-cox", name="bend").adapt([[1.0], [0.0]])
    far = np.random.default_rng(0).normal(1e6, 1.0, (100, 1))
    with pytest.raises(DataError, match=r"'bend': got values so far from 0, .* Put a Normalization before it\."):
        layers.PowerTransform(name="bend").adapt(far)
    with pytest.raises(ConfigError, match=r"PowerTransform\.method: unknown method 'boxcox'. Did you mean 'box-cox'"):
        layers.PowerTransform("boxcox")


def test_products() -> None:
    x = torch.tensor([[2.0, 3.0, 5.0]])
    pairs = layers.PolynomialFeatures(2, interaction_only=True, include_bias=False)
    assert pairs(x).tolist() == [[2.0, 3.0, 5.0, 6.0, 10.0, 15.0]]
    assert layers.PolynomialFeatures((2, 2), include_bias=False)(x).shape == (1, 6)
    assert pairs.compute_output_shape((None, 4, 3)) == (None, 4, 6)
    again = layers.PolynomialFeatures.from_config(pairs.get_config())
    assert torch.equal(again(x), pairs(x))
    with pytest.raises(ConfigError, match=r"PolynomialFeatures\.degree: got 0, expected a positive int, or two ints"):
        layers.PolynomialFeatures(0)
    with pytest.raises(ShapeError, match=r"expected a fixed number of features"):
        layers.PolynomialFeatures().ensure_built((None, None))
    with pytest.raises(ShapeError, match=r"got 1 features, too few for a product"):
        layers.PolynomialFeatures((2, 3), interaction_only=True, include_bias=False)(torch.ones(2, 1))
