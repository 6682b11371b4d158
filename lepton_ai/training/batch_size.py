"""The batch size that is fastest here: powers of two, each trained for a moment in a child process.

A child, since a size that does not fit may cost the process: where memory is short, Linux kills first and asks nobody.
The child is forked: it sees the model and the data that the caller holds, whatever these are, and what it trains stays
there. A forked process must not use its parent's OpenMP threads; the child computes in a thread of its own, which gets
new ones, so that it is as fast as the parent would be.
"""

import ctypes
import faulthandler
import logging
import multiprocessing
import os
import resource
import signal
import sys
import threading
import time
import traceback
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol

import msgspec
import torch

from lepton_ai.core import UsageError, WorkerError, memory_available
from lepton_ai.data import Indexed
from lepton_ai.hal import ExecutionPlan, get_device
from lepton_ai.training.callbacks import Callback, Logs
from lepton_ai.training.checkpoints import Checkpoints
from lepton_ai.training.component import number, whole
from lepton_ai.training.step import is_out_of_memory

_PR_SET_PDEATHSIG = 1
_WARM, _LEAST, _MOST = 2, 3, 0.5  # steps before the clock runs, steps on the clock, seconds of a size
_ENDLESS = 100_000  # steps; the clock ends the epoch


class Fits(Protocol):
    """A compiled model."""

    plan: ExecutionPlan
    race: bool

    @property
    def fit(self) -> Any:
        """Train."""

    @property
    def source(self) -> Any:
        """Make a source of arrays."""


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """One size. `memory` is what training took at most, in bytes beside what the process held before."""

    batch_size: int
    fits: bool
    samples_per_second: float = 0.0
    memory: int = 0


class BatchSizes(msgspec.Struct, frozen=True, kw_only=True):
    """The sizes that were tried, and the fastest of those that fit into `limit` bytes. Printed, a table."""

    best: int
    limit: int
    trials: list[Trial]

    def __str__(self) -> str:
        rows = [f"{'batch size':>10} {'samples/s':>11} {'memory':>11}"]
        for each in self.trials:
            speed = f"{each.samples_per_second:,.0f}" if each.fits else "-"
            memory = f"{each.memory / 2**20:,.0f} MiB" if each.fits else "too much"
            mark = "  <- fastest" if each.batch_size == self.best else ""
            rows.append(f"{each.batch_size:>10} {speed:>11} {memory:>11}{mark}")
        return "\n".join(rows)


class _Settings(msgspec.Struct, frozen=True, kw_only=True):
    sizes: list[int]
    seconds: float
    share: float


def find_batch_size(
    model: Fits,
    x: Any,
    y: Any = None,
    *,
    lowest: int = 8,
    highest: int = 4096,
    share: float = 0.8,
    seconds: float = 30.0,
) -> BatchSizes:
    """Try the powers of two from `lowest` to `highest` that the data has rows for, and give the fastest that fits.

    The model stays as it is, and so do torch's generators: all happens in a child process. With another batch size a
    model learns differently; larger ones often want a larger rate.

    Args:
        share: of the memory that is free now (of the machine, or of its container; of the device, on an accelerator)
            which training may take.
        seconds: after which no more is tried.

    Raises: UsageError on another system than Linux, after CUDA was used, if not even `lowest` fits, or if there was no
        time for it; WorkerError with the traceback if training fails for another reason.

    Example:
        >>> from lepton_ai.layers import Dense
        >>> from lepton_ai.models import Sequential
        >>> model = Sequential([Dense(1, input_shape=(4,))])
        >>> model.compile("sgd", "mse")
        >>> found = find_batch_size(model, torch.ones(64, 4), torch.ones(64), lowest=16)
        >>> [trial.batch_size for trial in found.trials], found.best in (16, 32, 64)
        ([16, 32, 64], True)
    """
    lowest = whole("find_batch_size(lowest=...)", lowest, 1)
    highest = whole("find_batch_size(highest=...)", highest, lowest)
    share = number("find_batch_size(share=...)", share, "(0, 1]")
    seconds = number("find_batch_size(seconds=...)", seconds, "(0, inf)")
    if not sys.platform.startswith("linux") or torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        raise UsageError(
            "sizes are tried in a forked process, which is safe on Linux and before CUDA is used only",
            at="find_batch_size",
            fix="Call it at the start of the program, or choose batch_size by hand.",
        )
    source = model.source(x, y)
    rows = len(source) if isinstance(source, Indexed) else highest
    sizes = [size for size in (2**power for power in range(32)) if lowest <= size <= min(highest, rows)] or [lowest]
    trials, limit, reason = _in_child(model, (x, y), _Settings(sizes=sizes, seconds=seconds, share=share))
    fitting = [each for each in trials if each.fits]
    if not fitting:
        fix = "Free some memory, or train a smaller model." if trials else "Give it more seconds."
        raise UsageError(f"found no batch size: {reason}", at="find_batch_size", fix=fix)
    best = max(fitting, key=lambda each: each.samples_per_second).batch_size
    return BatchSizes(best=best, limit=limit, trials=trials)


