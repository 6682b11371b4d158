"""Progress for people: a bar or curves on a terminal, a line per epoch elsewhere."""

import sys
import time
from itertools import groupby

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from lepton_ai.core import ConfigError, unknown_name
from lepton_ai.training.callbacks import Callback, Logs, Running
from lepton_ai.training.plot import plot

# Less of an epoch than this, or less time, spent waiting for data is nothing to think about.
_SHARE, _SECONDS = 0.05, 0.1
_COLOURS, _ROWS = ("cyan", "magenta"), 16


def epoch_line(run: Running, epoch: int, started: float, logs: Logs) -> str:
    """An epoch that ended, in a line."""
    metrics = "  ".join(f"{name} {value:.4g}" for name, value in logs.items())
    seconds = run.history.seconds[-1]
    shares = waiting(run.history.waited[-1], seconds) + ordering(run.ordered, seconds)
    return f"epoch {epoch + 1}/{run.job.epochs}  {time.perf_counter() - started:.1f}s  {metrics}{shares}"


def waiting(waited: float, seconds: float) -> str:
    """The share of `seconds` in which there was no batch to train on; nothing if it is small.

    Example:
        >>> waiting(2.3, 10.0), waiting(0.3, 10.0)
        ('  data 23 %', '')
    """
    return f"  data {100 * waited / seconds:.0f} %" if waited > max(_SHARE * seconds, _SECONDS) else ""


def ordering(ordered: float, seconds: float) -> str:
    """What an exact reduction cost of `seconds`, apart from gradients of small parts; nothing where there is none.

    Example:
        >>> ordering(1.2, 10.0), ordering(0.0, 10.0)
        ('  exact sums 12 %', '')
    """
    return f"  exact sums {100 * ordered / seconds:.0f} %" if ordered else ""


class ProgressLines(Callback):
    """One line per epoch on standard output, after that of a plan that was raced for."""

    def on_train_begin(self) -> None:
        if self.run.job.race:
            sys.stdout.write(self.run.history.plan + "\n")

    def on_epoch_begin(self, epoch: int) -> None:
        self._started = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        sys.stdout.write(epoch_line(self.run, epoch, self._started, logs) + "\n")
        sys.stdout.flush()


class ProgressBar(Callback):
    """A bar for the epoch under way with the mean loss so far, and a line for each that ended."""

    def on_train_begin(self) -> None:
        self._console = Console()
        if self.run.job.race:
            self._console.print(self.run.history.plan, highlight=False, soft_wrap=True)
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
        loss = self.run.loss_sum / max(1, self.run.rows)
        speed = f"{per_step * 1e3:.1f} ms/step{waiting(self.run.waited, self.run.seconds - self.run.epoch_started)}"
        self._bar.update(self._task, completed=self.run.step, loss=f"loss {loss:.4f}", speed=speed)

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        self._console.print(epoch_line(self.run, epoch, self._started, logs), highlight=False, soft_wrap=True)


class Curves(ProgressBar):
    """On a terminal, the curves of a metric and its `val_` twin, drawn anew after every epoch, over the bar; elsewhere
    a line for each epoch.

    A run that goes on shows the epochs of earlier processes too.
    """

    def __init__(self, metric: str = "loss") -> None:
        self.metric = metric

    def on_train_begin(self) -> None:
        super().on_train_begin()
        self._line = ""
        self._show()

    def on_train_end(self) -> None:
        super().on_train_end()
        if self._console.is_terminal and self.run.history.epoch:
            self._console.print(self._drawn())

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        if self.metric not in logs:
            raise unknown_name("metric", self.metric, list(logs), at="Curves(metric=...)")
        if not self._console.is_terminal:
            super().on_epoch_end(epoch, logs)
            return
        self._line = epoch_line(self.run, epoch, self._started, logs)
        self._show()

    def _show(self) -> None:
        if self._console.is_terminal:
            self._live.update(Group(self._drawn(), self._bar))

    def _drawn(self) -> Group:
        """The curves so far, and under them their names and what the last epoch gave."""
        past, rows = self.run.history.history, max(3, min(_ROWS, self._console.height - 8))
        curves = {name: past[name] for name in (self.metric, f"val_{self.metric}") if name in past}
        styles = dict(enumerate(_COLOURS))
        drawing = Text(no_wrap=True)
        for row in plot(curves, self._console.width, rows):
            for number, cells in groupby(row, key=lambda cell: cell[1]):
                drawing.append("".join(character for character, _ in cells), styles.get(number, "dim"))
            drawing.append("\n")
        for number, name in enumerate(curves):
            drawing.append(f"━ {name}  ", styles[number])
        return Group(drawing, Text(self._line))


def progress(verbose: int | str) -> list[Callback]:
    """The callback for `verbose`: 0 nothing, 1 a bar, 2 a line per epoch; on a terminal "auto" is a bar and "curves"
    is curves, elsewhere both are lines."""
    if verbose in ("auto", "curves") and not sys.stdout.isatty():
        verbose = 2
    kinds: dict[int | str, type[Callback] | None] = {
        0: None,
        1: ProgressBar,
        2: ProgressLines,
        "auto": ProgressBar,
        "curves": Curves,
    }
    if verbose not in kinds:
        raise ConfigError(at="verbose", got=verbose, expected='0, 1, 2, "auto" or "curves"')
    kind = kinds[verbose]
    return [] if kind is None else [kind()]
