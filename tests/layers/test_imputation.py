import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lepton_ai import layers
from lepton_ai.core import ConfigError, DataError
from lepton_ai.layers import Fitted, Layer
from tests.contracts.fitted import FittedContract
from tests.contracts.layer import Inputs, LayerContract, noise

NAN = float("nan")


class TestImputation(FittedContract):
    def make(self) -> Fitted:
        return layers.Imputation("median")

    def example(self) -> Inputs:
        return (noise(7, 3),)


class TestImputationWithIndicator(LayerContract):
    any_rank = True

    def make(self) -> Layer:
        return layers.Imputation("constant", -1.0, add_indicator=True)

    def example(self) -> Inputs:
        x = noise(7, 4, 3)
        return (torch.where(x > 1, NAN, x),)

    def test_gradients(self) -> None:
        pytest.skip("differences of NaN are none")

    def test_input_is_unchanged(self) -> None:
        x = self.example()[0]
        before = x.clone()
        self.make()(x)
        torch.testing.assert_close(x, before, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize(
    ("strategy", "wanted"), [("mean", [3.0, 4.0]), ("median", [2.0, 4.0]), ("most_frequent", [1.0, 3.0])]
)
def test_what_fills_the_gaps(strategy: str, wanted: list[float]) -> None:
    layer = layers.Imputation(strategy)
    layer.adapt([[1, 5], [NAN, NAN], [1, 3], [3, NAN], [7, NAN]])
    assert layer(torch.tensor([[NAN, NAN], [9.0, 8.0]])).tolist() == [wanted, [9.0, 8.0]]
    assert layer.accepts_missing


def test_constants_need_no_data() -> None:
    layer = layers.Imputation("constant", add_indicator=True)
    x = torch.tensor([[NAN, 2.0], [3.0, NAN]])
    layer.adapt(x)
    assert layer(x).tolist() == [[0.0, 2.0, 1.0, 0.0], [3.0, 0.0, 0.0, 1.0]]
    assert layer.compute_output_shape((None, 5, 2)) == (None, 5, 4)


def test_features_without_numbers() -> None:
    data = np.array([[1.0, NAN], [2.0, NAN]])
    with pytest.raises(
        DataError,
        match=r"'fill': got no number in the features \[1\]\. Drop these features, or say what fills them: Imp",
    ):
        layers.Imputation(name="fill").adapt(data)
    for strategy in ("mean", "median", "most_frequent"):
        layer = layers.Imputation(strategy, fill_value=-5.0)
        layer.adapt(data)
        assert layer(torch.tensor([[1.5, NAN]])).tolist() == [[1.5, -5.0]]


@given(st.integers(1, 30), st.integers(0, 2**31), st.sampled_from(["mean", "median", "most_frequent"]))
@settings(max_examples=40, deadline=None)
def test_numbers_stay_and_gaps_go(rows: int, seed: int, strategy: str) -> None:
    generator = np.random.default_rng(seed)
    data = generator.normal(size=(rows, 3)).round(1)
    gaps = generator.random(data.shape) < 0.5
    data[gaps] = NAN
    layer = layers.Imputation(strategy, fill_value=0.5)
    layer.ensure_built(data.shape)
    layer.double().adapt(data)
    y = layer(torch.from_numpy(data)).numpy()
    assert np.isfinite(y).all()
    np.testing.assert_array_equal(y[~gaps], data[~gaps])


def test_refused_arguments() -> None:
    with pytest.raises(ConfigError, match=r"Imputation\.strategy: unknown strategy 'modus'"):
        layers.Imputation("modus")
    with pytest.raises(ConfigError, match=r"Imputation\.fill_value: got inf, expected a finite number"):
        layers.Imputation("constant", float("inf"))
