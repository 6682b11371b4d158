"""Clipping, averaging, accumulating: for any optimiser, and what they are refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from lepton_ai.core import ConfigError, StorageError, UnknownNameError
from lepton_ai.layers import LSTM, Dense, Embedding, Input
from lepton_ai.models import Model, Sequential, distributed_train
from lepton_ai.training import OPTIMIZERS, SGD, Adam, Callback, ExponentialDecay, LambdaCallback, MixUp, get_optimizer
from tests.contracts.fitting import compiled, mlp, same_state, state, table, without_seconds

X, Y = table()


def close(one: nn.Module, other: nn.Module, tolerance: float = 1e-5) -> None:
    for name, value in one.state_dict().items():
        torch.testing.assert_close(value, other.state_dict()[name], rtol=tolerance, atol=tolerance)


# -- accumulating -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("batch", "number"), [(8, 4), (6, 3), (50, 2), (7, 100)])
def test_small_batches_are_one_large_one(batch: int, number: int) -> None:
    """Also where they are uneven: 50 rows in batches of 6 end in a step of two, one of them of two rows."""

    def fit(batch_size: int, number: int | None) -> Any:
        model = compiled(mlp(dropout=0.3), Adam(ExponentialDecay(0.02, 2, 0.5), gradient_accumulation_steps=number))
        weight = np.linspace(0, 3, 50).astype("float32")
        classes = {0: 2.0, 1: 1.0, 2: 0.5}
        model.fit(X, Y, batch_size=batch_size, epochs=3, verbose=0, sample_weight=weight, class_weight=classes)
        return model

    large, small = fit(min(50, batch * number), None), fit(batch, number)
    close(small, large)
    for name, values in large.history.history.items():
        assert small.history[name] == pytest.approx(values, rel=1e-5)


def test_regularisation_is_counted_once() -> None:
    def fit(batch_size: int, number: int | None) -> Any:
        model = Sequential([Dense(3, activation="softmax", kernel_regularizer="l2", input_shape=(4,))])
        compiled(model, SGD(0.1, gradient_accumulation_steps=number)).fit(X, Y, batch_size=batch_size, verbose=0)
        return model

    close(fit(6, 3), fit(18, None))


def test_mixed_rows_too() -> None:
    def fit(batch_size: int, number: int | None) -> Any:
        model = compiled(mlp(), SGD(0.1, gradient_accumulation_steps=number))
        model.fit(X, Y, batch_size=batch_size, epochs=2, verbose=0, augment=MixUp())
        return model

    close(fit(6, 3), fit(18, None))


def test_several_outputs_whose_steps_count_unevenly() -> None:
    rng = np.random.default_rng(3)
    x = rng.integers(1, 9, (20, 6))
    for row, length in enumerate(rng.integers(1, 7, 20)):
        x[row, length:] = 0
    y = {"each": rng.integers(0, 2, (20, 6)), "all": rng.normal(size=(20, 1)).astype("float32")}

    def fit(batch_size: int, number: int | None) -> Any:
        tokens = Input((6,), dtype="int64")
        steps = LSTM(5, return_sequences=True)(Embedding(9, 4, mask_zero=True)(tokens))
        outputs = [Dense(2, activation="softmax", name="each")(steps), Dense(1, name="all")(LSTM(3)(steps))]
        model = Model(tokens, outputs)
        losses = {"each": "sparse_categorical_crossentropy", "all": "mse"}
        model.compile(SGD(0.5, gradient_accumulation_steps=number), losses, metrics={"each": "accuracy"})
        model.fit(x, y, batch_size=batch_size, epochs=2, verbose=0)
        return model

    large, small = fit(9, None), fit(3, 3)
    close(small, large)
    for name, values in large.history.history.items():
        assert small.history[name] == pytest.approx(values, rel=1e-4), name


def test_a_step_is_one_update() -> None:
    seen: list[int] = []
    model = compiled(mlp(), Adam(gradient_accumulation_steps=4))
    watch = LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(batch))
    model.fit(X, Y, batch_size=5, verbose=0, callbacks=[watch])
    assert seen == [0, 1, 2]
    model.fit(X, Y, batch_size=5, verbose=0, steps_per_epoch=8, callbacks=[watch])
    assert seen == [0, 1, 2, 0, 1]


# -- clipping -----------------------------------------------------------------------------------------------


def moved(number: int = 1, **policies: Any) -> tuple[Any, Any]:
    """How far one step of plain descent of rate 1 moves each weight."""
    model = compiled(mlp(), SGD(1.0, **policies, gradient_accumulation_steps=number))
    model.predict(X)
    before = state(model)
    model.fit(X * 10, Y, batch_size=50 // number, verbose=0)
    return [before[name] - value for name, value in model.state_dict().items()], model


@pytest.mark.parametrize("number", [1, 5])
def test_what_a_clipped_step_does(number: int) -> None:
    """The whole step is clipped, not its batches."""
    plain, _ = moved()
    lengths = [float(each.norm()) for each in plain]
    whole = float(torch.cat([each.flatten() for each in plain]).norm())
    assert min(lengths) < 0.5 < max(lengths) < whole
    for each, before, length in zip(moved(number, clipnorm=0.5)[0], plain, lengths, strict=True):
        torch.testing.assert_close(each, before * min(1, 0.5 / length), rtol=1e-4, atol=1e-5)
    for each, before in zip(moved(number, clipvalue=0.1)[0], plain, strict=True):
        torch.testing.assert_close(each, before.clamp(-0.1, 0.1), rtol=1e-4, atol=1e-5)
    for each, before in zip(moved(number, global_clipnorm=0.5)[0], plain, strict=True):
        torch.testing.assert_close(each, before * (0.5 / whole), rtol=1e-4, atol=1e-5)
    for each, before in zip(moved(number, global_clipnorm=whole * 2)[0], plain, strict=True):
        torch.testing.assert_close(each, before, rtol=1e-4, atol=1e-5)


def test_the_gradient_of_all_workers_is_clipped() -> None:
    def fit(workers: int) -> Any:
        model = compiled(mlp(), SGD(0.5, global_clipnorm=0.2, use_ema=True, ema_momentum=0.7))
        distributed_train(model, X, Y, 20, workers, epochs=2, verbose=0, validation_data=(X, Y))
        return model

    one, two = fit(1), fit(2)
    close(one, two)
    assert one.history["val_loss"] == pytest.approx(two.history["val_loss"], rel=1e-5)


# -- averaging ----------------------------------------------------------------------------------------------


class Weights(Callback):
    """The weights after each step, and at the end of each epoch."""

    def __init__(self) -> None:
        self.steps: list[Any] = []
        self.epochs: list[Any] = []

    def on_train_batch_end(self, batch: int, logs: dict[str, float]) -> None:
        self.steps.append(state(self.model))

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        self.epochs.append(state(self.model))


def test_the_mean_of_the_weights_is_what_is_measured_and_kept() -> None:
    watch, plain = Weights(), Weights()
    model, other = compiled(mlp(), SGD(0.3, use_ema=True, ema_momentum=0.7)), compiled(mlp(), SGD(0.3))
    model.fit(X, Y, batch_size=10, epochs=2, verbose=0, validation_data=(X, Y), callbacks=[watch])
    other.fit(X, Y, batch_size=10, epochs=2, verbose=0, callbacks=[plain])
    assert all(
        torch.equal(one[name], two[name]) for one, two in zip(watch.steps, plain.steps, strict=True) for name in one
    )
    for name, value in model.state_dict().items():
        mean = plain.steps[0][name]
        for step in plain.steps[1:]:
            mean = 0.7 * mean + 0.3 * step[name]
        torch.testing.assert_close(value, mean)
        assert torch.equal(value, watch.epochs[-1][name])
    assert model.evaluate(X, Y, return_dict=True)["loss"] == pytest.approx(model.history["val_loss"][-1], rel=1e-5)


def test_the_mean_takes_over_every_so_often() -> None:
    watch = Weights()
    policies: dict[str, Any] = {"use_ema": True, "ema_momentum": 0.5, "ema_overwrite_frequency": 2}
    compiled(mlp(), SGD(0.3, **policies)).fit(X, Y, batch_size=25, epochs=2, verbose=0, callbacks=[watch])
    plain = Weights()
    compiled(mlp(), SGD(0.3)).fit(X, Y, batch_size=25, epochs=1, verbose=0, callbacks=[plain])
    for name, value in watch.epochs[0].items():
        torch.testing.assert_close(value, (plain.steps[0][name] + plain.steps[1][name]) / 2)


def test_without_a_step_there_is_no_mean(tmp_path: Path) -> None:
    def fit() -> Any:
        model = compiled(mlp(), Adam(use_ema=True))
        model.fit(X, Y, epochs=2, verbose=0, run=tmp_path)
        return model

    first = fit()
    again = fit()
    assert same_state(first, again) and without_seconds(first.history) == without_seconds(again.history)


# -- settings -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(OPTIMIZERS))
def test_every_optimiser_takes_them(name: str) -> None:
    made = OPTIMIZERS.get(name)(clipnorm=1.0, use_ema=True, gradient_accumulation_steps=2)  # type: ignore[call-arg]
    stored: Any = made.config()
    assert {key: stored["config"][key] for key in ("clipnorm", "use_ema")} == {"clipnorm": 1.0, "use_ema": True}
    assert "clipvalue" not in stored["config"]
    assert get_optimizer(stored).config() == stored
    assert repr(made).endswith("clipnorm=1.0, use_ema=True, gradient_accumulation_steps=2)")


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="unknown argument Adam 'clip_norm'. Did you mean 'clipnorm'"):
        Adam(clip_norm=1.0)  # type: ignore[call-arg]
    with pytest.raises(ConfigError, match="SGD: clipnorm and clipvalue do not go together. Keep clipnorm alone"):
        SGD(clipnorm=1.0, clipvalue=0.5)
    with pytest.raises(ConfigError, match=r"Adam.global_clipnorm: got 0, expected a number in \(0, inf\)"):
        Adam(global_clipnorm=0)
    with pytest.raises(ConfigError, match="Adam.gradient_accumulation_steps: got 0, expected an int of at least 1"):
        Adam(gradient_accumulation_steps=0)
    with pytest.raises(ConfigError, match="Adam.use_ema: got 'yes', expected True or False"):
        Adam(use_ema="yes")  # type: ignore[arg-type]


def test_a_run_keeps_its_steps_and_its_mean(tmp_path: Path) -> None:
    def fit(**policies: Any) -> None:
        compiled(mlp(), Adam(**policies)).fit(X, Y, verbose=0, run=tmp_path)

    fit()
    fit(clipnorm=1.0)  # like a rate, this may change
    with pytest.raises(StorageError, match="gradient_accumulation_steps 1, this one has 2; use_ema False, "):
        fit(gradient_accumulation_steps=2, use_ema=True)
