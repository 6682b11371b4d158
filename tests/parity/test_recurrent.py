"""Recurrent layers, cells, wrappers and masks against Keras 3: float64, forward and gradients, equal weights."""

import os

os.environ["KERAS_BACKEND"] = "torch"

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import torch

from lepton_ai import layers, models
from lepton_ai.layers.shapes import shapes_of
from tests.parity.test_layers import (
    assert_equal,
    assert_parity,
    case,
    double_precision,
    gradients,
    outputs_of,
    padded,
    pull,
)

__all__ = ["double_precision"]  # a fixture of every test here

SERIES = (4, 6, 3)
ANYWHERE = np.array([
    [True, True, True, True, False, False],
    [False, False, True, True, True, True],
    [True, False, True, True, False, True],
    [False, True, False, False, False, False],
])  # fmt: skip


def with_masks(name: str, shape: tuple[int, ...], **arguments: Any) -> list[Any]:
    """Masks padded on the right, and anywhere, in both directions."""
    right = padded(6, 2, 4, 1, steps=6)
    return [
        case(
            name, shape, call={"mask": mask}, return_sequences=whole, return_state=True, go_backwards=back, **arguments
        )
        for mask in (right, ANYWHERE)
        for whole in (False, True)
        for back in (False, True)
    ]


CASES = [
    case("SimpleRNN", SERIES, units=5),
    case("SimpleRNN", SERIES, units=5, activation="relu", return_sequences=True, use_bias=False),
    case("SimpleRNN", SERIES, units=5, activation="softsign", return_state=True, go_backwards=True),
    case("SimpleRNN", SERIES, units=5, call={"initial_state": [np.full((4, 5), 0.3)]}),
    *with_masks("SimpleRNN", SERIES, units=5),
    *with_masks("SimpleRNN", SERIES, units=5, activation="gelu"),
    *with_masks("LSTM", SERIES, units=5),
    *with_masks("GRU", SERIES, units=5),
    *(
        case(name, SERIES, units=5, return_sequences=True, call={"mask": ANYWHERE}, zero_output_for_mask=True)
        for name in ("SimpleRNN", "LSTM", "GRU")
    ),
    case("LSTM", SERIES, units=5, activation="softsign", recurrent_activation="hard_sigmoid"),
    case("LSTM", SERIES, units=5, activation="relu", return_state=True, use_bias=False, call={"mask": ANYWHERE}),
    case("GRU", SERIES, units=5, activation="elu", return_sequences=True, recurrent_activation="hard_sigmoid"),
    case("GRU", SERIES, units=5, reset_after=False, return_state=True, call={"mask": ANYWHERE}),
    case("GRU", SERIES, units=5, reset_after=False, use_bias=False),
    case("ConvLSTM1D", (2, 4, 7, 3), filters=4, kernel_size=3, return_state=True, go_backwards=True),
    case("ConvLSTM1D", (2, 4, 7, 3), filters=2, kernel_size=2, strides=2, padding="same", return_sequences=True),
    case("ConvLSTM2D", (2, 4, 6, 5, 3), filters=2, kernel_size=(3, 2), return_sequences=True, use_bias=False),
    case("ConvLSTM2D", (2, 4, 6, 5, 3), filters=2, kernel_size=3, padding="same", dilation_rate=2, activation="relu"),
    case("ConvLSTM2D", (2, 6, 4, 4, 3), filters=2, kernel_size=2, return_sequences=True, return_state=True,
         call={"mask": ANYWHERE[1:3]}),
    case("ConvLSTM3D", (2, 3, 3, 4, 3, 2), filters=2, kernel_size=2),
    case("GlobalAveragePooling1D", SERIES, call={"mask": ANYWHERE}),
    case("BatchNormalization", SERIES, call={"mask": ANYWHERE, "training": True}, momentum=0.7),
    case("BatchNormalization", SERIES, call={"mask": ANYWHERE, "training": True}, center=False, scale=False),
    case("BatchNormalization", SERIES, call={"mask": ANYWHERE}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "inputs", "arguments", "call"), CASES)
def test_layers(name: str, inputs: tuple[Any, ...], arguments: dict[str, Any], call: dict[str, Any]) -> None:
    ours, theirs = assert_parity(name, inputs, arguments, dict(call))
    for got, want in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        assert_equal(got, want)


