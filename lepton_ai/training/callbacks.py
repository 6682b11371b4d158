"""Callbacks: what happens around epochs and batches."""

import csv
import io
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor, nn

from lepton_ai.core import ConfigError, UsageError, unknown_name, write_atomic
from lepton_ai.training.component import number
from lepton_ai.training.history import History
from lepton_ai.training.schedule import Schedule

Logs = dict[str, float]


class Running(Protocol):
    """What a callback may see of the run it is in, and do to it. `epoch` and `step` come next."""

    job: Any
    history: History
    epoch: int
    step: int
    total_steps: int
    stopping: bool
    steps_per_epoch: int | None
    rows: int
    loss_sum: float
    epoch_started: float
    waited: float
    ordered: float
    schedule: Schedule
    learning_rate_scale: float

    @property
    def learning_rate(self) -> float:
        """The rate of the next step."""

    @property
    def seconds(self) -> float:
        """How long this run has trained, in earlier processes too."""

    def stop(self, *, now: bool = False) -> None:
        """End training after this epoch; `now` ends the epoch after the step under way (not with several workers)."""


class Callback:
    """Override what you need. `self.model` is the module, `self.run` the run: its `stop()` ends training
    after this epoch, its `learning_rate_scale` multiplies the rate, its `history` is what has been so far.

    With several workers, callbacks live on the leader alone. `on_train_batch_end` costs a read of the loss
    at every step, and only where it is overridden.
    """

    model: nn.Module
    run: Running

    def on_train_begin(self) -> None: ...

    def on_train_end(self) -> None:
        """Also after an interrupt or an error."""

    def on_epoch_begin(self, epoch: int) -> None: ...

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """`logs` holds the epoch's metrics and, with validation, their `val_` twins."""

    def on_train_batch_end(self, batch: int, logs: Logs) -> None: ...

    def get_state(self) -> dict[str, Any]:
        """What the next process needs to go on: numbers, strings and tensors by name."""
        return {}

    def set_state(self, state: dict[str, Any]) -> None:
        """Take back what `get_state` gave."""


class LambdaCallback(Callback):
    """Functions as callbacks.

    Example:
        >>> shout = LambdaCallback(on_epoch_end=lambda epoch, logs: print(epoch, logs["loss"]))
        >>> shout.on_epoch_end(0, {"loss": 0.5})
        0 0.5
    """

    def __init__(self, **functions: Callable[..., object]) -> None:
        hooks = [name for name in vars(Callback) if name.startswith("on_")]
        for name, function in functions.items():
            if name not in hooks:
                raise unknown_name("hook", name, hooks, at="LambdaCallback")
            setattr(self, name, function)


class Monitor(Callback):
    """The shared part of callbacks that follow one metric: is this epoch better than the best?"""

    def __init__(self, monitor: str, mode: str, min_delta: float = 0.0) -> None:
        if mode not in ("auto", "min", "max"):
            raise unknown_name("mode", mode, ["auto", "min", "max"], at=f"{type(self).__name__}.mode")
        self.monitor, self.mode, self.min_delta = monitor, mode, abs(min_delta)
        self.best = math.nan

    def read(self, logs: Logs) -> float:
        """The monitored value.

        Raises: UnknownNameError if the run does not measure it.
        """
        if self.monitor not in logs:
            raise unknown_name("metric", self.monitor, list(logs), at=f"{type(self).__name__}(monitor=...)")
        return logs[self.monitor]

    def improves(self, value: float) -> bool:
        """Whether `value` beats the best by more than `min_delta`; remembers it if so."""
        if math.isnan(value) or not self.better(value, self.best):
            return False
        self.best = value
        return True

    def better(self, value: float, other: float) -> bool:
        """Whether `value` beats `other` by more than `min_delta`; anything beats NaN."""
        return math.isnan(other) or (value - other if self.grows else other - value) > self.min_delta

    @property
    def grows(self) -> bool:
        """Whether more is better."""
        growing = ("acc", "auc", "precision", "recall", "f1", "r2")
        named = any(word in self.monitor for word in growing) and not self.monitor.endswith("loss")
        return self.mode == "max" or (self.mode == "auto" and named)


