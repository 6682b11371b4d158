"""The loop: repeatable, divisible, resumable, and careful when things go wrong."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from lepton_ai.core import DivergedError, StorageError, UsageError
from lepton_ai.layers import Dense, Input, Layer
from lepton_ai.models import Model, Sequential
from lepton_ai.rng import set_seed
from lepton_ai.training import (
    SGD,
    Adam,
    CosineDecay,
    EarlyStopping,
    ExponentialDecay,
    LambdaCallback,
    PiecewiseConstantDecay,
    ReduceLROnPlateau,
)
from tests.contracts.fitting import (
    InterruptAt,
    StepLosses,
    cnn,
    compiled,
    finite,
    images,
    mlp,
    same_state,
    state,
    table,
    without_seconds,
)

GOLDEN = Path(__file__).with_name("golden_losses.json")
KINDS: dict[str, tuple[Callable[[], Sequential], Callable[[], tuple[Any, Any]]]] = {
    "mlp": (lambda: mlp(dropout=0.2), table),
    "cnn": (lambda: cnn(dropout=0.2, norm=True, flip=True), images),
}


def step_losses(kind: str) -> list[float]:
    make, data = KINDS[kind]
    watcher = StepLosses()
    compiled(make()).fit(*data(), batch_size=8, epochs=10, verbose=0, seed=0, callbacks=[watcher])
    return watcher.losses[:30]


# -- golden losses ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_losses_are_the_golden_ones(kind: str) -> None:
    """A refactor must keep them. Where a change of the arithmetic is meant, write them anew and say so in the
    change: `python -m tests.training.test_loop`."""
    assert step_losses(kind) == pytest.approx(json.loads(GOLDEN.read_text())[kind], rel=1e-5)


# -- determinism --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_same_seed_same_bits(kind: str) -> None:
    make, (x, y) = KINDS[kind][0], KINDS[kind][1]()
    runs = [compiled(make()) for _ in range(3)]
    histories = [
        model.fit(x, y, batch_size=8, epochs=2, verbose=0, seed=seed)
        for model, seed in zip(runs, (5, 5, 6), strict=True)
    ]
    assert same_state(runs[0], runs[1])
    assert without_seconds(histories[0]) == without_seconds(histories[1])
    assert not same_state(runs[0], runs[2])
    assert histories[0]["loss"] != histories[2]["loss"]


def test_set_seed_decides_the_weights_and_the_order() -> None:
    models = []
    for seed in (1, 1, 2):
        set_seed(seed)
        models.append(compiled(mlp()))
        models[-1].fit(*table(), verbose=0)
    assert same_state(models[0], models[1])
    assert not same_state(models[0], models[2])


def test_the_callers_generator_does_not_matter() -> None:
    one, other = compiled(mlp(dropout=0.5)), compiled(mlp(dropout=0.5))
    torch.manual_seed(1)
    one.fit(*table(), verbose=0)
    torch.manual_seed(2)
    other.fit(*table(), verbose=0)
    assert same_state(one, other)


class Watch(Layer):
    """Keeps what went through it in training."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.seen: list[Tensor] = []

    def call(self, x: Tensor) -> Tensor:
        if self.training:
            self.seen.append(x.detach().clone())
        return x

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape


@pytest.mark.parametrize("kind", ["mlp", "cnn"])
def test_what_a_row_draws_does_not_depend_on_the_batch_size(kind: str) -> None:
    x, y = KINDS[kind][1]()
    seen = []
    for batch_size in (4, 7, len(x)):
        watch = Watch()
        model = mlp(dropout=0.5) if kind == "mlp" else cnn(dropout=0.5, flip=True)
        top = model.pop()
        model.add(watch)
        model.add(top)
        # A rate of 0 keeps the weights, so only order and draws can differ.
        compiled(model, SGD(0.0)).fit(x, y, batch_size=batch_size, epochs=2, verbose=0, seed=3)
        seen.append(torch.cat(watch.seen))
    assert len(seen[0]) == 2 * len(x)
    for other in seen[1:]:
        torch.testing.assert_close(seen[0], other, rtol=1e-5, atol=1e-6)
        assert torch.equal(seen[0] == 0, other == 0)
    first, second = seen[0][: len(x)], seen[0][len(x) :]
    assert not torch.equal(first.sort(0).values, second.sort(0).values)  # another epoch draws anew


# -- resume -------------------------------------------------------------------------------------------------


