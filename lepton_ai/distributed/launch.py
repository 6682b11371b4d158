"""Start workers on this machine and wait for them.

Workers are forked: they see the model and the data that the caller holds without a copy, whatever these are,
and the caller's program is not run again. A forked process must not use its parent's OpenMP threads, so each
worker computes with one thread. Forking is not safe once a CUDA context exists, nor on macOS and Windows.
"""

import ctypes
import datetime
import logging
import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable
from multiprocessing.context import ForkProcess
from pathlib import Path

import torch
import torch.distributed as dist

from lepton_ai.core import ConfigError, UsageError, WorkerError, write_atomic
from lepton_ai.distributed.roll_call import LostWorkerError
from lepton_ai.distributed.world import World

log = logging.getLogger("lepton_ai.distributed")

_PR_SET_PDEATHSIG = 1


def launch(
    work: Callable[[World], None], workers: int, folder: Path, *, timeout: float = 300.0, restarts: int = 0
) -> None:
    """Run `work(world)` in `workers` processes; return when all have ended well.

    Args:
        folder: an empty one for the rendezvous and the workers' errors; results are files that `work` leaves.
        timeout: seconds that a worker waits for the others in one exchange.
        restarts: how often all workers are started again after one was killed, or did not answer; `work` goes on from
            what it left. A worker that raises is not started again: it would raise again.

    Ctrl-C asks the workers to end, by SIGTERM, and waits for them; a second one does not wait.

    Raises: WorkerError with the rank and traceback of the first worker that failed; the others are ended.
    """
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
        raise ConfigError(at="num_workers", got=workers, expected="a positive int")
    if not sys.platform.startswith("linux") or torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        raise UsageError(
            "several workers are forked, which is safe on Linux and before CUDA is used only",
            fix="Train with num_workers=1 here.",
        )
    for attempt in range(restarts + 1):
        place = folder / f"attempt-{attempt}"
        place.mkdir()
        try:
            _attempt(work, workers, place, timeout)
            return
        except _GoneError as error:
            if attempt == restarts:
                raise WorkerError(str(error)) from None
            log.warning("%s; the workers start again", str(error).partition("\n")[0])


class _GoneError(WorkerError):
    """A worker that was killed, or does not answer: another one in its place may do better."""


def _attempt(work: Callable[[World], None], workers: int, folder: Path, timeout: float) -> None:
    context = multiprocessing.get_context("fork")
    caller = os.getpid()
    processes = [
        context.Process(target=_work, args=(work, World(rank, workers), folder, timeout, caller), name=f"worker-{rank}")
        for rank in range(workers)
    ]
    try:
        with warnings.catch_warnings():
            # Python 3.12 warns of forking a process with threads; `_work` touches none of them.
            warnings.simplefilter("ignore", DeprecationWarning)
            for process in processes:
                process.start()
        try:
            _wait(processes, folder)
        except KeyboardInterrupt:
            for process in processes:
                process.terminate()
            try:
                _wait(processes, folder)
            except WorkerError as error:
                raise KeyboardInterrupt from error  # it was not in a place where it could end well
    finally:
        for process in processes:
            if process.is_alive():
                process.kill()
        for process in processes:
            if process.pid is not None:
                process.join()


def _wait(processes: list[ForkProcess], folder: Path) -> None:
    waiting = {process.sentinel: process for process in processes}
    while waiting:
        for sentinel in multiprocessing.connection.wait(list(waiting)):
            process = waiting.pop(sentinel)  # type: ignore[arg-type]
            process.join()
            if process.exitcode:
                raise _failure(processes, processes.index(process), folder)


def _end_with(parent: int) -> None:
    """Let the kernel end this worker when the caller dies, however it dies; nobody else would."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before it could be asked for
        os._exit(1)


def _work(work: Callable[[World], None], world: World, folder: Path, timeout: float, parent: int) -> None:
    _end_with(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the caller's to handle: it asks the workers to end
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    torch.set_num_threads(1)
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    try:
        dist.init_process_group(
            "gloo",
            init_method=f"file://{folder / 'rendezvous'}",
            rank=world.rank,
            world_size=world.size,
            timeout=datetime.timedelta(seconds=timeout),
        )
        work(world)
        world.barrier()
        dist.destroy_process_group()
    except BaseException as error:
        kind = "lost" if isinstance(error, LostWorkerError) else "error"
        text = str(error) if isinstance(error, LostWorkerError) else traceback.format_exc()
        write_atomic(folder / f"{kind}-{world.rank}", text.encode())
        sys.stdout.flush()
        os._exit(1)
    # Leave without the caller's exit handlers, which belong to the caller alone.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _failure(processes: list[ForkProcess], rank: int, folder: Path) -> WorkerError:
    # The first process seen to end may only have lost its partner: one that has an error of its own is to blame, then
    # one that was killed, then one that is missing on the list of those that wait.
    for path in sorted(folder.glob("error-*")):
        return WorkerError(f"worker {path.name.rpartition('-')[2]} failed\n{path.read_text().rstrip()}")
    for other, process in enumerate(processes):
        if process.exitcode is not None and process.exitcode < 0:
            return _GoneError(f"worker {other} was ended by signal {signal.Signals(-process.exitcode).name}")
    for path in sorted(folder.glob("lost-*")):
        return _GoneError(path.read_text())
    return WorkerError(f"worker {rank} failed with exit code {processes[rank].exitcode}")
