"""Progress for people: a bar on a terminal, a line per epoch elsewhere."""

import sys
import time

from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from lepton_ai.core import ConfigError
from lepton_ai.training.callbacks import Callback, Logs, Running


def epoch_line(run: Running, epoch: int, started: float, logs: Logs) -> str:
    """An epoch that ended, in a line."""
    metrics = "  ".join(f"{name} {value:.4g}" for name, value in logs.items())
    return f"epoch {epoch + 1}/{run.job.epochs}  {time.perf_counter() - started:.1f}s  {metrics}"


class ProgressLines(Callback):
    """One line per epoch on standard output."""

    def on_epoch_begin(self, epoch: int) -> None:
        self._started = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        sys.stdout.write(epoch_line(self.run, epoch, self._started, logs) + "\n")
        sys.stdout.flush()


class ProgressBar(Callback):
    """A bar for the epoch under way with the mean loss so far, and a line for each that ended."""

    def on_train_begin(self) -> None:
        self._console = Console()
        self._bar = Progress(
            TextColumn("epoch {task.fields[epoch]}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[speed]}"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[loss]}"),
            console=self._console,
        )
        self._live = Live(self._bar, console=self._console, refresh_per_second=8, transient=True)
        self._live.start()
        self._task = self._bar.add_task("", epoch="", speed="", loss="", total=self.run.steps_per_epoch)

    def on_train_end(self) -> None:
        self._live.stop()

    def on_epoch_begin(self, epoch: int) -> None:
        self._started = self._shown = time.perf_counter()
        self._first = self.run.step
        self._bar.reset(
            self._task, epoch=f"{epoch + 1}/{self.run.job.epochs}", completed=self._first, loss="", speed=""
        )

    def on_train_batch_end(self, batch: int, logs: Logs) -> None:
        now = time.perf_counter()
        if now - self._shown < 0.1:
            return
        self._shown = now
        per_step = (now - self._started) / max(1, self.run.step - self._first)
        loss = float(self.run.loss_sum) / max(1, self.run.rows)
        self._bar.update(
            self._task, completed=self.run.step, loss=f"loss {loss:.4f}", speed=f"{per_step * 1e3:.1f} ms/step"
        )

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        self._console.print(epoch_line(self.run, epoch, self._started, logs), highlight=False, soft_wrap=True)


def progress(verbose: int | str) -> list[Callback]:
    """The callback for `verbose`: 0 nothing, 1 a bar, 2 a line per epoch, "auto" a bar on a terminal only."""
    if verbose == "auto":
        verbose = 1 if sys.stdout.isatty() else 2
    kinds: dict[int, list[Callback]] = {0: [], 1: [ProgressBar()], 2: [ProgressLines()]}
    if verbose not in kinds:
        raise ConfigError(at="verbose", got=verbose, expected='0, 1, 2 or "auto"')
    return kinds[int(verbose)]