class EarlyStopping(Monitor):
    """Stop when `monitor` has not improved by more than `min_delta` for `patience` epochs.

    Args:
        mode: "min", "max", or "auto": by the metric's name.
        baseline: only epochs that beat this value too start the count anew.
        restore_best_weights: end with the weights of the best epoch.
        start_from_epoch: warm-up epochs that do not count.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0.0,
        patience: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        self.patience, self.baseline = patience, baseline
        self.restore_best_weights, self.start_from_epoch = restore_best_weights, start_from_epoch
        self._begin()

    def _begin(self) -> None:
        self.wait, self.best_epoch, self.stopped_epoch = 0, -1, -1
        self.best = math.nan
        self.best_weights: dict[str, Tensor] | None = None

    def on_train_begin(self) -> None:
        if self.run.epoch == self.run.job.initial_epoch:
            self._begin()

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        value = self.read(logs)
        if epoch < self.start_from_epoch:
            return
        self.wait += 1
        if self.improves(value):
            self.best_epoch = epoch
            if self.restore_best_weights:
                self.best_weights = {name: value.clone() for name, value in self.model.state_dict().items()}
            if self.baseline is None or self.better(value, self.baseline):
                self.wait = 0
        elif self.wait >= max(1, self.patience):
            self.stopped_epoch = epoch
            self.run.stop()

    def on_train_end(self) -> None:
        if self.best_weights is not None:
            self.model.load_state_dict(self.best_weights)

    def get_state(self) -> dict[str, Any]:
        numbers = {name: getattr(self, name) for name in ("wait", "best", "best_epoch", "stopped_epoch")}
        return numbers | {f"weights/{name}": value for name, value in (self.best_weights or {}).items()}

    def set_state(self, state: dict[str, Any]) -> None:
        weights = {name.removeprefix("weights/"): value for name, value in state.items() if name.startswith("weights/")}
        self.best_weights = weights or None
        for name in ("wait", "best", "best_epoch", "stopped_epoch"):
            setattr(self, name, state[name])


class ReduceLROnPlateau(Monitor):
    """Multiply the learning rate by `factor` when `monitor` has not improved for `patience` epochs.

    Args:
        cooldown: epochs after a reduction in which nothing is counted.
        min_lr: the rate does not go below it.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        if not 0 < factor < 1:
            raise ConfigError(at="ReduceLROnPlateau.factor", got=factor, expected="a number between 0 and 1")
        self.factor, self.patience, self.cooldown, self.min_lr = factor, patience, cooldown, min_lr
        self.wait = self.cooling = 0

    def on_train_begin(self) -> None:
        if self.run.epoch == self.run.job.initial_epoch:
            self.wait = self.cooling = 0
            self.best = math.nan

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        value = self.read(logs)
        if self.cooling > 0:
            self.cooling, self.wait = self.cooling - 1, 0
        if self.improves(value):
            self.wait = 0
        elif self.cooling == 0:
            self.wait += 1
            if self.wait >= self.patience:
                rate = self.run.learning_rate
                self.run.learning_rate_scale *= max(self.factor, min(1.0, self.min_lr / rate) if rate else 1.0)
                self.cooling, self.wait = self.cooldown, 0

    def get_state(self) -> dict[str, Any]:
        return {"wait": self.wait, "cooling": self.cooling, "best": self.best}

    def set_state(self, state: dict[str, Any]) -> None:
        self.wait, self.cooling, self.best = state["wait"], state["cooling"], state["best"]


