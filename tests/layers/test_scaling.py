import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lepton_ai import layers
from lepton_ai.core import ConfigError, DataError, ShapeError, UsageError
from lepton_ai.layers import Fitted, Layer
from tests.contracts.fitted import FittedContract
from tests.contracts.layer import Inputs, LayerContract, noise


class TestRescaling(LayerContract):
    any_rank = True

    def make(self) -> Layer:
        return layers.Rescaling(1 / 127.5, offset=(-1.0, 0.0, 1.0))

    def example(self) -> Inputs:
        return (noise(7, 4, 3),)


class TestNormalization(LayerContract):
    any_rank = True

    def make(self) -> Layer:
        return layers.Normalization(mean=(1.0, 2.0, 3.0), variance=(4.0, 5.0, 6.0), missing="mean")

    def example(self) -> Inputs:
        return (noise(7, 3),)


class TestRobustScaling(FittedContract):
    def make(self) -> Fitted:
        return layers.RobustScaling((10.0, 80.0))

    def example(self) -> Inputs:
        return (noise(7, 3),)


class TestMinMaxScaling(FittedContract):
    def make(self) -> Fitted:
        return layers.MinMaxScaling((-1.0, 2.0))

    def example(self) -> Inputs:
        return (noise(7, 3),)


class TestWinsorization(FittedContract):
    def make(self) -> Fitted:
        return layers.Winsorization(0.1, 0.8)

    def example(self) -> Inputs:
        return (noise(7, 3),)


def test_bytes_become_floats() -> None:
    y = layers.Rescaling(1 / 255)(torch.tensor([[0, 51, 255]], dtype=torch.uint8))
    assert y.dtype == torch.float32
    torch.testing.assert_close(y, torch.tensor([[0.0, 0.2, 1.0]]))


def test_one_scale_for_each_channel() -> None:
    layer = layers.Rescaling((1.0, 2.0), name="fit")
    assert layer(torch.ones(1, 2)).tolist() == [[1.0, 2.0]]
    with pytest.raises(ShapeError, match=r"'fit': got an input of shape \(1, 3\), expected 2 channels"):
        layers.Rescaling((1.0, 2.0), name="fit")(torch.ones(1, 3))
    with pytest.raises(ConfigError, match=r"Rescaling\.scale: got 'x', expected a number, or one for each channel"):
        layers.Rescaling("x")  # type: ignore[arg-type]


