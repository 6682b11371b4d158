"""Experiment trackers: what a run was given and what it measures, in TensorBoard, MLflow or Weights & Biases."""

import logging
import time
from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec

from lepton_ai.core import ConfigError, LeptonError, StorageError, load_extra, unknown_name
from lepton_ai.training.callbacks import Callback, Logs

log = logging.getLogger("lepton_ai.training")

Parameter = bool | int | float | str
_Row = tuple[int, Logs, int]  # step, values, and when, in milliseconds
_FLUSH_SECONDS = 5.0
_HELD = 60_000  # milliseconds; W&B writes its file every 15 seconds


class Tracker(Callback):
    """The shared part: the epoch's logs and the learning rate of the next step with the epoch as step, and, every so
    many steps, the loss of the step as `step_loss`, with the steps done as step.

    A tracker that fails while training is a warning, once; training goes on without it. One that cannot be reached
    when a run begins is an error: it is found out before the work, not after.

    Raises: MissingExtraError without its package; ConfigError if `every` is not a positive number of steps.
    """

    def __init__(self, every: int | None) -> None:
        self.every = every
        if every is not None:
            if isinstance(every, bool) or not isinstance(every, int) or every < 1:
                raise ConfigError(at=f"{type(self).__name__}.every", got=every, expected="a positive int, or None")
            setattr(self, "on_train_batch_end", self._after_step)  # noqa: B010  only then does it cost anything
        self._going_on = False
        self._failed = True

    @abstractmethod
    def open(self, going_on: bool) -> None:
        """Begin a tracker's run, or go on with that of the process before."""

    @abstractmethod
    def write_epoch(self, epoch: int, step: int, logs: Logs) -> None:
        """Note what an epoch gave; `step` counts the steps of the whole run so far."""

    @abstractmethod
    def write_step(self, step: int, logs: Logs) -> None:
        """Note what a step gave."""

    @abstractmethod
    def close(self, outcome: str) -> None:
        """End: "finished", "interrupted" or "failed"."""

    def attempt(self, call: Callable[..., None], *facts: Any) -> None:
        """Call, unless it failed before; a failure is told once."""
        if self._failed:
            return
        try:
            call(*facts)
        except Exception as error:  # whatever a foreign package raises: nobody's night of training should end by it
            self._failed = True
            log.warning("training goes on without %s: %s", type(self).__name__, _told(error))

    def on_train_begin(self) -> None:
        going_on, self._going_on, self._failed = self._going_on, False, False
        if self.run.total_steps > 0:
            self.attempt(self.open, going_on)
            return
        try:
            self.open(False)
        except LeptonError:
            raise
        except Exception as error:
            name = type(self).__name__
            raise StorageError(
                f"the tracker cannot be opened: {_told(error)}", at=f"fit(callbacks=[{name}(...)])"
            ) from error

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        facts = logs | {"learning_rate": self.run.learning_rate}
        self.attempt(self.write_epoch, epoch, self.run.total_steps, facts)

    def on_train_end(self) -> None:
        done = self.run.stopping or self.run.epoch >= self.run.job.epochs
        outcome = "interrupted" if self.run.history.interrupted else "finished" if done else "failed"
        self.attempt(self.close, outcome)
        self._failed = True

    def _after_step(self, batch: int, logs: Logs) -> None:
        if self.every is not None and self.run.total_steps % self.every == 0:
            self.attempt(self.write_step, self.run.total_steps, {"step_loss": logs["loss"]})


