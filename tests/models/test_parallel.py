"""Training with workers: one result, whatever their number."""

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import psutil  # type: ignore[import-untyped]
import pytest
import torch

from lepton_ai.core import ConfigError, DivergedError, WorkerError
from lepton_ai.data import Arrays
from lepton_ai.layers import Dense, Input
from lepton_ai.models import Model, Sequential, distributed_train
from lepton_ai.training import SGD, EarlyStopping, LambdaCallback, ReduceLROnPlateau, fit
from tests.contracts.fitting import cnn, compiled, finite, images, mlp, same_state, table


def train(model: Any, workers: int, rows: int = 50, **options: Any) -> Any:
    x, y = table(rows)
    distributed_train(model, x, y, num_workers=workers, verbose=0, **{"batch_size": 12, "epochs": 3} | options)
    return model


def children() -> list[Any]:
    return [each for each in psutil.Process().children() if each.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.parametrize("workers", [2, 10])
@pytest.mark.parametrize("rows", [50, 13, 7])
def test_losses_metrics_and_weights_are_those_of_one(workers: int, rows: int) -> None:
    """Batches of 12 do not divide by 10; the last ones hold 2, 1 and 7 rows: most shards of those are empty."""
    x, y = table(20)
    models = [train(compiled(mlp(dropout=0.3)), count, rows, validation_data=(x[:7], y[:7])) for count in (1, workers)]
    one, several = (model.history for model in models)
    assert one.epoch == several.epoch == [0, 1, 2]
    for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
        assert several[name] == pytest.approx(one[name], rel=1e-5), name
    for name, value in models[0].state_dict().items():
        torch.testing.assert_close(models[1].state_dict()[name], value, rtol=1e-4, atol=1e-6)


def test_one_worker_is_fit() -> None:
    x, y = table()
    model = compiled(mlp(dropout=0.3))
    model.fit(x, y, batch_size=12, epochs=3, verbose=0)
    assert same_state(model, train(compiled(mlp(dropout=0.3)), 1))


def test_convolutions_and_augmentation_with_workers() -> None:
    x, y = images()
    models = [compiled(cnn(dropout=0.2, flip=True)) for _ in range(2)]
    for model, workers in zip(models, (1, 3), strict=True):
        distributed_train(model, x, y, 5, workers, epochs=2, verbose=0)
    assert models[1].history["loss"] == pytest.approx(models[0].history["loss"], rel=1e-4)


def test_running_statistics_follow_all_workers() -> None:
    x, y = images()
    model = compiled(cnn(norm=True))
    distributed_train(model, x, y, 11, 2, epochs=2, verbose=0)
    again = compiled(cnn(norm=True))
    distributed_train(again, x, y, 11, 2, epochs=2, verbose=0)
    assert same_state(model, again)
    assert finite(model)
    assert not torch.equal(model.get_layer("batch_normalization").running_mean, torch.zeros(6))


def test_regularisation_is_counted_once() -> None:
    x, y = table()
    losses = []
    for workers in (1, 3):
        model = compiled(Sequential([Dense(3, "softmax", kernel_regularizer="l2", input_shape=(4,))]))
        distributed_train(model, x, y, 20, workers, epochs=2, verbose=0, validation_data=(x, y))
        losses.append(model.history["loss"] + model.history["val_loss"])
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)


def test_several_outputs_with_workers() -> None:
    x, y = table()
    results = []
    for workers in (1, 2):
        start = Input((4,))
        model = Model(start, {"label": Dense(3, activation="softmax")(start), "size": Dense(1)(start)})
        loss = {"label": "sparse_categorical_crossentropy", "size": "mse"}
        model.compile("adam", loss, metrics={"label": ["accuracy"], "size": ["mae"]})
        targets = {"label": y, "size": x[:, :1]}
        distributed_train(model, x, targets, 16, workers, epochs=2, verbose=0)
        assert model.history is not None
        results.append(model.history.history)
    assert results[0].keys() == results[1].keys() == {"loss", "label_loss", "size_loss", "label_accuracy", "size_mae"}
    for name, values in results[0].items():
        assert results[1][name] == pytest.approx(values, rel=1e-5)


def test_callbacks_of_the_leader_stop_all() -> None:
    callbacks = [EarlyStopping("loss", patience=2, min_delta=100, restore_best_weights=True)]
    histories = [train(compiled(mlp()), workers, callbacks=callbacks, epochs=9).history for workers in (1, 2)]
    assert histories[0].epoch == histories[1].epoch == [0, 1, 2]
    assert histories[1]["loss"] == pytest.approx(histories[0]["loss"], rel=1e-5)


