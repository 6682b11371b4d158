"""Trackers get what a run was given and what it measured, once, and never end it."""

import logging
import re
import shutil
import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lepton_ai.core import ConfigError, MissingExtraError, StorageError
from lepton_ai.models import distributed_train
from lepton_ai.training import Adam, Callback, CosineDecay, MLflow, TensorBoard, WandB, get_optimizer
from lepton_ai.training.trackers import Tracker, hyperparameters
from tests.contracts.fitting import compiled, mlp, same_state, table

X, Y = table()
STEPS = 5  # of an epoch


@pytest.fixture(autouse=True, scope="module")
def no_service_is_left() -> Iterator[None]:
    """W&B's process outlives its runs; other tests look for processes that were left behind."""
    yield
    wandb = sys.modules.get("wandb")
    if wandb is not None:
        wandb.teardown()


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """No telemetry; and MLflow's store of files, the only one that needs no server or database."""
    for name, value in {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_ALLOW_FILE_STORE": "true",
        "WANDB_ERROR_REPORTING": "false",
        "WANDB_SILENT": "true",
    }.items():
        monkeypatch.setenv(name, value)


class Cut(Callback):
    """Ends the process after an epoch was told, before its checkpoint: that epoch is made again."""

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        if epoch == 2:
            raise ConnectionAbortedError


def train(*callbacks: Callback, epochs: int = 4, **options: Any) -> Any:
    model = compiled(mlp())
    given = {"batch_size": 10, "epochs": epochs, "verbose": 0, "validation_data": (X, Y)} | options
    model.fit(X, Y, callbacks=list(callbacks), **given)
    return model


def train_cut(make: Any, folder: Path) -> tuple[Any, Any]:
    """Train, cut off in epoch 3, and go on in what might be another process; the model and the last tracker."""
    with pytest.raises(ConnectionAbortedError):
        train(make(), Cut(), run=folder / "run")
    tracker = make()
    return train(tracker, run=folder / "run"), tracker


# -- TensorBoard -----------------------------------------------------------------------------------------


def events(folder: Path) -> Iterator[Any]:
    """All events in a folder, as written."""
    kind = pytest.importorskip("tensorboardX.proto.event_pb2").Event
    for path in sorted(folder.glob("events.*")):
        content, at = path.read_bytes(), 0
        while at < len(content):
            (length,) = struct.unpack_from("<Q", content, at)
            yield kind.FromString(content[at + 12 : at + 12 + length])
            at += length + 16


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """The points of each curve as TensorBoard shows them: a start takes back the steps from its own on."""
    found: dict[str, list[tuple[int, float]]] = {}
    for event in events(folder):
        if event.HasField("session_log"):
            found = {name: [each for each in points if each[0] < event.step] for name, points in found.items()}
        for value in event.summary.value:
            if value.HasField("simple_value"):
                found.setdefault(value.tag, []).append((event.step, value.simple_value))
    return found