def resumable(kind: str, run: Path | None, extra: tuple[Any, ...] = ()) -> Any:
    """The same program each time: Adam on a schedule, dropout, early stopping, plateaus."""
    make, data = KINDS[kind]
    x, y = data()
    model = compiled(make(), Adam(ExponentialDecay(0.01, 5, 0.9)))
    callbacks = [
        EarlyStopping("val_loss", patience=3, restore_best_weights=True),
        ReduceLROnPlateau("loss", factor=0.5, patience=1, min_delta=0.2),
        *extra,
    ]
    model.fit(
        x[:-6], y[:-6], batch_size=5, epochs=4, verbose=0, seed=2, run=run,
        validation_data=(x[-6:], y[-6:]), callbacks=callbacks,
    )  # fmt: skip
    return model


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("at", [(0, 1), (2, 0), (2, 2)])
def test_interrupted_and_resumed_is_uninterrupted(kind: str, at: tuple[int, int], tmp_path: Path) -> None:
    whole = resumable(kind, None)
    part = resumable(kind, tmp_path, (InterruptAt(*at),))
    assert part.history.interrupted
    assert part.history.epoch == list(range(at[0]))
    again = resumable(kind, tmp_path)
    assert same_state(whole, again)
    assert without_seconds(again.history) == without_seconds(whole.history)
    finished = resumable(kind, tmp_path)  # nothing is left to do
    assert same_state(whole, finished)
    assert without_seconds(finished.history) == without_seconds(whole.history)


@pytest.mark.parametrize("name", ["sgd", "adamw", "rmsprop", "channel_adaptive"])
def test_every_optimizer_resumes(name: str, tmp_path: Path) -> None:
    x, y = images()

    def program(run: Path | None, *extra: Any) -> Any:
        model = compiled(cnn(), SGD(CosineDecay(0.1), momentum=0.9) if name == "sgd" else name)
        model.fit(x, y, batch_size=8, epochs=3, verbose=0, run=run, callbacks=list(extra))
        return model

    program(tmp_path, InterruptAt(1, 1))
    assert same_state(program(tmp_path), program(None))


def test_killed_after_an_epoch_is_resumed_from_there(tmp_path: Path) -> None:
    class Crash(Exception):
        pass

    def crash(epoch: int, logs: Any) -> None:
        if epoch == 2:
            raise Crash

    with pytest.raises(Crash):
        resumable("mlp", tmp_path, (LambdaCallback(on_epoch_begin=lambda epoch: crash(epoch, None)),))
    assert same_state(resumable("mlp", tmp_path), resumable("mlp", None))


def test_a_metric_that_was_not_measured_survives_the_checkpoint(tmp_path: Path) -> None:
    x, y = table()

    def program(*extra: Any) -> Any:
        model = compiled(mlp())
        stop = EarlyStopping("loss", patience=5, start_from_epoch=2)
        return model.fit(
            x, y, epochs=4, verbose=0, run=tmp_path, validation_data=(x, y), validation_freq=2,
            callbacks=[stop, *extra],
        )  # fmt: skip

    program(InterruptAt(1, 0))
    history = program()
    assert np.isnan(history["val_loss"]).tolist() == [True, False, True, False]


def test_a_checkpoint_of_another_model_or_seed_is_refused(tmp_path: Path) -> None:
    x, y = table()
    compiled(mlp()).fit(x, y, verbose=0, run=tmp_path)
    other = Sequential([Dense(5, input_shape=(4,)), Dense(3, activation="softmax")])
    with pytest.raises(
        StorageError, match=r"belongs to a run with layers\[0\].units 8, this one has 5. Use another run folder"
    ):
        compiled(other).fit(x, y, verbose=0, run=tmp_path)
    with pytest.raises(StorageError, match="belongs to a run with seed 0.*this one has 9"):
        compiled(mlp()).fit(x, y, verbose=0, run=tmp_path, seed=9)


# -- divergence ---------------------------------------------------------------------------------------------


def test_a_bad_batch_leaves_the_weights_of_the_step_before() -> None:
    x, y = np.zeros((6, 2), "float32"), np.zeros((6, 1), "float32")
    x[4] = 3e38  # finite in the data; the sum of the products is not
    model = Sequential([Dense(1, kernel_initializer="ones", input_shape=(2,))])
    model.compile(optimizer=SGD(0.1), loss="mse")
    kept: list[Any] = []
    watch = LambdaCallback(on_train_batch_end=lambda batch, logs: kept.append(state(model)))
    message = (
        "the loss became (inf|nan) in epoch 1, step 3; the model keeps the weights from just before that step. The "
        r"output of layer 'dense' \(Dense\) is not finite in row 0 of the batch. Lower the learning rate"
    )
    with pytest.raises(DivergedError, match=message) as caught:
        model.fit(x, y, batch_size=2, shuffle=False, verbose=0, callbacks=[watch])
    assert len(kept) == 2 and caught.value.history == {}
    assert finite(model) and all(torch.equal(value, kept[-1][name]) for name, value in model.state_dict().items())
    assert np.isfinite(model.predict(np.ones((1, 2), "float32"))).all()


