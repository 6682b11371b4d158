"""Workers on a Ray cluster: placed, given their work, waited for, replaced, taken down."""

import contextlib
import datetime
import logging
import os
import platform
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from typing import Any

import torch
import torch.distributed as dist

from lepton_ai.core import ConfigError, UsageError, WorkerError, load_extra
from lepton_ai.distributed.meeting import open_store
from lepton_ai.distributed.roll_call import LostWorkerError
from lepton_ai.distributed.workers import Workers
from lepton_ai.distributed.world import World

log = logging.getLogger("lepton_ai.distributed")

PATIENCE = 10.0
"""Seconds to wait for room in the cluster in silence."""


class _GoneError(WorkerError):
    """A worker or its node that is gone: others may do the work."""


def run_on_cluster(work: Callable[[World], Any], workers: Workers, cluster: str) -> Any:
    """Run `work(world)` in `workers.count` processes of a Ray cluster; returns what the leader's returned.

    A worker has `workers.cpus` and `workers.gpus`. `cluster` is an address as Ray takes it, "auto" or
    "ray://head:10001"; a Ray that is initialised already is used as it is, and left so.

    After a node is lost all workers start again, as many as have room, up to `workers.restarts` times; `work` goes on
    from what it left on storage that all nodes see. Whatever happens, Ctrl-C too, no worker is left running.

    Raises: MissingExtraError without Ray; UsageError with the address of a cluster that cannot be reached; ConfigError
        naming the part of `work` that cannot be sent; WorkerError with the rank and the traceback of a worker that
        fails, or naming a worker with other versions than the caller's.
    """
    ray = load_extra("ray", extra="cluster", purpose="training on a cluster")
    with _connected(ray, cluster):
        handed = _handed(ray, work)
        count = workers.count
        for attempt in range(workers.restarts + 1):
            try:
                return _attempt(ray, handed, count, workers, attempt > 0)
            except _GoneError as error:
                if attempt == workers.restarts:
                    raise WorkerError(str(error)) from None
                count = _room(ray, workers)
                log.warning("%s; %d workers start again", str(error).partition("\n")[0], count)
    raise AssertionError


@contextlib.contextmanager
def _connected(ray: Any, cluster: str) -> Iterator[None]:
    if ray.is_initialized():
        yield
        return
    try:
        ray.init(address=cluster, logging_level=logging.WARNING)
    except Exception as error:
        raise UsageError(
            f"the Ray cluster at {cluster!r} cannot be reached ({_first_line(error)})",
            at="fit(cluster=...)",
            fix="Is its head up (ray status), and the port open?",
        ) from error
    try:
        yield
    finally:
        with _closing():
            ray.shutdown()


def _closing() -> contextlib.AbstractContextManager[None]:
    """What one such step meets keeps no other from being taken, and does not hide what ended the work.

    Where a `ray://` connection is lost, Ray raises plain Exceptions.
    """
    return contextlib.suppress(Exception)


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def _handed(ray: Any, work: Any) -> Any:
    """The work in the cluster's object store, sent once."""
    try:
        return ray.put(work)
    except Exception as error:
        raise ConfigError(
            f"{_unsendable(ray, work)} cannot be sent to other machines ({_first_line(error)})",
            at="fit(cluster=...)",
            fix="Make it where it is used: in on_train_begin of a callback, in build of a layer.",
        ) from error


def _unsendable(ray: Any, value: Any, path: str = "", depth: int = 0) -> str:
    """The path of the innermost part that cannot be sent."""
    parts: dict[str, Any] = {}
    if isinstance(value, dict):
        parts = {f"[{key!r}]": each for key, each in value.items()}
    elif isinstance(value, list | tuple):
        parts = {f"[{index}]": each for index, each in enumerate(value)}
    elif hasattr(value, "func") and hasattr(value, "args"):
        parts = {type(each).__name__: each for each in value.args}
    elif hasattr(value, "__dict__"):
        parts = {f".{name}": each for name, each in vars(value).items()}
    for name, each in parts.items() if depth < 8 else ():
        try:
            ray.put(each)
        except Exception:  # whatever stands in the way of pickling it
            return _unsendable(ray, each, path + name, depth + 1)
    return f"{path or 'the work'} ({type(value).__name__})"