@given(st.integers(2, 60), st.integers(1, 5), st.integers(0, 2**31))
@settings(max_examples=50, deadline=None)
def test_missing_values_are_left_out_and_read_as_the_mean(rows: int, columns: int, seed: int) -> None:
    noise = np.random.default_rng(seed)
    data = noise.normal(noise.normal(0, 100), 3, (rows, columns))
    gaps = noise.random(data.shape) < 0.4
    gaps[0] = False
    data[gaps] = np.nan
    layer = layers.Normalization(missing="mean")
    layer.ensure_built(data.shape)
    layer.double().adapt(data)
    np.testing.assert_allclose(layer.adapted_mean, np.nanmean(data, 0), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(layer.adapted_variance, np.nanvar(data, 0), rtol=1e-12, atol=1e-10)
    y = layer(torch.from_numpy(data))
    assert y.isfinite().all() and not y[torch.from_numpy(gaps)].any()
    assert layer.accepts_missing


def test_statistics_of_bytes_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    images = np.random.default_rng(0).integers(0, 256, (50, 6, 6, 3), dtype=np.uint8)
    whole, parts = layers.Normalization(), layers.Normalization()
    whole.adapt(images)
    monkeypatch.setattr("lepton_ai.layers.fitted._CHUNK", 300)
    parts.adapt(images)
    for a, b in zip(whole.get_weights(), parts.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)
    np.testing.assert_allclose(whole.adapted_mean, images.mean((0, 1, 2)), rtol=1e-6)


def test_large_offsets_keep_their_variance() -> None:
    data = np.random.default_rng(0).normal(1e6, 1e-2, (1000, 1))
    layer = layers.Normalization()
    layer.adapt(data)
    np.testing.assert_allclose(layer.adapted_variance, data.var(0), rtol=1e-5)


def test_frames_and_tensors_are_data_too() -> None:
    data = np.array([[1.0, 2.0], [3.0, 6.0]])
    for given_as in (pd.DataFrame(data), torch.from_numpy(data), data.tolist()):
        layer = layers.Normalization()
        layer.adapt(given_as)
        assert layer.adapted_mean.tolist() == [2.0, 4.0] and layer.adapted_variance.tolist() == [1.0, 4.0]


def test_data_without_numbers() -> None:
    layer = layers.Normalization(name="scale")
    with pytest.raises(DataError, match=r"'scale': got only missing values, or infinite ones, in the features \[1\]"):
        layer.adapt(np.array([[1.0, np.nan], [2.0, np.nan]]))
    with pytest.raises(DataError, match=r"'scale': got only missing values, or infinite ones, in the features \[0\]"):
        layer.adapt(np.array([[np.inf, 1.0], [2.0, 1.0]]))
    with pytest.raises(DataError, match="'scale': got values of type <U1, expected numbers"):
        layer.adapt(np.array([["a", "b"]]))
    with pytest.raises(DataError, match=r"'scale': got \(0, 2\), expected a shape with rows"):
        layer.adapt(np.zeros((0, 2)))


def test_it_says_that_it_was_not_adapted() -> None:
    layer = layers.Normalization(name="scale")
    with pytest.raises(UsageError, match=r"'scale': has no mean and variance yet\. Call adapt\(x_train\) before"):
        layer(noise(2, 3))
    other = layers.Normalization()
    other.adapt(noise(9, 3))
    layer.load_state_dict(other.state_dict())
    assert torch.equal(layer(noise(2, 3)), other(noise(2, 3)))


def test_another_width_is_refused() -> None:
    layer = layers.Normalization(name="scale")
    layer.adapt(noise(9, 3))
    with pytest.raises(ShapeError, match=r"'scale': got an input of shape \(2, 1\), expected 3 at axis -1"):
        layer(noise(2, 1))
    with pytest.raises(ShapeError, match=r"'scale': got an input of shape \(9, 4\), expected 3 at axis -1"):
        layer.adapt(noise(9, 4))


def test_refused_arguments() -> None:
    with pytest.raises(ConfigError, match="expected mean and variance of one shape, or neither"):
        layers.Normalization(mean=1.0)
    with pytest.raises(ConfigError, match=r'Normalization\.missing: got .median., expected None, or "mean"'):
        layers.Normalization(missing="median")
    with pytest.raises(ConfigError, match=r"Normalization\.axis: got 0"):
        layers.Normalization(axis=0)
    with pytest.raises(UsageError, match="has its mean and variance already"):
        layers.Normalization(mean=1.0, variance=1.0).adapt(noise(3, 3))
    with pytest.raises(ShapeError, match=r"has a mean of shape \(2,\), expected \(3,\)"):
        layers.Normalization(mean=(1.0, 2.0), variance=(1.0, 2.0))(noise(2, 3))


def test_constant_features_are_shifted_only() -> None:
    data = np.full((5, 1), 3.0)
    for layer in (layers.RobustScaling(), layers.MinMaxScaling()):
        layer.adapt(data)
        assert layer(torch.tensor([[3.0], [5.0]])).tolist() == [[0.0], [2.0]]


def test_ranges() -> None:
    layer = layers.MinMaxScaling((-1, 1), clip=True)
    layer.adapt([[0.0, 10.0], [4.0, 30.0], [np.nan, 20.0]])
    assert layer(torch.tensor([[-4.0, 20.0], [2.0, 99.0]])).tolist() == [[-1.0, 0.0], [0.0, 1.0]]
    assert layer(torch.tensor([[np.nan, 20.0]])).isnan().tolist() == [[True, False]]
    images = layers.Winsorization(0.0, 0.5, axis=None)
    images.adapt(torch.arange(24).view(2, 3, 2, 2))
    assert images(torch.tensor([[[[99.0, -9.0]]]])).flatten().tolist() == [11.5, 0.0]


@given(st.integers(1, 40), st.integers(1, 4), st.integers(0, 2**31))
@settings(max_examples=50, deadline=None)
def test_quantiles_are_numpys(rows: int, columns: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    data = generator.normal(size=(rows, columns)).round(1)
    data[1:][generator.random((rows - 1, columns)) < 0.3] = np.nan
    layer = layers.Winsorization(0.2, 0.9)
    layer.ensure_built(data.shape)
    layer.double().adapt(data)
    np.testing.assert_allclose(layer.adapted_lower, np.nanquantile(data, 0.2, axis=0), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(layer.adapted_upper, np.nanquantile(data, 0.9, axis=0), rtol=1e-12, atol=1e-12)


def test_refused_bounds() -> None:
    with pytest.raises(
        ConfigError,
        match=r"RobustScaling\.quantile_range: got \(75, 25\), expected two numbers, the lower first, from 0",
    ):
        layers.RobustScaling((75, 25))
    with pytest.raises(
        ConfigError, match=r"MinMaxScaling\.feature_range: got \(1, 1\), expected two numbers, the lower"
    ):
        layers.MinMaxScaling((1, 1))
    with pytest.raises(ConfigError, match=r"Winsorization: got \(0\.5, 1\.5\), expected .* from 0 to 1"):
        layers.Winsorization(0.5, 1.5)