def test_broken_weights_go_back_to_the_start_of_the_epoch() -> None:
    model = Sequential([Dense(1, input_shape=(2,))])
    model.compile(optimizer=SGD(1e18), loss="mse")
    first = state(model := built(model))
    message = "in epoch 1, step .*; the model keeps the weights from the start of epoch 1, the last that are known"
    with pytest.raises(DivergedError, match=message):
        model.fit(np.ones((40, 2), "float32"), np.ones(40, "float32"), batch_size=2, verbose=0)
    assert finite(model) and all(torch.equal(value, first[name]) for name, value in model.state_dict().items())


def test_running_statistics_are_saved_from_a_bad_batch_too() -> None:
    x, y = images()
    x[7] = 1e38
    model = compiled(cnn(norm=True), SGD(0.01))
    with pytest.raises(DivergedError):
        model.fit(x, y, batch_size=4, shuffle=False, verbose=0)
    assert finite(model)


class RootAtZero(Layer):
    """The square root: finite at 0, its gradient is not."""

    def call(self, x: Tensor) -> Tensor:
        return x.sqrt()

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape


def test_weights_that_break_in_the_last_step_are_noticed() -> None:
    model = Sequential([Dense(1, kernel_initializer="ones", input_shape=(1,)), RootAtZero()])
    model.compile(optimizer="sgd", loss="mse")
    x = np.array([[1.0], [1.0], [0.0]], "float32")
    with pytest.raises(DivergedError, match="the weights are not finite after the last step of epoch 1"):
        model.fit(x, x, batch_size=1, shuffle=False, verbose=0)
    assert finite(model)


def test_the_epochs_before_a_divergence_are_in_the_error() -> None:
    model = Sequential([Dense(1, input_shape=(2,))])
    model.compile(optimizer=SGD(PiecewiseConstantDecay([2], [0.01, 1e30])), loss="mse")
    x, y = np.ones((6, 2), "float32"), np.zeros((6, 1), "float32")
    with pytest.raises(DivergedError, match="in epoch 2, step") as caught:
        model.fit(x, y, batch_size=2, epochs=4, shuffle=False, verbose=0)
    assert len(caught.value.history["loss"]) == 1 and np.isfinite(caught.value.history["loss"][0])


def built(model: Sequential) -> Sequential:
    model.ensure_built(model.input_specs[0].shape)
    return model


# -- the rest -----------------------------------------------------------------------------------------------


def test_steps_per_epoch_beyond_the_data_goes_on_with_a_new_order() -> None:
    x, y = table(10)
    watcher = StepLosses()
    model = compiled(mlp())
    history = model.fit(x, y, batch_size=4, steps_per_epoch=7, epochs=2, verbose=0, callbacks=[watcher])
    assert len(watcher.losses) == 14
    assert history.epoch == [0, 1]


def test_nothing_to_train_is_said() -> None:
    model = compiled(mlp())
    model.trainable = False
    with pytest.raises(UsageError, match="no parameter trains"):
        model.fit(*table(), verbose=0)


def test_an_output_without_loss_does_not_train() -> None:
    x = Input((4,))
    hidden = Dense(3, name="hidden")(x)
    model = Model(x, [Dense(1, name="a")(hidden), Dense(1, name="b")(hidden)])
    model.compile(optimizer="sgd", loss={"a": "mse"})
    before = state(model)
    data = table()[0]
    model.fit(data, {"a": data[:, :1], "b": data[:, :1]}, verbose=0)
    after = state(model)
    assert torch.equal(before["b.weight"], after["b.weight"])
    assert not torch.equal(before["a.weight"], after["a.weight"])


def test_threads_and_the_generator_are_as_they_were() -> None:
    threads = torch.get_num_threads()
    compiled(mlp()).fit(*table(), verbose=0)
    assert torch.get_num_threads() == threads


def write_golden() -> None:
    """Write the losses as they are now."""
    torch.set_num_threads(1)
    GOLDEN.write_text(json.dumps({kind: step_losses(kind) for kind in KINDS}, indent=1) + "\n")


if __name__ == "__main__":
    write_golden()
    sys.stdout.write(f"wrote {GOLDEN}\n")
