"""The checkpoints in a run's folder: when one is due, the newest few of them, the newest whole one to go on from."""

import logging
import re
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from lepton_ai.core import ConfigError, StorageError
from lepton_ai.training.checkpoint import DamagedError, Snapshot, load_checkpoint, write_checkpoint

log = logging.getLogger("lepton_ai.training")

KEPT = 3
_NAME, _TIME = re.compile(r"epoch-(\d+)-step-(\d+)"), re.compile(r"(\d+(?:\.\d+)?) ?(s|min|h)")
_SECONDS = {"s": 1.0, "min": 60.0, "h": 3600.0}


class Every(NamedTuple):
    """A checkpoint after so many steps, or so many seconds; the other is None."""

    steps: int | None = None
    seconds: float | None = None


def get_every(given: int | str) -> Every:
    """What `checkpoint_every` means.

    Raises: ConfigError for what is neither a number of steps nor a time.

    Example:
        >>> get_every("5min"), get_every(200)
        (Every(steps=None, seconds=300.0), Every(steps=200, seconds=None))
    """
    if isinstance(given, int) and not isinstance(given, bool) and given > 0:
        return Every(steps=given)
    found = _TIME.fullmatch(given) if isinstance(given, str) else None
    if found is None:
        expected = 'a number of steps, or a time such as "30s", "5min", "1h"'
        raise ConfigError(at="fit(checkpoint_every=...)", got=given, expected=expected)
    return Every(seconds=float(found[1]) * _SECONDS[found[2]])


class Checkpoints:
    """Checkpoints in `folder/checkpoints`, one folder each, named by the epoch under way and the steps done in it.

    A snapshot is copied between two steps and written by a thread, one at a time. The last `keep` stay. One that
    cannot be written is a warning: training goes on, and the ones before are untouched.
    """

    def __init__(self, folder: Path, every: Every | None = None, keep: int = KEPT) -> None:
        self.folder, self.every, self.keep = folder / "checkpoints", every or Every(), keep
        self._mine: list[Path] = []  # oldest first; what else is there is damaged, or of another run
        self._writer: threading.Thread | None = None
        self._taken = time.monotonic()
        self._error: Exception | None = None

    def due(self, total_steps: int) -> bool:
        """Whether it is time for one after this step; by the clock, not while the last is still being written."""
        steps, seconds = self.every
        if steps is not None:
            return total_steps % steps == 0
        late = seconds is not None and time.monotonic() - self._taken >= seconds
        return late and (self._writer is None or not self._writer.is_alive())

    def save(self, epoch: int, step: int, snapshot: Callable[[], Snapshot]) -> None:
        """Take a snapshot now, and have it written; waits for the one before."""
        self.wait()
        self._taken = time.monotonic()
        path = self.folder / f"epoch-{epoch + 1:05d}-step-{step:08d}"
        self._writer = threading.Thread(target=self._write, args=(path, snapshot()), name="lepton-checkpoint")
        self._writer.start()

    def wait(self) -> None:
        """Until what was taken is written."""
        if self._writer is not None:
            self._writer.join()
            self._writer = None

    def saved(self) -> Path:
        """Where the last one is, once it is written.

        Raises: StorageError, OSError if it could not be.
        """
        self.wait()
        if self._error is not None:
            raise self._error
        return self._mine[-1]

    def load(self) -> tuple[Path, dict[str, Tensor], dict[str, Any]] | None:
        """The newest one that is whole; None where there is none at all.

        Raises: StorageError if all are damaged, the newest is of a future format, or the folder cannot be made.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(
                f"no folder can be made here: {error.strerror}", at=str(self.folder), fix="Use another run folder."
            ) from error
        self._clean()
        found = self._there()
        while found:
            try:
                tensors, values = load_checkpoint(found[-1])
            except DamagedError as error:
                log.warning("checkpoint skipped, the one before it is taken: %s", error)
                damaged = found.pop()
                continue
            self._mine = found
            return found[-1], tensors, values
        if self._there():
            raise StorageError(
                "no checkpoint is whole",
                at=str(damaged.parent),
                fix="Remove this folder to start anew, or use another run folder.",
            )
        return None

    def _write(self, path: Path, snapshot: Snapshot) -> None:
        try:
            write_checkpoint(path, snapshot)
        except Exception as error:  # a thread's error would be lost
            self._error = error
            last = f"{self._mine[-1].name} stays the last" if self._mine else "there is none yet"
            log.warning("training goes on without a checkpoint of %s, %s: %s", path.name, last, error)
            return
        self._error = None
        self._mine = [each for each in self._mine if each != path][1 - self.keep :] if self.keep > 1 else []
        self._mine.append(path)
        for each in set(self._there()) - set(self._mine):
            shutil.rmtree(each, ignore_errors=True)

    def _there(self) -> list[Path]:
        """All in the folder, oldest first."""
        found = [(match, path) for path in self.folder.iterdir() if (match := _NAME.fullmatch(path.name))]
        return [path for match, path in sorted(found, key=lambda each: (int(each[0][1]), int(each[0][2])))]

    def _clean(self) -> None:
        """Remove what a process left behind that was killed while it wrote."""
        for path in self.folder.glob(".epoch-*.part"):
            shutil.rmtree(path, ignore_errors=True)