def test_the_rate_that_the_leader_lowers_is_everyones() -> None:
    callbacks = [ReduceLROnPlateau("loss", factor=0.1, patience=1, min_delta=100)]
    histories = [train(compiled(mlp(), SGD(0.5)), count, callbacks=callbacks, epochs=4).history for count in (1, 3)]
    assert histories[1]["loss"] == pytest.approx(histories[0]["loss"], rel=1e-5)


class Broken(Arrays):
    def fetch(self, indices: torch.Tensor) -> Any:
        if 49 in indices.tolist():
            raise RuntimeError("row 49 cannot be read")
        return super().fetch(indices)


def test_a_worker_that_fails_is_named_and_none_is_left() -> None:
    model = compiled(mlp())
    with pytest.raises(WorkerError, match="worker 1 failed\n") as caught:
        distributed_train(model, Broken(*table()), None, 10, 2, epochs=2, shuffle=False, verbose=0)
    assert "RuntimeError: row 49 cannot be read" in str(caught.value)
    assert children() == []


def test_a_callback_that_fails_is_named() -> None:
    def fail(epoch: int, logs: Any) -> None:
        raise LookupError("not found")

    with pytest.raises(WorkerError, match="worker 0 failed\n(.|\n)*LookupError: not found"):
        train(compiled(mlp()), 2, callbacks=[LambdaCallback(on_epoch_end=fail)])
    assert children() == []


@pytest.mark.parametrize("workers", [1, 2])
def test_divergence_keeps_the_last_good_weights(workers: int) -> None:
    x, y = np.ones((20, 2), "float32"), np.ones((20, 1), "float32")
    x[17] = 3e38
    model = Sequential([Dense(1, kernel_initializer="ones", input_shape=(2,))])
    model.compile(SGD(0.01), "mse")
    with pytest.raises(DivergedError, match="in epoch 1, step 5; the model keeps the weights from just before"):
        distributed_train(model, x, y, 4, workers, shuffle=False, verbose=0)
    assert finite(model)
    good = Sequential([Dense(1, kernel_initializer="ones", input_shape=(2,))])
    good.compile(SGD(0.01), "mse")
    good.fit(x[:16], y[:16], batch_size=4, shuffle=False, verbose=0)
    assert np.allclose(model.get_weights()[0], good.get_weights()[0], rtol=1e-5)


@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_keeps_what_was_learnt(workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    before = compiled(mlp())
    before.predict(table()[0])
    caller = os.getpid()

    def interrupt(epoch: int, logs: Any) -> None:
        if epoch == 2:
            os.kill(caller, signal.SIGINT)

    press = LambdaCallback(on_epoch_end=interrupt)
    model = train(compiled(mlp()), workers, epochs=1_000_000, callbacks=[press])
    assert model.history.interrupted
    assert len(model.history.epoch) >= 3
    assert not same_state(model, before)
    assert children() == []
    path = tmp_path / "runs/interrupted/checkpoints"
    assert path.is_dir()
    again = compiled(mlp())
    epochs = len(model.history.epoch)
    history = again.fit(*table(), batch_size=12, epochs=epochs, verbose=0, run=path.parent)
    assert history.epoch == list(range(epochs))


def test_a_callback_can_interrupt_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    def interrupt(epoch: int, logs: Any) -> None:
        if epoch == 1:
            raise KeyboardInterrupt

    model = train(compiled(mlp()), 2, callbacks=[LambdaCallback(on_epoch_end=interrupt)], epochs=5)
    assert model.history.interrupted
    assert model.history.epoch == [0, 1]


def test_after_fit_in_the_same_process() -> None:
    x, y = table()
    model = compiled(mlp())
    torch.set_num_threads(2)
    try:
        model.fit(x, y, verbose=0)
    finally:
        torch.set_num_threads(1)
    train(model, 2)
    assert model.history is not None and model.history.epoch == [0, 1, 2]


@pytest.mark.parametrize("workers", [0, True, 2.0])
def test_the_number_of_workers_is_checked(workers: Any) -> None:
    with pytest.raises(ConfigError, match=r"distributed_train\(num_workers=...\): got .*, expected a positive int"):
        train(compiled(mlp()), workers)


@pytest.mark.filterwarnings("ignore::lepton_ai.data.ResumeWarning")
def test_batches_cannot_be_shared() -> None:
    x, y = table()
    with pytest.raises(ConfigError, match="several workers need data that can be fetched by index"):
        distributed_train(compiled(mlp()), lambda: iter([(x, y)]), None, num_workers=2, verbose=0)


def test_the_jobs_result_is_left_for_the_caller(tmp_path: Path) -> None:
    model = compiled(mlp())
    x, y = table()
    job = model.job(Arrays(x, y), batch_size=10, epochs=1)
    job.result = tmp_path / "result"
    fit(job)
    assert (job.result / "tensors.safetensors").is_file()