def settle_batch_size(model: Fits, source: Any, folder: Path | None) -> tuple[int, str]:
    """The batch size of the run that goes on from `folder`, or the fastest one for a run that begins; and a line that
    says which, and why.

    Raises: as `find_batch_size`; StorageError if all checkpoints in the folder are damaged.
    """
    found = None if folder is None else Checkpoints(folder).load()
    if found is not None:
        size = int(found[2]["job"]["batch_size"])
        return size, f"batch_size={size}, of the checkpoint"
    sizes = find_batch_size(model, source)
    trial = next(each for each in sizes.trials if each.batch_size == sizes.best)
    tried = [each.batch_size for each in sizes.trials]
    line = f"batch_size={sizes.best}, {trial.samples_per_second:,.0f} samples/s and {trial.memory / 2**20:,.0f} MiB"
    return sizes.best, f"{line}, the fastest of {tried[0]} to {tried[-1]}"


def _in_child(model: Fits, data: Any, settings: _Settings) -> tuple[list[Trial], int, str]:
    """What was tried, the limit in bytes, and why no more was."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(theirs, model, data, settings, os.getpid()), name="batch-size")
    end, trials, limit = time.monotonic() + settings.seconds, list[Trial](), 0
    try:
        process.start()
        theirs.close()
        while len(trials) < len(settings.sizes) and (not trials or trials[-1].fits):
            if not ours.poll(max(0.0, end - time.monotonic())):
                return trials, limit, f"{settings.seconds:g} s were too few"
            try:
                kind, _, content = ours.recv_bytes().partition(b" ")
            except EOFError:  # killed, or aborted where memory ended: the size that it was at does not fit
                trials.append(Trial(batch_size=settings.sizes[len(trials)], fits=False))
                break
            if kind == b"failed":
                raise WorkerError(f"training failed in the child process\n{content.decode()}", at="find_batch_size")
            if kind == b"limit":
                limit = int(content)
            else:
                trials.append(msgspec.json.decode(content, type=Trial))
        return trials, limit, f"not even {settings.sizes[0]} fits into {limit / 2**20:,.0f} MiB"
    finally:
        ours.close()
        if process.pid is not None:
            process.kill()
            process.join()


def _child(pipe: Connection, model: Fits, data: Any, settings: _Settings, parent: int) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before it could be asked for
        os._exit(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    faulthandler.disable()
    logging.disable(logging.WARNING)  # that a step was halved says only that the size does not fit
    threads = torch.get_num_threads()

    def work() -> None:
        try:
            torch.set_num_threads(threads)
            _try_all(pipe, model, data, settings)
        except BaseException:
            pipe.send_bytes(b"failed " + traceback.format_exc().encode())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    os._exit(0)


def _try_all(pipe: Connection, model: Fits, data: Any, settings: _Settings) -> None:
    model.race = False  # a race would take longer than this does
    device = get_device(model.plan.device)
    free, before = _available(device), _status("VmRSS")
    limit = int(settings.share * free)
    pipe.send_bytes(b"limit %d" % limit)
    if device.type == "cpu":
        # What is asked for beyond is refused, which is an error of torch; else the kernel may kill, and not only us.
        most = _status("VmData") + limit
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    moment = min(_MOST, settings.seconds / (2 * len(settings.sizes)))
    for size in settings.sizes:
        watch = _Watch(moment)
        try:
            model.fit(
                *data, batch_size=size, steps_per_epoch=_ENDLESS, shuffle=False, verbose=0, callbacks=[watch], seed=0
            )
        except (RuntimeError, MemoryError) as error:
            if isinstance(error, RuntimeError) and not is_out_of_memory(error):
                raise
            watch.halved = True
        memory = _status("VmHWM") - before
        if device.type != "cpu":
            memory = torch.get_device_module(device).max_memory_reserved()
        fits = not watch.halved and memory <= limit
        trial = Trial(batch_size=size, fits=fits, samples_per_second=watch.speed if fits else 0.0, memory=memory)
        pipe.send_bytes(b"trial " + msgspec.json.encode(trial))
        if not fits:
            return


class _Watch(Callback):
    """The speed over some steps, after the first ones; ends the run then."""

    def __init__(self, moment: float) -> None:
        self.moment, self.steps, self.speed, self.halved = moment, 0, 0.0, False
        self.began, self.rows = 0.0, 0

    def on_train_batch_end(self, batch: int, logs: Logs) -> None:
        self.steps += 1
        now = time.perf_counter()
        if self.steps == _WARM:
            self.began, self.rows = now, self.run.rows
        elif self.steps >= _WARM + _LEAST and now - self.began >= self.moment:
            self.speed = (self.run.rows - self.rows) / (now - self.began)
            self.run.stop(now=True)

    def on_train_end(self) -> None:
        self.halved = getattr(self.run, "parts", 1) > 1


def _available(device: torch.device) -> int:
    """Bytes that this process could still take."""
    if device.type != "cpu":
        free: int = torch.get_device_module(device).mem_get_info()[0]
        return free
    return memory_available() or 0


def _status(name: str) -> int:
    """A field of what the kernel says of this process, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))
