"""The batcher. Its rule: when an instance is free, take all that waits and fits together, and go. There is no timer.

A lone request is computed at once; under load the batch grows by itself to what arrived during the last one.
Each request is isolated: one that is cancelled or late, or whose client is gone, is dropped before it costs anything;
when a batch fails, its requests are computed one by one, so that only the bad one fails; a batch never mixes up rows.

All of it runs on the event loop, except the computing, which runs in other threads; but a model that is known to take
less time than handing it to another thread would cost is computed on the loop. Not for use from other threads.
"""

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import NamedTuple

import numpy as np

from lepton_ai.bundle import Signature
from lepton_ai.core import Channel, LeptonError, UnavailableError
from lepton_ai.runtime import Runtime
from lepton_ai.serving.errors import LateError, QueueFullError
from lepton_ai.serving.events import BatchRan
from lepton_ai.serving.line import Answer, Entry, Promise, Tensors, WaitingLine
from lepton_ai.serving.outbox import Outbox
from lepton_ai.serving.threads import Threads

_LOG = logging.getLogger("lepton_ai.serving")
_POINTER = 8  # bytes that even an empty request takes
_LONGEST_RETRY = 60  # seconds
_QUICK = 0.0003  # seconds that a batch may keep the event loop from everything else


class _Batch(NamedTuple):
    """What came of a batch: an outcome for each entry, and the merged tensors for those who watch; times in seconds."""

    outcomes: Sequence[Tensors | BaseException | None]
    inputs: Tensors
    outputs: Tensors
    merging: float
    running: float
    splitting: float


