"""The promises of training with several workers: the global batch, uneven tails, batch normalisation, exact sums."""

import functools
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from lepton_ai.core import ConfigError, UnknownNameError, WorkerError
from lepton_ai.data import Arrays, Indexed
from lepton_ai.distributed import Workers
from lepton_ai.layers import (
    LSTM,
    BatchNormalization,
    Dense,
    Embedding,
    GlobalAveragePooling1D,
    Input,
    TextVectorization,
)
from lepton_ai.models import Model, Sequential, distributed_train
from lepton_ai.training import SGD, Adam, Callback, CategoricalCrossentropy, MixUp, SparseCategoricalCrossentropy
from tests.contracts.fitting import StepLosses, cnn, compiled, images, mlp, same_state, table, without_seconds


class Kept(Callback):
    """Leaves the loss of every step in a file, which the caller of a worker can read."""

    def __init__(self, path: Path) -> None:
        self.path, self.losses = path, list[float]()

    def on_train_batch_end(self, batch: int, logs: dict[str, float]) -> None:
        self.losses.append(logs["loss"])

    def on_train_end(self) -> None:
        np.save(self.path, self.losses)


def step_losses(model: Any, workers: int, folder: Path, **options: Any) -> Any:
    x, y = images(60)
    kept = Kept(folder / f"losses-{workers}.npy")
    distributed_train(model, x, y, 8, workers, epochs=8, verbose=0, callbacks=[kept], **options)
    return np.load(kept.path)


@pytest.mark.parametrize("make", [functools.partial(cnn, dropout=0.3), functools.partial(cnn, norm=True)])
def test_the_first_fifty_losses_are_those_of_one(make: Callable[[], Model], tmp_path: Path) -> None:
    one, two, four = (step_losses(compiled(make()), workers, tmp_path) for workers in (1, 2, 4))
    assert len(one) == 64
    for several in (two, four):
        assert np.abs(several[:50] / one[:50] - 1).max() < 1e-5
        assert abs(several.mean() / one.mean() - 1) < 0.01


@pytest.mark.parametrize("workers", [2, 4, 10])
def test_batches_are_normalised_as_wholes_even_by_workers_without_rows(workers: int) -> None:
    """Batches of 9 and one of 4: of ten workers some never have a row."""
    x, y = images(22)
    models = [compiled(cnn(norm=True)) for _ in range(2)]
    for model, count in zip(models, (1, workers), strict=True):
        distributed_train(model, x, y, 9, count, epochs=3, verbose=0)
    assert models[1].history["loss"] == pytest.approx(models[0].history["loss"], rel=1e-5)
    for name, value in models[0].state_dict().items():
        torch.testing.assert_close(models[1].state_dict()[name], value, rtol=1e-4, atol=1e-5)


def test_torch_s_own_batch_normalisation_is_global_too() -> None:
    x, y = table()
    histories = []
    for workers in (1, 3):
        torch.manual_seed(0)
        module = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3))
        model = Model.from_module(module, (4,))
        model.compile(SGD(0.1), SparseCategoricalCrossentropy(from_logits=True))
        distributed_train(model, x, y, 10, workers, epochs=3, verbose=0)
        assert model.history is not None
        histories.append(model.history["loss"])
    assert histories[1] == pytest.approx(histories[0], rel=1e-5)


def test_local_batch_normalisation_differs_and_averages_its_statistics() -> None:
    x, y = images()
    models = [compiled(cnn(norm=True)) for _ in range(3)]
    choices: list[dict[str, Any]] = [{}, {"batch_norm": "local"}, {"batch_norm": "local"}]
    for model, options in zip(models, choices, strict=True):
        distributed_train(model, x, y, 11, 2, epochs=2, verbose=0, **options)
    assert models[0].history["loss"] != pytest.approx(models[1].history["loss"], rel=1e-4)
    assert same_state(models[1], models[2])


@pytest.mark.parametrize("make", [mlp, functools.partial(cnn, norm=True, dropout=0.3, flip=True)])
def test_exact_sums_give_the_same_bits(make: Callable[[], Model]) -> None:
    x, y = table(53) if make is mlp else images(53)
    models = [compiled(make(), metrics=("accuracy", "sparse_categorical_crossentropy")) for _ in range(3)]
    for model, workers in zip(models, (1, 2, 4), strict=True):
        distributed_train(
            model, x, y, 10, workers, epochs=2, verbose=0, reduction="exact", validation_data=(x[:9], y[:9])
        )
    for other in models[1:]:
        assert same_state(models[0], other)
        assert without_seconds(other.history) == without_seconds(models[0].history)