class TensorBoard(Tracker):
    """Event files for TensorBoard: the logs, `hparams`, and histograms of all weights if asked for.

    A run that goes on writes a file of its own, which takes back what the process before wrote of epochs that are made
    again; a new run over the same folder takes back all of the old one. `step_loss` lies in the folder's `steps`.

    Args:
        folder: for `tensorboard --logdir`; one for each run.
        histograms: of every weight after every epoch.
        every: the loss of every so many steps too.

    The files are written with `tensorboardX`: a few hundred kilobytes on what is here already, where `tensorboard`
    itself, which only looking at them takes, brings a web server.
    """

    def __init__(self, folder: str | Path, histograms: bool = False, *, every: int | None = None) -> None:
        super().__init__(every)
        self.folder, self.histograms = Path(folder), histograms
        self._steps: Any = None
        self._load()

    def open(self, going_on: bool) -> None:
        self._flushed = time.monotonic()
        self._epochs = self._writer(self.folder, self.run.epoch)
        self._steps = None if self.every is None else self._writer(self.folder / "steps", self.run.total_steps + 1)
        shown = self._load().summary.hparams(hyperparameters(self.run.job), {"loss": 0.0})
        self._ending = shown[2]
        for each in shown[:2]:
            self._write(self._epochs, each, self.run.epoch)
        self._epochs.flush()

    def write_epoch(self, epoch: int, step: int, logs: Logs) -> None:
        summary = self._load().summary
        for name, value in logs.items():
            self._write(self._epochs, summary.scalar(name, value), epoch)
        if self.histograms:
            for name, weight in self.model.named_parameters():
                values = weight.detach().float().cpu().numpy()
                self._write(self._epochs, summary.histogram(name, values, bins=64), epoch)
        self._epochs.flush()

    def write_step(self, step: int, logs: Logs) -> None:
        for name, value in logs.items():
            self._write(self._steps, self._load().summary.scalar(name, value), step)
        if time.monotonic() - self._flushed > _FLUSH_SECONDS:
            self._steps.flush()
            self._flushed = time.monotonic()

    def get_state(self) -> dict[str, Any]:
        """Nothing; but what a checkpoint covers must be in the files, as no later process tells it again."""
        if self._steps is not None:
            self.attempt(self._steps.flush)
        return {}

    def close(self, outcome: str) -> None:
        if outcome == "finished":
            self._write(self._epochs, self._ending, self.run.epoch)
        for each in (self._epochs, self._steps):
            if each is not None:
                each.close()

    def _writer(self, folder: Path, first: int) -> Any:
        """A file that takes back what others in its folder hold from step `first` on."""
        folder.mkdir(parents=True, exist_ok=True)
        # Files are read in the order of their names, in which by itself only the second counts.
        suffix = f".{time.time_ns()}"
        # Its own writer has a thread, which ends in silence when the disk is full, and then blocks.
        writer = self._load().event_file_writer.EventsWriter(str(folder / "events"), suffix)
        events = self._load().proto.event_pb2
        start = events.SessionLog(status=events.SessionLog.START)
        writer.write_event(events.Event(wall_time=time.time(), step=first, session_log=start))
        return writer

    def _write(self, writer: Any, summary: Any, step: int) -> None:
        events = self._load().proto.event_pb2
        writer.write_event(events.Event(wall_time=time.time(), step=step, summary=summary))

    @staticmethod
    def _load() -> Any:
        return load_extra("tensorboardX", extra="trackers", purpose="TensorBoard")


