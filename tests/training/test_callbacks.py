"""Callbacks: what they see, decide and leave behind."""

import csv
import math
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from lepton_ai.core import ConfigError, StorageError, UnknownNameError, UsageError
from lepton_ai.data import Arrays, Loader
from lepton_ai.models import load
from lepton_ai.training import (
    SGD,
    Callback,
    CSVLogger,
    EarlyStopping,
    Job,
    LambdaCallback,
    ModelCheckpoint,
    Objective,
    ReduceLROnPlateau,
    StopAt,
    TimeBudget,
    fit,
    get_optimizer,
)
from lepton_ai.training.callbacks import history_csv, overrides
from tests.contracts.fitting import compiled, mlp, same_state, state, table

X, Y = table()


def scripted(values: list[float], *callbacks: Callback, name: str = "val_loss", **options: Any) -> Any:
    """Train while the metric `name` is as scripted."""

    def rewrite(epoch: int, logs: dict[str, float]) -> None:
        logs[name] = values[epoch]

    model = compiled(mlp(), SGD(0.1))
    script = LambdaCallback(on_epoch_end=rewrite)
    options = {"epochs": len(values), "verbose": 0, "callbacks": [script, *callbacks]} | options
    model.fit(X, Y, **options)
    return model


# -- hooks --------------------------------------------------------------------------------------------------


class Diary(Callback):
    def __init__(self) -> None:
        self.entries: list[Any] = []

    def on_train_begin(self) -> None:
        self.entries.append(("begin", type(self.model).__name__, self.run.epoch))

    def on_train_end(self) -> None:
        self.entries.append("end")

    def on_epoch_begin(self, epoch: int) -> None:
        self.entries.append(("epoch begins", epoch))

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        self.entries.append(("epoch ends", epoch, sorted(logs)))

    def on_train_batch_end(self, batch: int, logs: dict[str, float]) -> None:
        assert math.isfinite(logs["loss"])
        self.entries.append(("batch", batch))


def test_every_hook_in_its_order() -> None:
    diary = Diary()
    compiled(mlp()).fit(X, Y, batch_size=30, epochs=2, verbose=0, callbacks=[diary], validation_data=(X, Y))
    epoch = [("batch", 0), ("batch", 1)]
    logs = ["accuracy", "loss", "val_accuracy", "val_loss"]
    assert diary.entries == [
        ("begin", "Sequential", 0),
        ("epoch begins", 0), *epoch, ("epoch ends", 0, logs),
        ("epoch begins", 1), *epoch, ("epoch ends", 1, logs),
        "end",
    ]  # fmt: skip


def test_training_ends_well_also_after_an_error() -> None:
    diary = Diary()
    fail = LambdaCallback(on_epoch_end=lambda epoch, logs: 1 / 0)
    model = compiled(mlp())
    with pytest.raises(ZeroDivisionError):
        model.fit(X, Y, verbose=0, callbacks=[diary, fail])
    assert diary.entries[-1] == "end"
    assert not model.training
    assert all(parameter.grad is None for parameter in model.parameters())


def test_batch_hooks_cost_only_where_they_are_used() -> None:
    class Quiet(Callback):
        pass

    assert not overrides(Quiet(), "on_train_batch_end")
    assert overrides(Diary(), "on_train_batch_end")
    assert overrides(LambdaCallback(on_train_batch_end=lambda batch, logs: None), "on_train_batch_end")


def test_a_callback_can_change_the_rate_and_stop() -> None:
    rates = []

    class Halve(Callback):
        def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
            rates.append(self.run.learning_rate)
            self.run.learning_rate_scale /= 2
            if epoch == 2:
                self.run.stop()

    model = compiled(mlp(), SGD(0.8))
    history = model.fit(X, Y, epochs=9, verbose=0, callbacks=[Halve()])
    assert rates == [0.8, 0.4, 0.2]
    assert history.epoch == [0, 1, 2]


def test_unknown_hook() -> None:
    with pytest.raises(UnknownNameError, match="LambdaCallback: unknown hook 'on_epoch_and'. Did you mean 'on_epoch_"):
        LambdaCallback(on_epoch_and=print)