def test_exact_sums_with_accumulation_pairs_ema_and_torch_s_dropout() -> None:
    x, y = table(50)
    histories, states = [], []
    for workers in (1, 3):
        torch.manual_seed(0)
        module = nn.Sequential(nn.Linear(4, 6), nn.Dropout(0.4), nn.BatchNorm1d(6), nn.Linear(6, 3))
        model = Model.from_module(module, (4,))
        optimizer = Adam(0.01, gradient_accumulation_steps=2, global_clipnorm=1.0, use_ema=True)
        model.compile(optimizer, CategoricalCrossentropy(from_logits=True))
        together = Workers(count=workers, reduction="exact", shards=6)
        model.fit(x, np.eye(3, dtype="float32")[y], 14, 2, verbose=0, augment=MixUp(), workers=together)
        histories.append(without_seconds(model.history))
        states.append(model)
    assert same_state(*states)
    assert histories[0] == histories[1]


def words(rows: int = 30) -> tuple[Any, Any]:
    """Sentences of one to nine words, and how many of them are "yes"."""
    rng = np.random.default_rng(2)
    texts = [" ".join(rng.choice(["yes", "no", "who"], size=rng.integers(1, 10))) for _ in range(rows)]
    return texts, np.array([text.count("yes") for text in texts], "float32")[:, None]


class Said(Indexed):
    """Sentences that are not in memory as a whole."""

    def __init__(self, texts: Any, y: Any) -> None:
        self.rows = Arrays(texts, y, texts=True)

    def __len__(self) -> int:
        return len(self.rows)

    def fetch(self, indices: torch.Tensor) -> Any:
        return self.rows.fetch(indices)


@pytest.mark.parametrize("masked", [False, True])
def test_ragged_samples_are_padded_to_the_longest_of_the_whole_batch(masked: bool) -> None:
    texts, y = words()
    histories = []
    for workers in (1, 3):
        vectorize = TextVectorization(vocabulary=["yes", "no", "who"])
        start = Input((), dtype="string")
        inner = LSTM(4) if masked else GlobalAveragePooling1D()
        model = Model(start, Dense(1)(inner(Embedding(5, 3, mask_zero=masked)(vectorize(start)))))
        model.compile("adam", "mse")
        distributed_train(model, Said(texts, y), None, 7, workers, epochs=2, verbose=0)
        assert model.history is not None
        histories.append(model.history["loss"])
    assert histories[1] == pytest.approx(histories[0], rel=1e-5)


def test_masks_and_batch_normalisation_together() -> None:
    x = np.random.default_rng(0).integers(0, 5, (23, 6))
    y = x.sum(1, keepdims=True).astype("float32")
    histories = []
    for workers in (1, 4):
        model = Sequential([Embedding(5, 4, mask_zero=True, input_shape=(6,)), BatchNormalization(), LSTM(3), Dense(1)])
        model.compile("adam", "mse")
        distributed_train(model, x, y, 7, workers, epochs=2, verbose=0)
        assert model.history is not None
        histories.append(model.history["loss"])
    assert histories[1] == pytest.approx(histories[0], rel=1e-5)


