from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lepton_ai import layers
from lepton_ai.core import ConfigError, UnknownNameError
from lepton_ai.data import as_source
from lepton_ai.layers import Layer, MaxNorm
from lepton_ai.models import Model, Sequential, distributed_train
from tests.contracts.layer import noise

TIGHT = MaxNorm(0.25)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("max_norm", layers.MaxNorm),
        ("MaxNorm", layers.MaxNorm),
        ("min_max_norm", layers.MinMaxNorm),
        ("non_neg", layers.NonNeg),
        ("unit_norm", layers.UnitNorm),
    ],
)
def test_names_and_instances(name: str, kind: type[layers.Constraint]) -> None:
    constraint = layers.get_constraint(name)
    assert type(constraint) is kind and layers.get_constraint(constraint) is constraint
    again = layers.deserialize(layers.serialize(constraint))
    assert type(again) is kind and again.get_config() == constraint.get_config()


def test_what_is_no_constraint() -> None:
    assert layers.get_constraint(None) is None
    with pytest.raises(UnknownNameError, match=r"unknown constraint 'maxnorm'\. Did you mean 'MaxNorm'\?"):
        layers.Dense(2, kernel_constraint="maxnorm")
    with pytest.raises(ConfigError, match="constraint: got 3, expected a name, a Constraint or None"):
        layers.get_constraint(3)  # type: ignore[arg-type]


def test_limits_that_no_norm_can_keep() -> None:
    with pytest.raises(ConfigError, match=r"MaxNorm\.max_value: got -1, expected a number >= 0"):
        MaxNorm(-1)
    with pytest.raises(ConfigError, match=r"MinMaxNorm: got \(2, 1\), expected 0 <= min_value <= max_value"):
        layers.MinMaxNorm(2, 1)
    with pytest.raises(ConfigError, match=r"MinMaxNorm\.rate: got 2, expected a number from 0 to 1"):
        layers.MinMaxNorm(rate=2)


def test_an_axis_that_the_weight_has_not() -> None:
    layer = layers.Dense(3, kernel_constraint=MaxNorm(1, axis=2), name="wide")
    layer(noise(4, 5))
    with pytest.raises(ConfigError) as caught:
        layer.constrain()
    assert str(caught.value) == (
        "Dense 'wide'.weight: {'max_value': 1, 'axis': 2} does not fit a weight of shape (5, 3)"
    )


@settings(max_examples=40, deadline=None)
@given(
    limit=st.floats(0.01, 10),
    axis=st.sampled_from([0, 1, (0, 1)]),
    scale=st.floats(0.001, 100),
    seed=st.integers(0, 99),
)
def test_projections_hold_and_stay(limit: float, axis: int | tuple[int, ...], scale: float, seed: int) -> None:
    weight = noise(4, 3, seed=seed).double() * scale
    for constraint, low, high in (
        (MaxNorm(limit, axis), 0.0, limit),
        (layers.MinMaxNorm(limit / 2, limit, axis=axis), limit / 2, limit),
        (layers.UnitNorm(axis), 1.0, 1.0),
    ):
        once = constraint(weight)
        norms = once.square().sum(axis).sqrt()
        assert bool((norms <= high + 1e-9).all()) and bool((norms >= low * 0.99).all())
        torch.testing.assert_close(constraint(once), once, rtol=1e-3, atol=0)


def test_a_norm_of_zero_stays_finite() -> None:
    zeros = torch.zeros(3, 2)
    for name in ("max_norm", "min_max_norm", "unit_norm"):
        constraint = layers.get_constraint(name)
        assert constraint is not None and not constraint(zeros).any()


def kernel_norms(layer: Layer, axis: int | tuple[int, ...] = 0) -> np.ndarray:
    """The norms along Keras' axes of the first weight."""
    norms: np.ndarray = np.sqrt(np.square(layer.get_weights()[0]).sum(axis))
    return norms