class MLflow(Tracker):
    """A run of MLflow: the hyperparameters as its parameters, the logs as its metrics.

    A run that goes on continues the same MLflow run, `run_id`, and sends no epoch or step that is there already. What
    is sent goes through a thread: a server that is slow, or that MLflow tries to reach for minutes, holds up only the
    end of the training.

    Args:
        experiment: made if there is none of this name.
        uri: of the tracking server ("http://..."), or of any store that the installed MLflow has; None: MLflow's own
            setting.
        name: of the run; MLflow finds one if not given.
        every: the loss of every so many steps too.
    """

    def __init__(
        self, experiment: str = "lepton", uri: str | None = None, *, name: str | None = None, every: int | None = None
    ) -> None:
        super().__init__(every)
        self.experiment, self.uri, self.name = experiment, uri, name
        self.run_id: str | None = None
        self._pending: list[_Row] = []  # not sent yet, oldest first
        self._load()

    def open(self, going_on: bool) -> None:
        self._thread = ThreadPoolExecutor(1, "lepton-mlflow")
        self._client = self._load().MlflowClient(tracking_uri=self.uri)
        self._last: dict[str, int] | None = {} if going_on else None
        if going_on:
            self._client.update_run(self.run_id, status="RUNNING")
            for _ in range(len(self._pending)):  # counted first: what is sent leaves the list meanwhile
                self._thread.submit(self.attempt, self._send)
            return
        self._pending = []
        found = self._client.get_experiment_by_name(self.experiment)
        number = self._client.create_experiment(self.experiment) if found is None else found.experiment_id
        self.run_id = self._client.create_run(number, run_name=self.name).info.run_id
        entities = self._load().entities
        values = [entities.Param(key, str(value)) for key, value in hyperparameters(self.run.job).items()]
        self._client.log_batch(self.run_id, params=values)

    def write_epoch(self, epoch: int, step: int, logs: Logs) -> None:
        self._put(epoch, logs)

    def write_step(self, step: int, logs: Logs) -> None:
        self._put(step, logs)

    def on_train_end(self) -> None:
        self._thread.shutdown()
        super().on_train_end()

    def close(self, outcome: str) -> None:
        status = {"finished": "FINISHED", "interrupted": "KILLED", "failed": "FAILED"}[outcome]
        self._client.set_terminated(self.run_id, status=status)

    def get_state(self) -> dict[str, Any]:
        return {"run_id": self.run_id, "pending": list(self._pending)}

    def set_state(self, state: dict[str, Any]) -> None:
        self.run_id = state.get("run_id")
        self._pending = [(step, logs, now) for step, logs, now in state.get("pending", [])]
        self._going_on = self.run_id is not None

    def _put(self, step: int, logs: Logs) -> None:
        self._pending.append((step, logs, int(time.time() * 1000)))
        self._thread.submit(self.attempt, self._send)

    def _send(self) -> None:
        """Send the oldest that is pending, unless MLflow has it."""
        step, logs, now = self._pending[0]
        metric = self._load().entities.Metric
        new = {name: value for name, value in logs.items() if step > self._sent(name)}
        if new:
            metrics = [metric(name, value, now, step) for name, value in new.items()]
            self._client.log_batch(self.run_id, metrics=metrics)
        del self._pending[0]

    def _sent(self, name: str) -> int:
        """The last step at which MLflow has this metric; of a run that begins, none."""
        if self._last is None:
            return -1
        if name not in self._last:
            there = self._client.get_metric_history(self.run_id, name)
            self._last[name] = max((each.step for each in there), default=-1)
        return self._last[name]

    @staticmethod
    def _load() -> Any:
        return load_extra("mlflow", extra="trackers", purpose="MLflow")


