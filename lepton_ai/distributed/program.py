"""A whole program run by several workers on this machine, under torchrun's elastic agent: `lepton launch`."""

import logging
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lepton_ai.core import StorageError, WorkerError
from lepton_ai.distributed.meeting import open_store
from lepton_ai.distributed.roll_call import LOST
from lepton_ai.distributed.workers import Workers, check_workers

log = logging.getLogger("lepton_ai.distributed")

_LOOPBACK = "127.0.0.1"


def run_program(path: Path, arguments: Sequence[str] = (), *, workers: int = 1, restarts: int = 3) -> None:
    """Run the Python program at `path` in `workers` processes, as `torchrun` does; return when all have ended well.

    Each `fit` in it trains with all of them; only the first one shows progress and writes bundles and checkpoints.

    Args:
        restarts: how often the program is started again after a worker was killed or did not answer; a `fit` with
            `run="folder"` goes on from its last checkpoint. A worker that raises ends it: it would raise again.

    Raises: WorkerError with the rank and the traceback of the first worker that failed; StorageError if there is no
        such program; KeyboardInterrupt after Ctrl-C, when all have ended.
    """
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    check_workers(Workers(count=workers, restarts=restarts), "launch", "workers")
    if not path.is_file():
        raise StorageError("no such file", at=str(path), fix="Give a Python program.")
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # it tells what is told below
    for attempt in range(restarts + 1):
        try:
            _attempt(path, arguments, workers)
            return
        except ChildFailedError as error:
            rank, failure = _first(error.failures)
            gone = failure.exitcode < 0 or failure.exitcode == LOST
            if not gone or attempt == restarts:
                raise WorkerError(_told(rank, failure)) from None
            log.warning("%s; the program starts again", _told(rank, failure).partition("\n")[0])
        except SignalException as signal:
            raise KeyboardInterrupt from signal


def _attempt(path: Path, arguments: Sequence[str], workers: int) -> None:
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
    from torch.distributed.elastic.rendezvous import rendezvous_handler_registry
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    rendezvous_handler_registry.register("lepton", _meeting)
    with tempfile.TemporaryDirectory(prefix="lepton-") as folder:
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=workers,
            rdzv_backend="lepton",
            run_id=Path(folder).name,
            local_addr=_LOOPBACK,
            max_restarts=0,
            logs_specs=DefaultLogsSpecs(log_dir=folder),
        )
        start = elastic_launch(config, sys.executable)
        start("-u", "-m", "lepton_ai.distributed.entry", str(workers), str(path), *arguments)


def _meeting(parameters: Any) -> Any:
    """torchrun's way for workers to meet, on this machine alone: its own stores listen on all addresses."""
    from torch.distributed.elastic.rendezvous.c10d_rendezvous_backend import C10dRendezvousBackend
    from torch.distributed.elastic.rendezvous.dynamic_rendezvous import create_handler

    class Backend(C10dRendezvousBackend):
        name = parameters.backend

    store = open_store(_LOOPBACK)
    handler = create_handler(store, Backend(store, parameters.run_id), parameters)
    handler._create_tcp_store_server = lambda *_: open_store(_LOOPBACK)  # type: ignore[method-assign]
    return handler


def _first(failures: dict[int, Any]) -> tuple[int, Any]:
    """The failure to blame: one of its own before one that lost another, then the earliest."""
    return min(failures.items(), key=lambda each: (each[1].exitcode == LOST, each[1].timestamp))


def _told(rank: int, failure: Any) -> str:
    if failure.exitcode < 0:
        return f"worker {rank} was ended by signal {failure.signal_name()}"
    if not isinstance(failure.message, dict):
        return f"worker {rank} ended with exit code {failure.exitcode}"
    if failure.exitcode == LOST:
        return str(failure.message["message"]).partition(": ")[2]
    return f"worker {rank} failed\n{failure.message['extraInfo']['py_callstack'].rstrip()}"