# -- EarlyStopping ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "values", "epochs"),
    [
        ({}, [3, 2, 2, 1], 3),
        ({"patience": 2}, [3, 2, 2, 1, 2, 2, 0], 6),
        ({"patience": 2, "min_delta": 0.5}, [3, 2.8, 2.6, 2.0, 0], 3),
        ({"patience": 1, "mode": "max"}, [1, 2, 1, 3], 3),
        ({"patience": 2, "baseline": 1.0}, [3, 2.9, 2.8, 2.9, 0], 4),
        ({"patience": 1, "start_from_epoch": 3}, [1, 2, 3, 4, 3, 5, 0], 6),
        ({"patience": 2}, [3, math.nan, 2, math.nan, math.nan, 0], 5),
        ({"patience": 9}, [3, 3, 3], 3),
    ],
)
def test_early_stopping(options: dict[str, Any], values: list[float], epochs: int) -> None:
    callback = EarlyStopping(**options)
    model = scripted(values, callback)
    assert len(model.history.epoch) == epochs
    stopped = epochs < len(values)
    assert callback.stopped_epoch == (epochs - 1 if stopped else -1)


def test_auto_mode_follows_the_metrics_name() -> None:
    assert len(scripted([1, 2, 3, 2], EarlyStopping("val_accuracy"), name="val_accuracy").history.epoch) == 4
    assert len(scripted([1, 2, 3, 2], EarlyStopping("val_auc_loss"), name="val_auc_loss").history.epoch) == 2


def test_the_best_weights_are_restored() -> None:
    kept: list[Any] = []
    watch = LambdaCallback(on_epoch_end=lambda epoch, logs: kept.append(state(watch.model)))
    callback = EarlyStopping(patience=2, restore_best_weights=True)
    model = scripted([3, 1, 2, 2, 2], watch, callback)
    assert callback.best_epoch == 1 and callback.best == 1
    assert all(torch.equal(value, kept[1][name]) for name, value in model.state_dict().items())
    assert not all(torch.equal(value, kept[3][name]) for name, value in model.state_dict().items())


def test_callbacks_can_be_used_again() -> None:
    stop = EarlyStopping(patience=1)
    assert len(scripted([1, 2, 3], stop).history.epoch) == 2
    assert len(scripted([9, 8, 7, 8], stop).history.epoch) == 4
    reduce = ReduceLROnPlateau(patience=1)
    scripted([1, 1, 1], reduce)
    rates: list[float] = []
    watch = LambdaCallback(on_epoch_end=lambda epoch, logs: rates.append(watch.run.learning_rate))
    scripted([9, 8, 7, 6], reduce, watch)
    assert rates == [0.1] * 4


@pytest.mark.parametrize("kind", [EarlyStopping, ReduceLROnPlateau])
def test_unknown_mode_and_metric(kind: Any) -> None:
    with pytest.raises(UnknownNameError, match=rf"{kind.__name__}.mode: unknown mode 'maximum'. Did you mean 'max'"):
        kind("loss", mode="maximum")
    message = rf"{kind.__name__}\(monitor=...\): unknown metric 'val_los'. Did you mean 'val_loss'\?"
    with pytest.raises(UnknownNameError, match=message):
        scripted([1, 2], kind("val_los"))


# -- ReduceLROnPlateau --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "values", "rates"),
    [
        ({"patience": 1}, [3, 3, 3, 2], [0.1, 0.01, 0.001, 0.001]),
        ({"patience": 2}, [3, 3, 3, 3, 3], [0.1, 0.1, 0.01, 0.01, 0.001]),
        ({"patience": 1, "cooldown": 2}, [3, 3, 3, 3, 3], [0.1, 0.01, 0.01, 0.001, 0.001]),
        ({"patience": 1, "min_lr": 0.005}, [3, 3, 3, 3], [0.1, 0.01, 0.005, 0.005]),
        ({"patience": 1, "factor": 0.5, "mode": "max"}, [1, 2, 2, 3], [0.1, 0.1, 0.05, 0.05]),
        ({"patience": 1, "min_delta": 0.5}, [3, 2.7, 1], [0.1, 0.01, 0.01]),
    ],
)
def test_plateaus(options: dict[str, Any], values: list[float], rates: list[float]) -> None:
    seen: list[float] = []
    watch = LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(watch.run.learning_rate))
    scripted(values, ReduceLROnPlateau(**options), watch)
    assert seen == pytest.approx(rates)