class StopAt(Monitor):
    """Stop after the epoch in which `monitor` reaches `value`.

    Args:
        mode: "max" if more is better, "min" if less is, or "auto": by the metric's name.

    Example:
        >>> StopAt("val_accuracy", 0.95).reached(0.96)
        True
    """

    def __init__(self, monitor: str, value: float, mode: str = "auto") -> None:
        super().__init__(monitor, mode)
        self.value = number("StopAt.value", value, "(-inf, inf)")

    def reached(self, value: float) -> bool:
        """Whether `value` is as good as the target."""
        return value >= self.value if self.grows else value <= self.value

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        if self.reached(self.read(logs)):
            self.run.stop()


class TimeBudget(Callback):
    """Stop after so many seconds of training, those of earlier processes of the same run included.

    The epoch under way ends with its step, is validated and written to the history, and is the last. With several
    workers it is trained to its end.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = number("TimeBudget.seconds", seconds, "(0, inf)")

    def on_train_batch_end(self, batch: int, logs: Logs) -> None:
        if self.run.seconds >= self.seconds:
            self.run.stop(now=True)

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        if self.run.seconds >= self.seconds:
            self.run.stop()


class ModelCheckpoint(Monitor):
    """Save the model as a bundle after an epoch; `{epoch}` and `{val_loss:.3f}` in the path are filled in.

    Args:
        save_best_only: only when `monitor` improved, over the same path unless it names the epoch.
    """

    def __init__(
        self, filepath: str | Path, monitor: str = "val_loss", save_best_only: bool = False, mode: str = "auto"
    ) -> None:
        super().__init__(monitor, mode)
        self.filepath, self.save_best_only = str(filepath), save_best_only

    def on_train_begin(self) -> None:
        if not hasattr(self.model, "save"):
            raise UsageError("ModelCheckpoint needs a model with save()", fix="Use Model.from_module(module, ...).")

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        if not self.save_best_only or self.improves(self.read(logs)):
            try:
                path = self.filepath.format(epoch=epoch + 1, **logs)
            except KeyError as error:
                raise unknown_name("metric", error.args[0], ["epoch", *logs], at="ModelCheckpoint.filepath") from error
            self.model.history = self.run.history  # type: ignore[assignment]
            self.model.save(path, overwrite=True)  # type: ignore[operator]

    def get_state(self) -> dict[str, Any]:
        return {"best": self.best}

    def set_state(self, state: dict[str, Any]) -> None:
        self.best = state["best"]


class CSVLogger(Callback):
    """Write the history as CSV after every epoch; the file is always whole.

    Args:
        append: keep the rows that the file holds.
    """

    def __init__(self, filename: str | Path, separator: str = ",", append: bool = False) -> None:
        self.path, self.separator, self.append = Path(filename), separator, append
        self._rows: list[dict[str, str]] = []

    def on_train_begin(self) -> None:
        self._rows = []
        if self.append and self.path.exists():
            with self.path.open(newline="") as file:
                self._rows = list(csv.DictReader(file, delimiter=self.separator))
        past = self.run.history
        if past.epoch:  # of a run that goes on: the file may lack epochs, or hold one that is made again
            again = {str(epoch) for epoch in (*past.epoch, self.run.epoch)}
            self._rows = [row for row in self._rows if row["epoch"] not in again]
            for place, epoch in enumerate(past.epoch):
                values = {name: repr(column[place]) for name, column in past.history.items()}
                self._rows.append({"epoch": str(epoch), **values})

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        self._rows.append({"epoch": str(epoch), **{name: repr(value) for name, value in logs.items()}})
        write_atomic(self.path, history_csv(self._rows, self.separator).encode())


def history_csv(rows: list[dict[str, str]], separator: str = ",") -> str:
    """Rows of a history as CSV text; a column that a row does not have stays empty."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    file = io.StringIO()
    writer = csv.DictWriter(file, names, delimiter=separator, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def overrides(callback: Callback, hook: str) -> bool:
    """Whether a callback does something at `hook`."""
    return hook in vars(callback) or getattr(type(callback), hook) is not getattr(Callback, hook)