def test_averaged_weights_after_each_step_of_plain_sgd_are_the_default() -> None:
    x, y = table(48)
    models = [compiled(mlp(), SGD(0.1)) for _ in range(2)]
    choices: list[Any] = ["gradients", "parameters"]
    for model, sync in zip(models, choices, strict=True):
        distributed_train(model, x, y, 12, 2, epochs=3, verbose=0, sync=sync)
    assert models[1].history["loss"] == pytest.approx(models[0].history["loss"], rel=1e-5)
    assert models[1].history["accuracy"] == models[0].history["accuracy"]
    for name, value in models[0].state_dict().items():
        torch.testing.assert_close(models[1].state_dict()[name], value, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("rows", [48, 50, 2])
def test_weights_averaged_now_and_then_learn(rows: int) -> None:
    x, y = table(rows)
    model = compiled(mlp(dropout=0.1), SGD(0.3))
    distributed_train(model, x, y, 12, 3, epochs=8, verbose=0, sync="parameters", every=3)
    losses = model.history["loss"]
    assert losses[-1] < losses[0]
    assert sum(model.history["accuracy"]) > 0


def test_gradients_as_bfloat16_are_close() -> None:
    x, y = images()
    models = [compiled(cnn()) for _ in range(2)]
    choices: list[Any] = ["float32", "bfloat16"]
    for model, wire in zip(models, choices, strict=True):
        distributed_train(model, x, y, 8, 2, epochs=3, verbose=0, wire=wire)
    assert models[1].history["loss"] == pytest.approx(models[0].history["loss"], rel=0.01)
    assert models[1].history["loss"] != models[0].history["loss"]


def test_fit_takes_workers_and_everything_else() -> None:
    x, y = table()
    models = [compiled(mlp()) for _ in range(2)]
    for model, workers in zip(models, (1, 3), strict=True):
        weights = np.linspace(0.5, 1.5, len(x), dtype="float32")
        model.fit(
            x, y, 12, 3, verbose=0, validation_split=0.2, class_weight={0: 2.0, 1: 1.0, 2: 0.5},
            sample_weight=weights, workers=workers, seed=5,
        )  # fmt: skip
    assert models[0].history.history.keys() == models[1].history.history.keys()
    for name, values in models[0].history.history.items():
        assert models[1].history[name] == pytest.approx(values, rel=1e-5), name


class KillAt(Callback):
    """Kills a worker, the leader, with SIGKILL the first time that it comes to a step."""

    def __init__(self, step: int, marks: Path) -> None:
        self.step, self.marks = step, marks

    def on_train_batch_end(self, batch: int, logs: dict[str, float]) -> None:
        mark = self.marks / str(self.step)
        if self.run.total_steps == self.step and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("folder", [True, False])
def test_workers_that_are_killed_are_replaced_and_the_bits_are_the_same(
    workers: int, folder: bool, tmp_path: Path
) -> None:
    x, y = table(50)
    whole = compiled(mlp(dropout=0.3))
    options: dict[str, Any] = {"epochs": 4, "verbose": 0, "validation_data": (x[:9], y[:9])}
    distributed_train(whole, x, y, 8, 1, reduction="exact", **options)
    model = compiled(mlp(dropout=0.3))
    callbacks: list[Callback] = [KillAt(step, tmp_path) for step in (5, 14, 20)]
    distributed_train(
        model, x, y, 8, 2 * workers, callbacks=callbacks, reduction="exact", checkpoint_every=3,
        run=tmp_path / "run" if folder else None, **options,
    )  # fmt: skip
    assert same_state(model, whole)
    assert without_seconds(model.history) == without_seconds(whole.history)
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["14", "20", "5"]


def test_the_usual_sum_goes_on_from_within_an_epoch_with_all_that_was_counted(tmp_path: Path) -> None:
    x, y = table(50)
    whole, model = compiled(mlp()), compiled(mlp())
    distributed_train(whole, x, y, 8, 3, epochs=3, verbose=0)
    distributed_train(model, x, y, 8, 3, epochs=3, verbose=0, callbacks=[KillAt(11, tmp_path)], checkpoint_every=2)
    assert model.history["accuracy"] == whole.history["accuracy"]
    assert model.history["loss"] == pytest.approx(whole.history["loss"], rel=1e-6)
    assert (tmp_path / "11").exists()


def test_a_run_goes_on_with_another_number_of_workers(tmp_path: Path) -> None:
    x, y = table(50)
    whole = compiled(mlp(dropout=0.3))
    distributed_train(whole, x, y, 8, 1, epochs=3, verbose=0, reduction="exact")
    for epochs, workers in ((1, 4), (2, 1), (3, 2)):
        model = compiled(mlp(dropout=0.3))
        distributed_train(model, x, y, 8, workers, epochs=epochs, verbose=0, reduction="exact", run=tmp_path)
    assert same_state(model, whole)
    assert without_seconds(model.history)["history"] == without_seconds(whole.history)["history"]


def test_a_worker_that_is_killed_again_and_again_ends_the_run(tmp_path: Path) -> None:
    class Kill(Callback):
        def on_train_batch_end(self, batch: int, logs: dict[str, float]) -> None:
            os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(WorkerError, match="worker 0 was ended by signal SIGKILL"):
        distributed_train(compiled(mlp()), *table(), 8, 2, verbose=0, callbacks=[Kill()], restarts=1)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"reduction": "exact", "shards": 3}, "3 shards cannot be dealt out evenly to 2 workers. Take num_workers= a"),
        ({"reduction": "exact", "sync": "parameters"}, "is of gradients, and sync='parameters' exchanges none"),
        ({"reduction": "exact", "wire": "bfloat16"}, "keeps every bit, wire='bfloat16' does not"),
        ({"every": 0}, r"distributed_train\(every=...\): got 0, expected a positive int"),
        ({"shards": True}, r"distributed_train\(shards=...\): got True, expected a positive int"),
        ({"timeout": 0}, r"distributed_train\(timeout=...\): got 0, expected a positive number of seconds"),
        ({"restarts": -1}, r"distributed_train\(restarts=...\): got -1, expected an int of at least 0"),
    ],
)
def test_impossible_settings(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        distributed_train(compiled(mlp()), *table(), 8, 2, verbose=0, **options)


@pytest.mark.parametrize("name", ["reduction", "batch_norm", "sync", "wire"])
def test_unknown_settings(name: str) -> None:
    options: dict[str, Any] = {name: "globl"}
    with pytest.raises(UnknownNameError, match=rf"distributed_train\({name}=...\): unknown {name} 'globl'"):
        distributed_train(compiled(mlp()), *table(), 8, 2, verbose=0, **options)


def test_one_worker_has_nothing_of_it() -> None:
    """One worker alone: the bits of a fit that never heard of workers."""
    x, y = images()
    losses = StepLosses()
    model, other = compiled(cnn(norm=True)), compiled(cnn(norm=True))
    model.fit(x, y, 5, 2, verbose=0, callbacks=[losses], workers=Workers(batch_norm="local", wire="bfloat16"))
    other.fit(x, y, 5, 2, verbose=0)
    assert same_state(model, other)