@pytest.mark.parametrize("factor", [0, 1, 1.5, -0.1])
def test_the_factor_is_checked(factor: float) -> None:
    with pytest.raises(ConfigError, match=r"ReduceLROnPlateau.factor: got .*, expected a number between 0 and 1"):
        ReduceLROnPlateau(factor=factor)


# -- ModelCheckpoint ----------------------------------------------------------------------------------------


def test_bundles_are_named_by_epoch_and_metric(tmp_path: Path) -> None:
    model = scripted([0.5, 0.25], ModelCheckpoint(tmp_path / "m-{epoch:02}-{val_loss:.2f}.lepton"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m-01-0.50.lepton", "m-02-0.25.lepton"]
    again = load(tmp_path / "m-02-0.25.lepton")
    assert same_state(model, again)


def test_the_best_bundle_is_kept(tmp_path: Path) -> None:
    kept: list[Any] = []
    watch = LambdaCallback(on_epoch_end=lambda epoch, logs: kept.append(state(watch.model)))
    path = tmp_path / "best.lepton"
    scripted([3, 1, 2, 2], watch, ModelCheckpoint(path, save_best_only=True))
    assert all(torch.equal(value, kept[1][name]) for name, value in load(path).state_dict().items())
    assert [each.name for each in tmp_path.iterdir()] == ["best.lepton"]


def test_the_bundle_holds_the_metrics_so_far(tmp_path: Path) -> None:
    from lepton_ai.bundle import Bundle

    model = compiled(mlp())
    model.fit(X, Y, epochs=2, verbose=0, callbacks=[ModelCheckpoint(tmp_path / "{epoch}.lepton")])
    for epoch in (1, 2):
        metrics = Bundle.open(tmp_path / f"{epoch}.lepton").manifest.metrics
        assert metrics["loss"] == model.history["loss"][epoch - 1]


def test_a_path_with_an_unknown_metric(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="ModelCheckpoint.filepath: unknown metric 'val_acc'. Did you mean"):
        scripted([1.0], ModelCheckpoint(tmp_path / "{val_acc}.lepton"))


def test_a_full_disk_keeps_the_best_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "best.lepton"
    scripted([3.0], ModelCheckpoint(path, save_best_only=True))
    before = {each.name: each.read_bytes() for each in path.iterdir()}

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StorageError, match="No space left on device. Nothing was changed there"):
            scripted([3.0], ModelCheckpoint(path, save_best_only=True))
    assert {each.name: each.read_bytes() for each in path.iterdir()} == before
    assert [each.name for each in tmp_path.iterdir()] == ["best.lepton"]


def test_a_module_without_save_is_refused(tmp_path: Path) -> None:
    objective = Objective("mse")
    objective.bind(torch.zeros(1, 1))
    job = Job(
        module=nn.Linear(4, 1),
        objective=objective,
        optimizer=get_optimizer("sgd"),
        loader=Loader(Arrays(X, X[:, :1]), 10),
        callbacks=[ModelCheckpoint(tmp_path / "m.lepton")],
    )
    with pytest.raises(UsageError, match=r"ModelCheckpoint needs a model with save\(\). Use Model.from_module"):
        fit(job)


# -- CSVLogger ----------------------------------------------------------------------------------------------


def rows(path: Path, separator: str = ",") -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file, delimiter=separator))


def test_the_history_as_csv(tmp_path: Path) -> None:
    path = tmp_path / "logs/history.csv"
    model = scripted([0.5, 0.25], CSVLogger(path, separator=";"))
    written = rows(path, ";")
    assert [row["epoch"] for row in written] == ["0", "1"]
    assert [float(row["val_loss"]) for row in written] == [0.5, 0.25]
    assert [float(row["loss"]) for row in written] == model.history["loss"]