def test_tensorboard_shows_the_history(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX")
    model = train(TensorBoard(tmp_path, histograms=True, every=2))
    shown = scalars(tmp_path)
    assert shown.keys() == {"loss", "accuracy", "val_loss", "val_accuracy", "learning_rate"}
    for name, column in model.history.history.items():
        assert dict(shown[name]) == pytest.approx(dict(enumerate(column)))
    assert [step for step, _ in scalars(tmp_path / "steps")["step_loss"]] == list(range(2, 4 * STEPS + 1, 2))
    every = [(event.step, value) for event in events(tmp_path) for value in event.summary.value]
    histograms = [(step, value.tag) for step, value in every if value.HasField("histo")]
    assert histograms == [(epoch, name) for epoch in range(4) for name, _ in model.named_parameters()]
    assert {value.tag for _, value in every if "hparams" in value.tag} == {
        "_hparams_/experiment", "_hparams_/session_start_info", "_hparams_/session_end_info"
    }  # fmt: skip


def test_tensorboard_takes_back_what_is_made_again(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX")
    model, _ = train_cut(lambda: TensorBoard(tmp_path / "logs", every=1), tmp_path)
    shown = scalars(tmp_path / "logs")["loss"]
    assert len(shown) == 4 and dict(shown) == pytest.approx(dict(enumerate(model.history["loss"])))
    assert [step for step, _ in scalars(tmp_path / "logs" / "steps")["step_loss"]] == list(range(1, 4 * STEPS + 1))
    train(TensorBoard(tmp_path / "logs"), epochs=1)
    assert [step for step, _ in scalars(tmp_path / "logs")["loss"]] == [0]


def test_one_of_several_workers_tells_tensorboard(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX")
    model = compiled(mlp())
    distributed_train(model, X, Y, num_workers=2, epochs=2, verbose=0, callbacks=[TensorBoard(tmp_path)])
    assert [value for _, value in scalars(tmp_path)["loss"]] == pytest.approx(model.history["loss"])


# -- MLflow ----------------------------------------------------------------------------------------------


def metrics(tracker: MLflow, name: str) -> list[tuple[int, float]]:
    client = pytest.importorskip("mlflow").MlflowClient(tracking_uri=tracker.uri)
    return [(each.step, each.value) for each in client.get_metric_history(tracker.run_id, name)]


def test_mlflow_has_each_epoch_once(tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow")
    model, tracker = train_cut(lambda: MLflow("trees", str(tmp_path / "store"), name="oak", every=1), tmp_path)
    for name, column in model.history.history.items():
        assert metrics(tracker, name) == list(enumerate(column))
    assert [step for step, _ in metrics(tracker, "step_loss")] == list(range(1, 4 * STEPS + 1))
    client = mlflow.MlflowClient(tracking_uri=tracker.uri)
    (run,) = client.search_runs([client.get_experiment_by_name("trees").experiment_id])
    assert (run.info.run_name, run.info.status) == ("oak", "FINISHED")
    assert run.data.params["batch_size"] == "10" and run.data.params["optimizer.learning_rate"] == "0.001"


def test_each_fit_is_a_run_of_mlflow(tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow")
    tracker = MLflow(uri=str(tmp_path))
    train(tracker, epochs=1)
    first = tracker.run_id
    with pytest.raises(ConnectionAbortedError):
        train(tracker, Cut())
    client = mlflow.MlflowClient(tracking_uri=tracker.uri)
    assert client.get_run(first).info.status == "FINISHED"
    assert client.get_run(tracker.run_id).info.status == "FAILED" and tracker.run_id != first


def test_a_server_that_goes_down_ends_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("mlflow")
    tracker = MLflow(uri=str(tmp_path), every=1)

    class Pull(Callback):
        def on_train_begin(self) -> None:
            self.there = tracker._client.log_batch
            tracker._client.log_batch = self.first_epoch_only

        def first_epoch_only(self, run_id: str, metrics: Any) -> None:
            if metrics[0].key == "loss" and metrics[0].step > 0:
                raise ConnectionError("no route\nto host")
            self.there(run_id, metrics=metrics)

    model = train(tracker, Pull())
    assert same_state(model, train())
    assert [record.message for record in caplog.records if record.name == "lepton_ai.training"] == [
        "training goes on without MLflow: ConnectionError: no route"
    ]
    assert [step for step, _ in metrics(tracker, "loss")] == [0]


@pytest.mark.parametrize("uri", ["{}/file/store", "http://127.0.0.1:9"])
def test_a_store_that_is_not_there_is_found_out_first(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlflow")
    (tmp_path / "file").touch()
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    told = re.escape("fit(callbacks=[MLflow(...)]): the tracker cannot be opened: ")
    with pytest.raises(StorageError, match=told):
        train(MLflow(uri=uri.format(tmp_path)))


def test_what_mlflow_had_not_got_when_the_process_was_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow")
    slow = MLflow(uri=str(tmp_path / "store"))
    with monkeypatch.context() as patch:
        patch.setattr(slow, "_send", lambda: None)
        train(slow, epochs=2, run=tmp_path / "run")
    assert metrics(slow, "loss") == []
    tracker = MLflow(uri=slow.uri)
    model = train(tracker, epochs=3, run=tmp_path / "run")
    assert tracker.run_id == slow.run_id and metrics(tracker, "loss") == list(enumerate(model.history["loss"]))


# -- Weights & Biases --------------------------------------------------------------------------------------


def rows(folder: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """The id and the rows of every offline run, oldest first: records in blocks of 32 KB, each with 7 bytes ahead."""
    kind = pytest.importorskip("wandb.proto.wandb_internal_pb2").Record
    for path in sorted(folder.glob("wandb/offline-run-*/*.wandb")):
        content, at, whole = path.read_bytes(), 7, b""
        while at < len(content):
            if 32768 - at % 32768 < 7:
                at += 32768 - at % 32768
            length, part = struct.unpack_from("<HB", content, at + 4)
            whole, at = whole + content[at + 7 : at + 7 + length], at + 7 + length
            if part in (1, 4):  # all of a record, or its end
                record, whole = kind.FromString(whole), b""
                items = {item.key or item.nested_key[0]: item.value_json for item in record.history.item}
                if items:
                    yield path.stem, items


def test_wandb_has_the_same_run_after_a_cut(tmp_path: Path) -> None:
    pytest.importorskip("wandb")

    def make() -> WandB:
        time.sleep(1.05)  # W&B names the folders of offline runs by the second
        return WandB("trees", "offline", folder=tmp_path, every=2)

    model, tracker = train_cut(make, tmp_path)
    found = list(rows(tmp_path))
    assert {name for name, _ in found} == {f"run-{tracker.run_id}"}
    assert len(list(tmp_path.glob("wandb/offline-run-*"))) == 2
    epochs = {int(row["_step"]): row for _, row in found if "epoch" in row}
    assert list(epochs) == [STEPS * (epoch + 1) for epoch in range(4)]
    for name, column in model.history.history.items():
        assert [float(row[name]) for row in epochs.values()] == column
    made = [(row["_step"], row["step_loss"]) for _, row in found if "step_loss" in row]
    assert [int(step) for step, _ in dict.fromkeys(made)] == list(range(2, 4 * STEPS + 1, 2))


def test_what_wandb_had_not_written_when_the_process_was_killed(tmp_path: Path) -> None:
    pytest.importorskip("wandb")
    train(WandB(mode="offline", folder=tmp_path), epochs=2, run=tmp_path)
    shutil.rmtree(tmp_path / "wandb")
    model = train(WandB(mode="offline", folder=tmp_path), epochs=3, run=tmp_path)
    assert [(row["epoch"], float(row["loss"])) for _, row in rows(tmp_path)] == [
        (str(epoch), loss) for epoch, loss in enumerate(model.history["loss"])
    ]


# -- all ---------------------------------------------------------------------------------------------------


class Memory(Tracker):
    """A tracker without a package; `state` is its run's."""

    def __init__(self, fails: str = "", every: int | None = None) -> None:
        super().__init__(every)
        self.fails, self.told = fails, []  # type: ignore[var-annotated]

    def _tell(self, what: str, *facts: Any) -> None:
        self.told.append((what, *facts))
        if what == self.fails:
            raise ValueError

    def open(self, going_on: bool) -> None:
        self._tell("open", going_on)

    def write_epoch(self, epoch: int, step: int, logs: dict[str, float]) -> None:
        self._tell("epoch", epoch, step)

    def write_step(self, step: int, logs: dict[str, float]) -> None:
        self._tell("step", step)

    def close(self, outcome: str) -> None:
        self._tell("close", outcome)


def test_the_order_of_things() -> None:
    memory = Memory(every=4)
    train(memory, epochs=2)
    assert memory.told == [
        ("open", False), ("step", 4), ("epoch", 0, 5), ("step", 8), ("epoch", 1, 10), ("close", "finished")
    ]  # fmt: skip


@pytest.mark.parametrize("fails", ["epoch", "step", "close"])
def test_a_failure_is_told_once(fails: str, caplog: pytest.LogCaptureFixture) -> None:
    memory = Memory(fails, every=1)
    with caplog.at_level(logging.WARNING):
        train(memory, epochs=2)
    assert [record.message for record in caplog.records] == ["training goes on without Memory: ValueError"]
    assert memory.told[-1][0] == fails and sum(told[0] == fails for told in memory.told) == 1


def test_a_failure_at_the_start_ends_a_new_run_only(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    train(Memory(), epochs=1, run=tmp_path)
    assert len(train(Memory("open"), epochs=2, run=tmp_path).history.epoch) == 2
    assert "training goes on without Memory" in caplog.text
    with pytest.raises(StorageError, match=r"fit\(callbacks=\[Memory\(...\)\]\): the tracker cannot be opened: "):
        train(Memory("open"))


def test_an_interrupted_run_is_told_as_such(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Stop(Callback):
        def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
            raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    memory = Memory()
    train(memory, Stop())
    assert memory.told[-1] == ("close", "interrupted")


def test_steps_cost_nothing_unless_asked_for() -> None:
    assert "on_train_batch_end" not in vars(Memory())
    assert "on_train_batch_end" in vars(Memory(every=3))


def test_hyperparameters_are_flat() -> None:
    model = compiled(mlp(), Adam(CosineDecay(0.1, 20), clipnorm=1.0))
    job = model.job(model.source(X, Y), batch_size=10, epochs=3, seed=5)
    found = hyperparameters(job)
    shown = {
        "model": "Sequential", "loss": "sparse_categorical_crossentropy", "optimizer": "Adam", "batch_size": 10,
        "epochs": 3, "seed": 5, "workers": 1, "weights": 67, "optimizer.clipnorm": 1.0,
        "optimizer.learning_rate.class": "CosineDecay", "plan.precision": "float32", "plan.device": "auto",
    }  # fmt: skip
    assert {name: found[name] for name in shown} == shown
    assert all(isinstance(value, bool | int | float | str) for value in found.values())
    job.optimizer = get_optimizer("sgd")
    assert hyperparameters(job)["optimizer"] == "SGD"


@pytest.mark.parametrize("every", [0, -1, True, 2.0, "5"])
def test_every_is_a_number_of_steps(every: Any) -> None:
    with pytest.raises(ConfigError, match=r"Memory\.every: .*expected a positive int, or None"):
        Memory(every=every)


def test_another_mode_of_wandb_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"WandB\.mode: unknown mode 'offlin'. Did you mean 'offline'\?"):
        WandB(mode="offlin")


@pytest.mark.parametrize("make", [lambda: TensorBoard("x"), MLflow, WandB], ids=["TensorBoard", "MLflow", "WandB"])
def test_a_missing_package_is_named(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("tensorboardX", "mlflow", "wandb"):
        monkeypatch.setitem(__import__("sys").modules, package, None)
    with pytest.raises(MissingExtraError, match=r"pip install 'lepton-ai\[trackers\]'"):
        make()