Make = Callable[[Any], Any]
NESTED: dict[str, tuple[Make, tuple[int, ...]]] = {
    "both concat": (lambda k: k.Bidirectional(k.LSTM(5)), SERIES),
    "both sum": (lambda k: k.Bidirectional(k.GRU(5, return_sequences=True), merge_mode="sum"), SERIES),
    "both mul": (lambda k: k.Bidirectional(k.SimpleRNN(5, return_sequences=True), merge_mode="mul"), SERIES),
    "both ave": (lambda k: k.Bidirectional(k.LSTM(5, return_state=True), merge_mode="ave"), SERIES),
    "both apart": (lambda k: k.Bidirectional(k.GRU(5, return_sequences=True), merge_mode=None), SERIES),
    "both all": (
        lambda k: k.Bidirectional(k.LSTM(5, return_sequences=True, return_state=True), merge_mode=None),
        SERIES,
    ),
    "both other": (lambda k: k.Bidirectional(k.LSTM(5), backward_layer=k.GRU(3, go_backwards=True)), SERIES),
    "both of cells": (lambda k: k.Bidirectional(k.RNN(k.GRUCell(4), return_sequences=True)), SERIES),
    "both conv": (
        lambda k: k.Bidirectional(k.ConvLSTM1D(2, 3, padding="same", return_sequences=True)),
        (4, 6, 5, 2),
    ),
    "cell simple": (lambda k: k.RNN(k.SimpleRNNCell(5, activation="gelu"), return_state=True), SERIES),
    "cell lstm": (lambda k: k.RNN(k.LSTMCell(5), return_sequences=True, return_state=True, go_backwards=True), SERIES),
    "cell gru": (lambda k: k.RNN(k.GRUCell(5, reset_after=False), return_sequences=True), SERIES),
    "stack": (lambda k: k.RNN(k.StackedRNNCells([k.LSTMCell(5), k.GRUCell(3), k.SimpleRNNCell(4)])), SERIES),
    "list": (lambda k: k.RNN([k.GRUCell(5), k.LSTMCell(3)], return_sequences=True), SERIES),
    "each dense": (lambda k: k.TimeDistributed(k.Dense(4, activation="tanh")), SERIES),
    "each conv": (lambda k: k.TimeDistributed(k.Conv2D(2, 3)), (2, 3, 5, 4, 2)),
    "each series": (lambda k: k.TimeDistributed(k.LSTM(4)), (2, 3, 5, 4)),
}


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("name", list(NESTED))
def test_layers_around_layers(name: str, masked: bool) -> None:
    make, shape = NESTED[name]
    if masked and shape != SERIES:
        pytest.skip("masks are for the series")
    noise = np.random.default_rng(1)
    array = noise.normal(size=shape)
    ours, theirs = make(layers), make(keras.layers)
    inputs = [torch.from_numpy(array.copy()).requires_grad_() for _ in range(2)]
    theirs(inputs[1])
    ours.ensure_built(shapes_of((inputs[0],)))
    ours.double()
    weights = [noise.normal(size=weight.shape) for weight in theirs.get_weights()]
    theirs.set_weights(weights)
    ours.set_weights(weights)
    mask = {"mask": torch.from_numpy(ANYWHERE)} if masked else {}
    got, wanted = outputs_of(ours(inputs[0], **mask)), outputs_of(theirs(inputs[1], **mask))
    assert len(got) == len(wanted)
    assert ours.compute_output_shape(shape) == shapes_of((tuple(got) if len(got) > 1 else got[0],))
    pull(got)
    pull(wanted)
    for one, other in zip(got, wanted, strict=True):
        assert_equal(one.detach(), other.detach())
    assert_equal(inputs[0].grad, inputs[1].grad)
    for mine, their in zip(*gradients(ours, theirs), strict=True):
        assert_equal(mine, their)


def test_states_of_stacked_cells_are_in_one_list() -> None:
    """Keras nests them by cell; a graph's outputs cannot be nested."""

    def make(k: Any) -> Any:
        return k.RNN([k.LSTMCell(5), k.GRUCell(3)], return_state=True)

    array = np.random.default_rng(1).normal(size=SERIES)
    ours, theirs = make(layers), make(keras.layers)
    wanted = theirs(torch.from_numpy(array))
    ours.ensure_built(SERIES)
    ours.double()
    ours.set_weights(theirs.get_weights())
    output, *states = ours(torch.from_numpy(array))
    assert_equal(output.detach(), wanted[0].detach())
    flat = [state for each in wanted[1:] for state in (each if isinstance(each, list | tuple) else [each])]
    assert len(states) == 3
    for got, want in zip(states, flat, strict=True):
        assert_equal(got.detach(), want.detach())