@pytest.mark.parametrize(
    ("layer", "example", "axis"),
    [
        (layers.Dense(3, kernel_constraint=TIGHT), (4, 5), 0),
        (layers.Conv1D(3, 2, kernel_constraint=MaxNorm(0.25, (0, 1))), (4, 6, 5), (0, 1)),
        (layers.Conv2D(3, 2, kernel_constraint=MaxNorm(0.25, (0, 1, 2))), (4, 6, 6, 5), (0, 1, 2)),
        (layers.Conv2DTranspose(3, 2, kernel_constraint=MaxNorm(0.25, (0, 1, 3))), (4, 6, 6, 5), (0, 1, 3)),
        (layers.DepthwiseConv2D(2, depthwise_constraint=MaxNorm(0.25, (0, 1))), (4, 6, 6, 5), (0, 1)),
        (layers.SeparableConv1D(3, 2, depthwise_constraint=TIGHT, pointwise_constraint=TIGHT), (4, 6, 5), 0),
        (layers.GRU(3, kernel_constraint=TIGHT), (4, 6, 5), 0),
        (layers.PReLU("ones", alpha_constraint=MaxNorm(0.25, 0)), (4, 5), 0),
        (layers.LayerNormalization(gamma_constraint=TIGHT), (4, 5), 0),
        (layers.GroupNormalization(1, gamma_constraint=TIGHT), (4, 5), 0),
        (layers.BatchNormalization(gamma_constraint=TIGHT), (4, 5), 0),
    ],
    ids=lambda value: value.name if isinstance(value, Layer) else "",
)
def test_layers_keep_the_limit_in_keras_axes(layer: Layer, example: tuple[int, ...], axis: int) -> None:
    layer(noise(*example))
    assert kernel_norms(layer, axis).max() > 0.26
    layer.constrain()
    norms = kernel_norms(layer, axis)
    assert norms.max() < 0.25 + 1e-6 and norms.max() > 0.249
    assert layers.deserialize(layers.serialize(layer)).get_config() == layer.get_config()


def test_other_weights_of_layers() -> None:
    embedding = layers.Embedding(9, 5, embeddings_constraint=MaxNorm(0.05, 1))
    embedding(torch.tensor([[1, 2]]))
    recurrent = layers.LSTM(3, recurrent_constraint=MaxNorm(0.5))
    recurrent(noise(4, 6, 5))
    attention = layers.MultiHeadAttention(2, 3, kernel_constraint="unit_norm")
    attention(noise(4, 6, 5), noise(4, 6, 5))
    for layer in (embedding, recurrent, attention):
        layer.constrain()
    np.testing.assert_allclose(np.linalg.norm(embedding.get_weights()[0], axis=1).max(), 0.05, rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(recurrent.get_weights()[1], axis=0).max(), 0.5, rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(attention.get_weights()[0], axis=0), 1, rtol=1e-5)


def test_frozen_weights_are_left_alone() -> None:
    layer = layers.Dense(3, kernel_constraint=TIGHT, trainable=False)
    layer(noise(4, 5))
    before = layer.get_weights()
    layer.constrain()
    assert all(np.array_equal(got, held) for got, held in zip(layer.get_weights(), before, strict=True))


@pytest.fixture
def rows() -> Iterator[tuple[np.ndarray, np.ndarray]]:
    x = np.random.default_rng(0).normal(size=(64, 6)).astype("float32")
    yield x, (x.sum(1) > 0).astype("float32")


def network() -> Model:
    model = Sequential(
        [
            layers.Dense(8, "relu", kernel_constraint=TIGHT, input_shape=(6,)),
            layers.Dense(1, "sigmoid", kernel_constraint="non_neg", bias_constraint="unit_norm"),
        ]
    )
    model.compile("adam", "binary_crossentropy")
    return model


def test_fit_keeps_the_limits(rows: tuple[np.ndarray, np.ndarray]) -> None:
    model = network()
    model.fit(*rows, epochs=3, batch_size=16, verbose=0, seed=0)
    first, last = model.layers
    assert kernel_norms(first).max() < 0.25 + 1e-6
    kernel, bias = last.get_weights()
    assert kernel.min() >= 0 and abs(float(bias[0])) == pytest.approx(1, abs=1e-5)


def test_a_model_without_constraints_has_nothing_to_call(rows: tuple[np.ndarray, np.ndarray]) -> None:
    model = Sequential([layers.Dense(1, input_shape=(6,))])
    model.compile("sgd", "mse")
    assert model.job(as_source(*rows), batch_size=8, epochs=1).constrain is None
    assert network().job(as_source(*rows), batch_size=8, epochs=1).constrain is not None


def test_two_workers_keep_the_limits_of_one(rows: tuple[np.ndarray, np.ndarray]) -> None:
    alone, together = network(), network()
    together.set_weights(alone.get_weights())
    distributed_train(alone, *rows, batch_size=16, epochs=2, verbose=0, seed=0)
    distributed_train(together, *rows, batch_size=16, num_workers=2, epochs=2, verbose=0, seed=0)
    for got, wanted in zip(together.get_weights(), alone.get_weights(), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-6)
    assert kernel_norms(together.layers[0]).max() < 0.25 + 1e-6
