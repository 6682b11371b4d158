"""A pooling that comes before bias and activation changes nothing in what a model gives or learns."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lepton_ai import layers
from lepton_ai.layers import Activation, Conv1D, Conv2D, Input, MaxPooling1D, MaxPooling2D, ReLU, pools_first
from lepton_ai.models import Model, Sequential


class Loud(Conv2D):
    """A convolution with a call of its own."""

    def call(self, x: torch.Tensor, bare: bool = False) -> torch.Tensor:
        return super().call(x) * 2


@pytest.mark.parametrize(
    ("layer", "following", "wanted"),
    [
        (Conv2D(2, 3, activation="relu"), MaxPooling2D(), True),
        (Conv1D(2, 3, activation="relu"), MaxPooling1D(), True),
        (Activation("relu"), MaxPooling2D(), True),
        (ReLU(), MaxPooling2D(3, 2), True),
        (Conv2D(2, 3, activation="relu"), MaxPooling2D(3, 1), False),
        (Conv2D(2, 3, activation="tanh"), MaxPooling2D(), False),
        (Conv2D(2, 3), MaxPooling2D(), False),
        (Loud(2, 3, activation="relu"), MaxPooling2D(), False),
        (ReLU(6.0), MaxPooling2D(), False),
        (ReLU(negative_slope=0.1), MaxPooling2D(), False),
        (Activation("relu"), layers.AveragePooling2D(), False),
        (Activation("relu"), None, False),
    ],
)
def test_which_may_wait(layer: Any, following: Any, wanted: bool) -> None:
    assert pools_first(layer, following) is wanted


def one_by_one(model: Sequential, x: torch.Tensor) -> torch.Tensor:
    for layer in model.layers:
        x = layer(x)
    return x


def trained_by(model: Any, call: Any, x: np.ndarray) -> tuple[Any, list[Any], Any]:
    inputs = torch.from_numpy(x).requires_grad_()
    model.zero_grad()
    y = call(inputs)
    (y * torch.arange(1.0, 1 + y.numel()).reshape(y.shape)).sum().backward()
    return y.detach(), [each.grad.clone() for each in model.parameters()], inputs.grad


@settings(max_examples=30, deadline=None)
@given(
    size=st.integers(1, 3),
    stride=st.integers(1, 3),
    padding=st.sampled_from(["valid", "same"]),
    seed=st.integers(0, 9),
    alone=st.booleans(),
    training=st.booleans(),
)
def test_a_stack_is_the_same(size: int, stride: int, padding: str, seed: int, alone: bool, training: bool) -> None:
    # Whole numbers, which add up without rounding, so that windows hold equal values, and many that are not above 0.
    x = np.random.default_rng(seed).integers(-2, 3, (2, 9, 9, 2)).astype("float32")
    bias = layers.Constant(-1.0)
    kernel = Conv2D(3, 2, activation=None if alone else "relu", kernel_initializer="ones", bias_initializer=bias)
    between = [Activation("relu")] if alone else []
    model = Sequential([Input((9, 9, 2)), kernel, *between, MaxPooling2D(size, stride, padding)])
    model.train(training)
    for got, wanted in zip(
        trained_by(model, model, x), trained_by(model, lambda x: one_by_one(model, x), x), strict=True
    ):
        for one, other in zip([*got], [*wanted], strict=True):
            assert torch.equal(one, other)


def test_a_graph_is_the_same_where_nobody_else_reads() -> None:
    x = Input((8, 8, 2))
    first = Conv2D(4, 3, activation="relu", name="first")(x)
    pooled = MaxPooling2D()(first)
    second = Conv2D(4, 2, activation="relu", name="second")(pooled)
    both = [MaxPooling2D()(second), layers.GlobalAveragePooling2D()(second)]
    model = Model(x, both)
    seen = []
    for layer in model.layers:
        layer.register_forward_hook(lambda layer, args, out: seen.append((layer.name, float(out.detach().min()))))
    data = torch.from_numpy(np.random.default_rng(0).normal(size=(4, 8, 8, 2)).astype("float32"))
    small, mean = model(data)
    lows = dict(seen)
    assert lows["first"] < 0 <= lows["second"]  # the second is read twice
    named = {layer.name: layer for layer in model.layers}
    y = named["second"](MaxPooling2D()(named["first"](data)))
    assert torch.equal(small, MaxPooling2D()(y)) and torch.allclose(mean, y.mean((1, 2)))
    shown = Model(x, [first, pooled])
    low, _ = shown(data)
    assert low.min() >= 0


def test_not_a_number_stays_one() -> None:
    model = Sequential([Input((4, 4, 1)), Conv2D(2, 1, activation="relu"), MaxPooling2D()])
    x = torch.zeros(1, 4, 4, 1)
    x[0, 0, 0, 0] = float("nan")
    assert model(x)[0, 0, 0].isnan().all() and not model(x)[0, 1:].isnan().any()