class WandB(Tracker):
    """A run of Weights & Biases: the hyperparameters as its config, the logs over the epoch.

    A run that goes on continues the same W&B run, `run_id`. Offline each process leaves a folder of its own, all with
    this id, for `wandb sync`. W&B writes now and then only, and a process that is killed loses the rest: the next one
    tells the last minute before the checkpoint again. Rows that are told twice have the same step and values.

    Args:
        project: made if there is none of this name.
        mode: "online" or "offline".
        folder: where `wandb/` is made.
        name: of the run; W&B finds one if not given.
        every: the loss of every so many steps too.

    Raises: UnknownNameError for another mode.
    """

    def __init__(
        self,
        project: str = "lepton",
        mode: str = "online",
        *,
        folder: str | Path = ".",
        name: str | None = None,
        every: int | None = None,
    ) -> None:
        super().__init__(every)
        if mode not in ("online", "offline"):
            raise unknown_name("mode", mode, ["online", "offline"], at="WandB.mode")
        self.project, self.mode, self.folder, self.name = project, mode, Path(folder), name
        self.run_id: str | None = None
        self._recent: deque[_Row] = deque()  # which W&B may not have written yet
        self._load()

    def open(self, going_on: bool) -> None:
        wandb = self._load()
        self.folder.mkdir(parents=True, exist_ok=True)
        self._run = wandb.init(
            project=self.project,
            name=self.name,
            id=self.run_id if going_on else None,
            resume="allow" if going_on else None,
            mode=self.mode,
            dir=str(self.folder),
            config=hyperparameters(self.run.job),
            reinit="create_new",
            settings=wandb.Settings(console="off"),  # the bar and W&B would both hold standard output
        )
        self.run_id = self._run.id
        self._there = self._run.step  # what came before was sent already
        recent, self._recent = self._recent if going_on else (), deque()
        for name in ("epoch", "step"):
            self._run.define_metric(name)
        self._run.define_metric("step_loss", step_metric="step", step_sync=False)
        self._run.define_metric("*", step_metric="epoch", step_sync=False)
        for row in recent:
            self._tell(*row)

    def write_epoch(self, epoch: int, step: int, logs: Logs) -> None:
        self._tell(step, {"epoch": epoch, "step": step, **logs}, int(time.time() * 1000))

    def write_step(self, step: int, logs: Logs) -> None:
        self._tell(step, {"step": step, **logs}, int(time.time() * 1000))

    def _tell(self, step: int, row: Logs, now: int) -> None:
        while self._recent and self._recent[0][2] < now - _HELD:
            self._recent.popleft()
        self._recent.append((step, row, now))
        if step >= self._there:
            # The loss of a step waits: if an epoch ends with this step, the row is one.
            self._run.log(row, step=step, commit="epoch" in row)

    def close(self, outcome: str) -> None:
        self._run.finish(exit_code=0 if outcome == "finished" else 1)

    def get_state(self) -> dict[str, Any]:
        return {"run_id": self.run_id, "recent": list(self._recent)}

    def set_state(self, state: dict[str, Any]) -> None:
        self.run_id = state.get("run_id")
        self._recent = deque((step, row, now) for step, row, now in state.get("recent", []))
        self._going_on = self.run_id is not None

    @staticmethod
    def _load() -> Any:
        return load_extra("wandb", extra="trackers", purpose="WandB")


def hyperparameters(job: Any) -> dict[str, Parameter]:
    """What a `Job` was given, in one level: "optimizer.learning_rate" is the optimiser's.

    Model, number of weights, losses, optimiser, batch size, epochs, seed, workers, and the plan.
    """
    weights = sum(each.numel() for each in job.module.parameters())
    losses = [None if head.loss is None else head.loss.name for head in job.objective.heads]
    try:
        optimizer = job.optimizer.config()
    except LeptonError:  # a schedule of the user's own
        optimizer = {"class": type(job.optimizer).__name__, "config": {}}
    given: dict[str, object] = {
        "model": type(job.module).__name__,
        "weights": weights,
        "loss": losses[0] if len(losses) == 1 else losses,
        "optimizer": {"": optimizer["class"], **optimizer["config"]},
        "batch_size": job.loader.batch_size,
        "epochs": job.epochs,
        "seed": job.seed,
        "workers": job.world.size,
        "plan": msgspec.to_builtins(job.plan),
    }
    return dict(_flat(given, ""))


def _flat(value: object, at: str) -> list[tuple[str, Parameter]]:
    """Mappings as dotted names, sequences as text; None as the word, as trackers have no other."""
    if isinstance(value, Mapping):
        return [pair for key, each in value.items() for pair in _flat(each, f"{at}.{key}".strip(".") if key else at)]
    return [(at, value if isinstance(value, bool | int | float | str) else str(value))]


def _told(error: Exception) -> str:
    first = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {first}" if first else type(error).__name__