TOKENS = np.array([[3, 1, 4, 0, 0], [0, 2, 0, 5, 1], [6, 0, 0, 0, 0], [1, 2, 3, 4, 5]])


def stack(k: Any, *parts: Any) -> Any:
    """A model of either library, over tokens."""
    kind = models.Sequential if k is layers else keras.Sequential
    return kind([k.Embedding(7, 4, mask_zero=True), *parts])


MODELS: dict[str, Make] = {
    "last": lambda k: stack(k, k.Dropout(0.5), k.LSTM(5), k.Dense(2)),
    "two": lambda k: stack(k, k.GRU(5, return_sequences=True), k.LayerNormalization(), k.LSTM(3)),
    "both": lambda k: stack(k, k.Bidirectional(k.LSTM(5, return_sequences=True)), k.GRU(3)),
    "mean": lambda k: stack(k, k.Dense(3, activation="relu"), k.GlobalAveragePooling1D()),
    "each": lambda k: stack(k, k.TimeDistributed(k.Dense(3)), k.SimpleRNN(4)),
}


def assert_same_model(ours: Any, theirs: Any, *inputs: np.ndarray) -> None:
    tensors: Any = [torch.from_numpy(array) for array in inputs]
    tensors = tensors[0] if len(tensors) == 1 else tensors
    theirs(tensors)
    if not ours.built:
        ours(tensors)
    ours.double()
    weights = [np.random.default_rng(5).normal(size=weight.shape) for weight in theirs.get_weights()]
    theirs.set_weights(weights)
    ours.set_weights(weights)
    for got, wanted in zip(outputs_of(ours(tensors)), outputs_of(theirs(tensors)), strict=True):
        assert_equal(got.detach(), wanted.detach())


@pytest.mark.parametrize("name", list(MODELS))
def test_masks_travel_through_a_stack(name: str) -> None:
    assert_same_model(MODELS[name](layers), MODELS[name](keras.layers), TOKENS)


def merged(k: Any, merge: str) -> Any:
    """Two towers, one of which has masks from another place."""
    kind = models.Model if k is layers else keras.Model
    tokens, series = k.Input((5,), dtype="int64"), k.Input((5, 4))
    left = k.Embedding(7, 4, mask_zero=True)(tokens)
    right = k.Masking(0.5)(series)
    whole = getattr(k, merge)()([left, right])
    decoded, state = k.GRU(5, return_sequences=True, return_state=True)(whole)
    return kind([tokens, series], [k.LSTM(3)(decoded), k.Dense(2)(state)])


@pytest.mark.parametrize("merge", ["Add", "Multiply", "Concatenate", "Maximum"])
def test_masks_travel_through_a_graph(merge: str) -> None:
    series = np.random.default_rng(0).normal(size=(4, 5, 4))
    series[0, :2] = series[1, 2:] = series[3, 1] = 0.5
    assert_same_model(merged(layers, merge), merged(keras.layers, merge), TOKENS, series)


@pytest.mark.parametrize("loss", ["mse", "sparse_categorical_crossentropy"])
def test_masked_steps_are_neither_trained_nor_measured(loss: str) -> None:
    """The first losses, metrics and gradients of a model with an output at each step."""

    def make(k: Any) -> Any:
        return stack(k, k.SimpleRNN(5, return_sequences=True), k.Dense(3, activation="softmax"))

    noise = np.random.default_rng(0)
    y = noise.normal(size=(4, 5, 3)) if loss == "mse" else noise.integers(0, 3, (4, 5))
    metric = "mae" if loss == "mse" else "accuracy"
    ours, theirs = make(layers), make(keras.layers)
    assert_same_model(ours, theirs, TOKENS)
    before = ours.get_weights()
    theirs.compile(keras.optimizers.SGD(0.1), loss, metrics=[metric])
    wanted = theirs.fit(TOKENS, y, batch_size=4, epochs=3, shuffle=False, verbose=0).history
    ours.compile("sgd", loss, metrics=[metric])
    ours.optimizer.learning_rate = 0.1
    history = ours.fit(TOKENS, y, batch_size=4, epochs=3, shuffle=False, verbose=0).history
    for name in ("loss", metric):
        np.testing.assert_allclose(history[name], wanted[name], rtol=1e-6)
    assert not np.allclose(before[1], ours.get_weights()[1])
    measured = theirs.evaluate(TOKENS, y, verbose=0)
    for batch_size in (1, 3, 4):  # Keras weighs batches by rows, and its answer depends on their size
        np.testing.assert_allclose(ours.evaluate(TOKENS, y, batch_size=batch_size), measured, rtol=1e-6)