def _attempt(ray: Any, handed: Any, count: int, workers: Workers, going_on: bool) -> Any:
    util = ray.util
    needs = {"CPU": workers.cpus} | ({"GPU": workers.gpus} if workers.gpus else {})
    group = util.placement_group([needs] * count, strategy="SPREAD")
    seats: list[Any] = []
    try:
        _await_room(ray, group, count, workers, needs, going_on)
        strategy = util.scheduling_strategies.PlacementGroupSchedulingStrategy
        seat = ray.remote(_Seat)
        for rank in range(count):
            placed = strategy(group, placement_group_bundle_index=rank)
            seats.append(
                seat.options(num_cpus=workers.cpus, num_gpus=workers.gpus, scheduling_strategy=placed).remote()
            )
        return _watched(ray, seats, handed, workers)
    except (ray.exceptions.RayActorError, ray.exceptions.NodeDiedError) as error:
        raise _GoneError(f"a worker or its node is gone ({_first_line(error)})") from error
    finally:
        for each in seats:
            with _closing():
                ray.kill(each)
        with _closing():
            util.remove_placement_group(group)


def _await_room(ray: Any, group: Any, count: int, workers: Workers, needs: dict[str, float], going_on: bool) -> None:
    """Until there is room for all; others may be using it, or a cluster that grows be fetching machines."""
    began, told = time.monotonic(), False
    while not group.wait(1.0):
        if going_on and _room(ray, workers) < count:  # the cluster takes a while to miss a node
            raise _GoneError(f"a node is gone, with room for some of {count} workers")
        there = {name: size for name, size in ray.cluster_resources().items() if name in needs}
        waited = time.monotonic() - began
        if waited > workers.timeout:
            raise WorkerError(
                f"no room for {count} workers of {needs} came within {workers.timeout:.0f} s: the cluster has {there}",
                fix="Take fewer workers, lower their cpus= and gpus=, or wait longer with timeout=.",
            )
        if waited > PATIENCE and not told:
            log.warning("waiting for room for %d workers of %s; the cluster has %s", count, needs, there)
            told = True


def _watched(ray: Any, seats: list[Any], handed: Any, workers: Workers) -> Any:
    mine = versions()
    for rank, theirs in enumerate(ray.get([each.versions.remote() for each in seats])):
        for name, value in theirs.items():
            if mine[name] != value:
                raise WorkerError(
                    f"worker {rank} has {name} {value}, this program {mine[name]}",
                    at="fit(cluster=...)",
                    fix="Install the same versions on all nodes.",
                )
    address = ray.get(seats[0].listen.remote())
    threads = max(1, int(workers.cpus))
    ranks = {
        seat.run.remote(handed, rank, len(seats), address, workers.timeout, threads): rank
        for rank, seat in enumerate(seats)
    }
    found, lost = None, ""
    while ranks:
        # Of those that lost another, the other one has more to tell; it has a moment for that.
        done, _ = ray.wait(list(ranks), num_returns=1, timeout=5.0 if lost else None)
        if not done:
            break
        rank = ranks.pop(done[0])
        try:
            result = ray.get(done[0])
        except ray.exceptions.RayTaskError as error:
            if not isinstance(error.cause, LostWorkerError):
                raise WorkerError(f"worker {rank} failed\n{str(error).rstrip()}") from None
            lost = lost or str(error.cause)
            continue
        found = result if rank == 0 else found
    if lost:
        raise _GoneError(lost)
    return found


def _room(ray: Any, workers: Workers) -> int:
    """How many workers have room in what is left of the cluster, as far as it knows; at least one."""
    there = int(ray.cluster_resources().get("CPU", 0) / workers.cpus) if workers.cpus else workers.count
    if workers.gpus:
        there = min(there, int(ray.cluster_resources().get("GPU", 0) / workers.gpus))
    able = [each for each in range(1, workers.count + 1) if not workers.exact or workers.shards % each == 0]
    return max([each for each in able if each <= there], default=1)


def versions() -> dict[str, str]:
    """What must be the same on all workers."""
    python = ".".join(platform.python_version_tuple()[:2])
    return {"python": python} | {name: version(name) for name in ("lepton-ai", "torch", "numpy")}


class _Seat:
    """A process of the cluster that works."""

    _store: Any = None

    def versions(self) -> dict[str, str]:
        return versions()

    def listen(self) -> tuple[str, int]:
        """Open the list by which workers find each other, on this node's address alone."""
        host = load_extra("ray", extra="cluster", purpose="a worker").util.get_node_ip_address()
        self._store = open_store(host)
        return host, self._store.port

    def run(
        self, work: Callable[[World], Any], rank: int, size: int, address: tuple[str, int], timeout: float, threads: int
    ) -> Any:
        host, port = address
        if host.startswith("127."):
            os.environ["GLOO_SOCKET_IFNAME"] = "lo"
        torch.set_num_threads(threads)
        limit = datetime.timedelta(seconds=timeout)
        store = self._store or dist.TCPStore(host, port, size, timeout=limit)  # type: ignore[attr-defined]
        dist.init_process_group("gloo", store=store, rank=rank, world_size=size, timeout=limit)
        world = World(rank, size)
        result = work(world)
        world.barrier()
        dist.destroy_process_group()
        return result if rank == 0 else None