class Batcher:
    """Queues requests for one runtime and computes them in batches.

    `instances` batches are computed at a time, by as many threads (or by `executor`). `max_batch` counts rows; a
    request that is larger by itself runs alone, whole. `max_queue` waiting requests of together `max_queue_bytes` are
    the most. Requests are merged if their shapes agree beyond the first size, and only if the signature leaves the
    first size of every tensor free. `batch_seconds` is how long a full batch takes, if that is known: what is shorter
    than handing it over is computed on the loop. `clock` is what deadlines are compared with (seconds).
    """

    def __init__(
        self,
        runtime: Runtime,
        *,
        name: str = "model",
        version: str = "1",
        instances: int = 1,
        max_batch: int = 64,
        max_queue: int = 1024,
        max_queue_bytes: int = 2**29,
        executor: Executor | None = None,
        batch_seconds: float = math.inf,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.batches = Channel[BatchRan]()
        self.outbox = Outbox()  # through which its answers leave, if they leave by HTTP
        self._runtime, self._name, self._version, self._clock = runtime, name, version, clock
        self._merges = _has_free_batch(runtime.signature)
        self._max_batch = max_batch if self._merges else 1
        self._threads = executor or Threads(instances, f"lepton-{name}")
        self._batch_seconds = self._lately = batch_seconds
        self._varying = [spec.name for spec in runtime.signature.inputs if -1 in spec.shape[1:]]
        self._counted = runtime.signature.inputs[0].name
        self._line = WaitingLine(max_count=max_queue, max_bytes=max_queue_bytes)
        self._instances = self._free = instances
        self._before = 0.0  # seconds of the last run
        self._pace = 0.0  # seconds a row, smoothed
        self._scheduled = False
        self._closing: asyncio.Event | None = None

    @property
    def waiting(self) -> int:
        """How many requests wait."""
        return len(self._line)

    @property
    def waiting_bytes(self) -> int:
        """How many bytes the waiting requests weigh together."""
        return self._line.bytes

    @property
    def running(self) -> int:
        """How many batches are computed now."""
        return self._instances - self._free

    async def infer(
        self,
        feed: Tensors,
        *,
        gone: Callable[[], bool] | None = None,
        priority: int = 0,
        deadline: float = math.inf,
    ) -> Answer:
        """The outputs for `feed`, for those who wait in a task; see `submit`.

        Raises: what `submit` raises; DisconnectedError if `gone`; LateError; and what the runtime raises.
        """
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self.submit(feed, future, gone=gone, priority=priority, deadline=deadline)
        return await future

    def submit(
        self,
        feed: Tensors,
        promise: Promise,
        *,
        gone: Callable[[], bool] | None = None,
        priority: int = 0,
        deadline: float = math.inf,
    ) -> None:
        """Let `feed`, which must fit the runtime's signature (`check_feed`), wait; `promise` is told what comes of it.

        `gone` is asked just before computing whether the answer has lost its reader. `priority` is 1 (first) to 10, 0
        the default. `deadline` is a time of the clock; whoever waits for the answer waits no longer than that.

        Raises: QueueFullError; UnavailableError if the server stops; LateError if it is too late already.
        """
        if self._closing is not None:
            raise UnavailableError("the server is stopping")
        now = self._clock()
        if now >= deadline:
            raise LateError("the deadline passed before the request could wait")
        rows = feed[self._counted].shape[0] if self._merges else 1
        key = tuple(feed[name].shape[1:] for name in self._varying) if self._varying else None
        size = _POINTER
        for array in feed.values():
            size += array.nbytes
        entry = Entry(feed, rows, key, promise, now, size=size, deadline=deadline, gone=gone)
        try:
            self._line.push(entry, priority, now=now)
        except QueueFullError as error:
            raise QueueFullError(str(error).partition(". Try")[0], retry_after=self._seconds_to_wait()) from None
        if self._free and not self._scheduled:
            # Not at once: what arrives in the same turn of the loop joins for free.
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._dispatch)
        if deadline != math.inf:
            timer = asyncio.get_running_loop().call_later(deadline - now, _expire, entry)
            promise.add_done_callback(lambda _: timer.cancel())

    async def close(self) -> None:
        """Refuse what comes, finish what waits, free the runtime."""
        if self._closing is None:
            self._closing = asyncio.Event()
            if self._free == self._instances and not self._line:
                self._closing.set()
        await self._closing.wait()
        self._threads.shutdown(wait=True)
        self._runtime.close()

    def _seconds_to_wait(self) -> int:
        seconds = self._line.rows * self._pace / self._instances
        return min(_LONGEST_RETRY, max(1, math.ceil(seconds)))

    def _dispatch(self) -> None:
        self._scheduled = False
        while self._free:
            now = self._clock()
            batch = self._line.take(self._max_batch, now=now)
            if not batch:
                break
            self._free -= 1
            if self._is_quick(batch):
                self._settle(batch, self._compute(batch), now)
                if self._line:  # others first have their turn of the loop
                    self._scheduled = True
                    asyncio.get_running_loop().call_soon(self._dispatch)
                break
            self._threads.submit(self._compute_aside, asyncio.get_running_loop(), batch, now)
        if self._closing is not None and self._free == self._instances and not self._line:
            self._closing.set()

    def _is_quick(self, batch: Sequence[Entry]) -> bool:
        rows = sum(entry.rows for entry in batch)
        return self._lately < _QUICK and rows <= self._max_batch

    def _compute(self, batch: Sequence[Entry]) -> _Batch:
        """On the loop, or in another thread."""
        started = time.perf_counter()
        merged = ran = started
        try:
            inputs = batch[0].feed if len(batch) == 1 else _merge([entry.feed for entry in batch])
            merged = ran = time.perf_counter()
            outputs = self._runtime.run(inputs)
            ran = time.perf_counter()
            outcomes: Sequence[Tensors | BaseException | None]
            outcomes = [outputs] if len(batch) == 1 else _split(outputs, [entry.rows for entry in batch])
        except BaseException as error:
            inputs = outputs = {}
            outcomes = [error] if len(batch) == 1 else [self._alone(entry) for entry in batch]
            ran = time.perf_counter()
        return _Batch(outcomes, inputs, outputs, merged - started, ran - merged, time.perf_counter() - ran)

    def _alone(self, entry: Entry) -> Tensors | BaseException | None:
        if entry.future.done():
            return None
        try:
            return self._runtime.run(entry.feed)
        except BaseException as error:
            return error

    def _compute_aside(self, loop: asyncio.AbstractEventLoop, entries: Sequence[Entry], started: float) -> None:
        """In another thread."""
        batch = self._compute(entries)
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(self._finish, entries, batch, started)

    def _finish(self, entries: Sequence[Entry], batch: _Batch, started: float) -> None:
        """Back on the loop."""
        self._settle(entries, batch, started)
        self._dispatch()

    def _settle(self, entries: Sequence[Entry], batch: _Batch, started: float) -> None:
        self._free += 1
        seconds = batch.merging + batch.running + batch.splitting
        failed = sum(isinstance(outcome, BaseException) for outcome in batch.outcomes)
        rows = sum(entry.rows for entry in entries)
        self._pace += 0.2 * (seconds / max(1, rows) - self._pace)
        # Smaller batches say nothing about full ones; slower ones do, until they are quick again. One alone does not:
        # the machine was busy with something else for a moment, which a thread would not have been spared either.
        self._lately = max(self._batch_seconds, 0.9 * self._lately + 0.1 * min(batch.running, self._before))
        self._before = batch.running
        self.batches.emit(
            BatchRan(
                model=self._name,
                version=self._version,
                requests=len(entries),
                rows=rows,
                seconds=seconds,
                merge_seconds=batch.merging,
                split_seconds=batch.splitting,
                failed=failed,
                inputs=batch.inputs,
                outputs=batch.outputs,
            )
        )
        with self.outbox:
            for entry, outcome in zip(entries, batch.outcomes, strict=True):
                promise = entry.future
                if promise.done() or outcome is None:
                    continue
                try:
                    if isinstance(outcome, BaseException):
                        promise.set_exception(outcome)
                    else:
                        promise.set_result(Answer(outcome, started - entry.arrived, seconds))
                except Exception as error:  # whoever cannot take an answer must not keep the others from theirs
                    _LOG.error("an answer was not taken", exc_info=error)


def _expire(entry: Entry) -> None:
    if not entry.future.done():
        entry.future.set_exception(LateError("the deadline passed before the answer was there"))


def _has_free_batch(signature: Signature) -> bool:
    return all(spec.shape and spec.shape[0] == -1 for spec in (*signature.inputs, *signature.outputs))


def _merge(feeds: Sequence[Tensors]) -> Tensors:
    return {name: np.concatenate([feed[name] for feed in feeds]) for name in feeds[0]}


def _split(outputs: Tensors, rows: Sequence[int]) -> list[Tensors]:
    """Each request's own rows. A model that gives another number of rows than it took must not be merged."""
    total = sum(rows)
    for name, array in outputs.items():
        if array.shape[:1] != (total,):
            raise LeptonError(f"output {name!r} has shape {list(array.shape)} for {total} rows")
    parts: list[Tensors] = []
    start = 0
    for count in rows:
        parts.append({name: array[start : start + count] for name, array in outputs.items()})
        start += count
    return parts
