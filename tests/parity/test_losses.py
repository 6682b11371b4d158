"""Losses against Keras 3 on the torch backend, in float64, values and gradients."""

import os

os.environ["KERAS_BACKEND"] = "torch"

from collections.abc import Iterator
from typing import Any

import keras
import pytest
import torch
from torch import Tensor

from lepton_ai.training.losses import Loss, get_loss

torch.set_num_threads(1)
GENERATOR = torch.Generator().manual_seed(5)


@pytest.fixture(autouse=True)
def float64(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keras in float64. On torch two of its operations go through float32, which would hide faults below 1e-7."""
    before = keras.config.floatx()
    keras.config.set_floatx("float64")
    monkeypatch.setattr("keras.src.ops.mean", lambda x, axis=None: torch.mean(x, axis))
    monkeypatch.setattr("keras.src.ops.maximum", torch.maximum)
    yield
    keras.config.set_floatx(before)


def normal(*shape: int) -> Tensor:
    return torch.randn(shape, generator=GENERATOR, dtype=torch.float64)


ROWS, PROBABILITIES = normal(7, 4), normal(7, 4).sigmoid()
LABELS = torch.randint(0, 4, (7,), generator=GENERATOR)
ONEHOT, SOFT = torch.eye(4, dtype=torch.float64)[LABELS], normal(7, 4).softmax(-1)
SERIES, SERIES_LABELS = normal(7, 3, 4), torch.randint(0, 4, (7, 3), generator=GENERATOR)
YES = (normal(7, 4) > 0).double()
POSITIVE = normal(7, 4).abs() + 0.1

CASES: list[tuple[str, dict[str, Any], Tensor, Tensor]] = [
    ("MeanSquaredError", {}, normal(7, 4), ROWS),
    ("MeanSquaredError", {}, normal(7, 3, 4), SERIES),
    ("MeanAbsoluteError", {}, normal(7, 4), ROWS),
    ("MeanAbsolutePercentageError", {}, normal(7, 4), ROWS),
    ("MeanAbsolutePercentageError", {}, torch.zeros(7, 4, dtype=torch.float64), ROWS * 1e-6),
    ("MeanSquaredLogarithmicError", {}, POSITIVE, ROWS),
    ("Huber", {}, 3 * normal(7, 4), ROWS),
    ("Huber", {"delta": 0.3}, normal(7, 4), ROWS),
    ("LogCosh", {}, 2 * normal(7, 4), ROWS),
    ("BinaryCrossentropy", {}, YES, PROBABILITIES),
    ("BinaryCrossentropy", {}, YES, torch.where(PROBABILITIES > 0.5, 1e-9, 1 - 1e-9).double()),
    ("BinaryCrossentropy", {"label_smoothing": 0.2}, YES, PROBABILITIES),
    ("BinaryCrossentropy", {"from_logits": True, "label_smoothing": 0.1}, YES, ROWS * 5),
    ("CategoricalCrossentropy", {}, ONEHOT, ROWS.softmax(-1)),
    ("CategoricalCrossentropy", {}, SOFT, PROBABILITIES),
    ("CategoricalCrossentropy", {"label_smoothing": 0.1}, ONEHOT, ROWS.softmax(-1)),
    ("CategoricalCrossentropy", {"from_logits": True, "label_smoothing": 0.1}, ONEHOT, ROWS * 3),
    ("CategoricalCrossentropy", {"axis": 1}, normal(7, 3, 4).softmax(1), SERIES.softmax(1)),
    ("CategoricalCrossentropy", {"from_logits": True}, normal(7, 3, 4).softmax(-1), SERIES),
    ("SparseCategoricalCrossentropy", {}, LABELS, ROWS.softmax(-1)),
    ("SparseCategoricalCrossentropy", {}, LABELS.unsqueeze(-1), PROBABILITIES),
    ("SparseCategoricalCrossentropy", {"from_logits": True}, LABELS, ROWS * 3),
    ("SparseCategoricalCrossentropy", {"from_logits": True}, SERIES_LABELS, SERIES),
    ("SparseCategoricalCrossentropy", {}, SERIES_LABELS, SERIES.softmax(-1)),
    ("SparseCategoricalCrossentropy", {"from_logits": True, "axis": 1}, SERIES_LABELS[:, :1].repeat(1, 4) % 3, SERIES),
]


def gradient(loss: Any, target: Tensor, output: Tensor) -> tuple[Tensor, Tensor]:
    output = output.clone().requires_grad_()
    value = loss(target, output)
    (slope,) = torch.autograd.grad(value, output)
    return value.detach(), slope


@pytest.mark.parametrize(("name", "arguments", "target", "output"), CASES)
def test_values_and_gradients_are_those_of_keras(
    name: str, arguments: dict[str, Any], target: Tensor, output: Tensor
) -> None:
    ours = get_loss({"class": name, "config": arguments})
    theirs = getattr(keras.losses, name)(**arguments, dtype="float64", reduction=None)
    assert ours(target, output).shape == (7,)
    value, slope = gradient(lambda t, o: ours(t, o).mean(), target, output)
    expected, expected_slope = gradient(lambda t, o: theirs(t, o).mean(), target, output)
    torch.testing.assert_close(value, expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(slope, expected_slope, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("from_logits", [False, True])
def test_ignored_labels_are_left_out_of_the_mean_as_in_keras(from_logits: bool) -> None:
    labels = SERIES_LABELS.clone()
    labels[0, :2] = labels[2] = 3
    output = SERIES if from_logits else SERIES.softmax(-1)
    ours = get_loss(
        {"class": "SparseCategoricalCrossentropy", "config": {"from_logits": from_logits, "ignore_class": 3}}
    )
    theirs = keras.losses.SparseCategoricalCrossentropy(from_logits=from_logits, ignore_class=3, reduction="sum")
    counted = (labels != 3).sum()

    def mean(target: Tensor, output: Tensor) -> Tensor:
        weight = ours.weight(target)
        assert weight is not None
        return (ours(target, output) * weight).sum() / weight.sum()

    value, slope = gradient(mean, labels, output)
    expected, expected_slope = gradient(lambda t, o: theirs(t, o) / counted, labels, output)
    # the weights are shares in float32
    torch.testing.assert_close(value, expected, rtol=1e-6, atol=0)
    torch.testing.assert_close(slope, expected_slope, rtol=1e-6, atol=1e-9)


def test_below_keras_clip_the_loss_goes_on() -> None:
    target, output = torch.tensor([[1.0, 0.0]]).double(), torch.tensor([[1e-12, 1 - 1e-12]]).double()
    ours: Loss = get_loss("categorical_crossentropy")
    theirs = keras.losses.CategoricalCrossentropy(dtype="float64")
    value, slope = gradient(lambda t, o: ours(t, o).mean(), target, output)
    clipped, dead = gradient(theirs, target, output)
    assert value.item() == pytest.approx(27.631, abs=1e-3) and slope[0, 0].item() == pytest.approx(-1e12)
    assert clipped.item() == pytest.approx(16.118, abs=1e-3) and dead[0, 0].item() == 0


def test_names_and_aliases_are_those_of_keras() -> None:
    for alias in ("mse", "MSE", "mae", "MAE", "mape", "MAPE", "msle", "MSLE", "bce", "BCE", "huber", "log_cosh"):
        theirs = keras.losses.get(alias)
        assert get_loss(alias).name == theirs.__name__
    for name in ("categorical_crossentropy", "SparseCategoricalCrossentropy", "binary_crossentropy", "LogCosh"):
        assert keras.losses.get(name) is not None
        get_loss(name)