def test_append_keeps_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    scripted([1.0], CSVLogger(path))
    scripted([2.0, 3.0], CSVLogger(path, append=True), name="other")
    assert [row["epoch"] for row in rows(path)] == ["0", "0", "1"]
    assert [row["val_loss"] for row in rows(path)] == ["1.0", "", ""]
    assert [row["other"] for row in rows(path)] == ["", "2.0", "3.0"]
    scripted([4.0], CSVLogger(path))
    assert len(rows(path)) == 1


def test_the_file_is_whole_when_the_disk_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "history.csv"
    scripted([1.0], CSVLogger(path))
    before = path.read_text()

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(StorageError, match="No space left"):
            scripted([2.0], CSVLogger(path, append=True))
    assert path.read_text() == before
    assert [each.name for each in tmp_path.iterdir()] == ["history.csv"]


def test_rows_with_gaps() -> None:
    assert history_csv([{"epoch": "0", "a": "1"}, {"epoch": "1", "b": "2"}]) == "epoch,a,b\n0,1,\n1,,2\n"


# -- targets and budgets ------------------------------------------------------------------------------------


def test_a_target_ends_the_run() -> None:
    values = [0.5, 0.9, 0.95, 0.99]
    assert scripted(values, StopAt("val_accuracy", 0.95), name="val_accuracy").history.epoch == [0, 1, 2]
    assert scripted(values[::-1], StopAt("val_loss", 0.9)).history.epoch == [0, 1, 2]
    assert scripted(values, StopAt("val_gain", 0.9, mode="max"), name="val_gain").history.epoch == [0, 1]
    with pytest.raises(UnknownNameError, match="StopAt.*unknown metric 'val_acc'"):
        scripted(values, StopAt("val_acc", 0.9))
    with pytest.raises(ConfigError, match="StopAt.value: got 'high'"):
        StopAt("loss", "high")  # type: ignore[arg-type]


def test_a_budget_ends_the_epoch_and_the_run(tmp_path: Path) -> None:
    seen: list[int] = []
    budget = TimeBudget(1e-9)
    watch = LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(batch))

    def program(*callbacks: Callback) -> Any:
        model = compiled(mlp())
        options: dict[str, Any] = {"validation_data": (X, Y), "run": tmp_path, "checkpoint_every": 1}
        model.fit(X, Y, batch_size=10, epochs=3, verbose=0, callbacks=[*callbacks], **options)
        return model

    model = program(budget, watch)
    assert seen == [0] and model.history.epoch == [0] and "val_loss" in model.history.history
    assert same_state(program(budget, watch), model) and seen == [0]  # it is complete
    with pytest.raises(ConfigError, match=r"TimeBudget.seconds: got 0, expected a number in \(0, inf\)"):
        TimeBudget(0)


def test_a_run_that_was_told_to_stop_ends_its_epoch_after_a_crash(tmp_path: Path) -> None:
    class Crash(Exception):
        pass

    def program(crash: bool) -> Any:
        def told(batch: int, logs: dict[str, float]) -> None:
            if batch == 1:
                stop.run.stop()
            if batch == 3 and crash:
                raise Crash

        stop = LambdaCallback(on_train_batch_end=told)
        model = compiled(mlp())
        model.fit(X, Y, batch_size=10, epochs=3, verbose=0, callbacks=[stop], run=tmp_path, checkpoint_every=1)
        return model

    with pytest.raises(Crash):
        program(True)
    assert program(False).history.epoch == [0]


def test_a_log_of_a_run_that_goes_on_is_whole(tmp_path: Path) -> None:
    class Crash(Exception):
        pass

    def program(*more: Callback, append: bool = False) -> bytes:
        log = tmp_path / f"log-{append}.csv"
        logger = CSVLogger(log, append=append)
        options: dict[str, Any] = {"run": tmp_path / str(append), "callbacks": [logger, *more]}
        compiled(mlp()).fit(X, Y, epochs=3, verbose=0, **options)
        return log.read_bytes()

    def crash(epoch: int, logs: Any = None) -> None:
        if epoch == 1:
            raise Crash

    whole = tmp_path / "whole.csv"
    compiled(mlp()).fit(X, Y, epochs=3, verbose=0, callbacks=[CSVLogger(whole)])
    for append in (False, True):
        with pytest.raises(Crash):
            program(LambdaCallback(on_epoch_end=crash), append=append)
        assert program(append=append) == whole.read_bytes()
