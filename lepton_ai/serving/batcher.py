"""The batcher. Its rule: when the runtime is free, take all that waits and fits together, and go. There is no timer.

A lone request is computed at once; under load the batch grows by itself to what arrived during the last one.
Each request is isolated: one that is cancelled, or whose client is gone, is dropped before it costs anything; when a
batch fails, its requests are computed one by one, so that only the bad one fails; a batch never mixes up its rows.

All of it runs on the event loop, except the computing, which runs in the executor. Not for use from other threads.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from lepton_ai.bundle import Array, Signature
from lepton_ai.core import Channel, LeptonError, RequestError, UnavailableError
from lepton_ai.runtime import Runtime
from lepton_ai.serving.events import BatchRan

Tensors = Mapping[str, Array]


class DisconnectedError(RequestError):
    """The client is gone; nobody will read the answer."""

    status = 499


class Answer(NamedTuple):
    """One request's outputs, and how long it waited and was computed."""

    outputs: Tensors
    queue_seconds: float
    compute_seconds: float


class _Entry:
    __slots__ = ("arrived", "feed", "future", "gone", "key", "rows")

    def __init__(
        self, feed: Tensors, rows: int, key: object, gone: Callable[[], bool] | None, future: asyncio.Future[Answer]
    ) -> None:
        self.feed, self.rows, self.key, self.gone, self.future = feed, rows, key, gone, future
        self.arrived = time.perf_counter()


class _Batch(NamedTuple):
    """What came of a batch: an outcome for each entry, and the merged tensors for those who watch."""

    outcomes: Sequence[Tensors | BaseException | None]
    inputs: Tensors
    outputs: Tensors
    seconds: float


class Batcher:
    """Queues requests for one runtime and computes them in batches.

    `max_batch` counts rows; a request that is larger by itself runs alone, whole. `max_queue` counts waiting requests.
    Requests are merged if their shapes agree beyond the first size, and only if the signature leaves the first size of
    every tensor free. `executor` computes (default: a thread of its own).
    """

    def __init__(
        self,
        runtime: Runtime,
        *,
        name: str = "model",
        version: str = "1",
        max_batch: int = 64,
        max_queue: int = 1024,
        executor: Executor | None = None,
    ) -> None:
        self.batches = Channel[BatchRan]()
        self._runtime, self._name, self._version = runtime, name, version
        self._max_batch, self._max_queue = max_batch, max_queue
        self._executor = executor or ThreadPoolExecutor(1, thread_name_prefix=f"lepton-{name}")
        self._merges = _has_free_batch(runtime.signature)
        self._varying = [spec.name for spec in runtime.signature.inputs if -1 in spec.shape[1:]]
        self._counted = runtime.signature.inputs[0].name
        self._queue: deque[_Entry] = deque()
        self._busy = False
        self._scheduled = False
        self._closing: asyncio.Event | None = None

    @property
    def waiting(self) -> int:
        """How many requests wait."""
        return len(self._queue)

    async def infer(self, feed: Tensors, *, gone: Callable[[], bool] | None = None) -> Answer:
        """The outputs for `feed`, which must fit the runtime's signature (`check_feed`).

        `gone` is asked just before computing whether the answer has lost its reader.

        Raises: UnavailableError if too many wait or the server stops; DisconnectedError if `gone`; and what the
        runtime raises.
        """
        if self._closing is not None:
            raise UnavailableError("the server is stopping")
        if len(self._queue) >= self._max_queue:
            self._drop_dead()
            if len(self._queue) >= self._max_queue:
                raise UnavailableError(f"{self._max_queue} requests wait already", fix="Try again in a moment.")
        loop = asyncio.get_running_loop()
        rows = feed[self._counted].shape[0] if self._merges else 1
        key = tuple(feed[name].shape[1:] for name in self._varying) if self._varying else None
        entry = _Entry(feed, rows, key, gone, loop.create_future())
        self._queue.append(entry)
        if not self._busy and not self._scheduled:
            # Not at once: what arrives in the same turn of the loop joins for free.
            self._scheduled = True
            loop.call_soon(self._dispatch)
        return await entry.future

    async def close(self) -> None:
        """Refuse what comes, finish what waits, free the runtime."""
        if self._closing is None:
            self._closing = asyncio.Event()
            if not self._busy and not self._queue:
                self._closing.set()
        await self._closing.wait()
        self._executor.shutdown(wait=True)
        self._runtime.close()

    def _dispatch(self) -> None:
        self._scheduled = False
        if self._busy:
            return
        batch = self._take()
        if batch:
            self._busy = True
            started = time.perf_counter()
            loop = asyncio.get_running_loop()
            job = self._executor.submit(self._compute, batch)
            job.add_done_callback(lambda done: loop.call_soon_threadsafe(self._finish, batch, done, started))
        elif self._closing is not None:
            self._closing.set()

    def _take(self) -> list[_Entry]:
        """The oldest living entry and all that fit with it, in order of arrival."""
        batch: list[_Entry] = []
        rest: list[_Entry] = []
        rows = 0
        while self._queue and rows < self._max_batch:
            entry = self._queue.popleft()
            if _is_dead(entry):
                continue
            if not batch:
                batch, rows = [entry], entry.rows
                if not self._merges:
                    break
            elif entry.key == batch[0].key and rows + entry.rows <= self._max_batch:
                batch.append(entry)
                rows += entry.rows
            else:
                rest.append(entry)
        self._queue.extendleft(reversed(rest))
        return batch

    def _drop_dead(self) -> None:
        self._queue = deque(entry for entry in self._queue if not _is_dead(entry))

    def _compute(self, batch: Sequence[_Entry]) -> _Batch:
        """In the executor's thread."""
        started = time.perf_counter()
        try:
            inputs = batch[0].feed if len(batch) == 1 else _merge([entry.feed for entry in batch])
            outputs = self._runtime.run(inputs)
            outcomes: Sequence[Tensors | BaseException | None]
            outcomes = [outputs] if len(batch) == 1 else _split(outputs, [entry.rows for entry in batch])
        except BaseException as error:
            inputs = outputs = {}
            outcomes = [error] if len(batch) == 1 else [self._alone(entry) for entry in batch]
        return _Batch(outcomes, inputs, outputs, time.perf_counter() - started)

    def _alone(self, entry: _Entry) -> Tensors | BaseException | None:
        if entry.future.cancelled():
            return None
        try:
            return self._runtime.run(entry.feed)
        except BaseException as error:
            return error

    def _finish(self, entries: Sequence[_Entry], job: Future[_Batch], started: float) -> None:
        """Back on the loop."""
        self._busy = False
        batch = job.result()
        failed = 0
        for entry, outcome in zip(entries, batch.outcomes, strict=True):
            failed += isinstance(outcome, BaseException)
            if entry.future.done():
                continue
            if isinstance(outcome, BaseException):
                entry.future.set_exception(outcome)
            elif outcome is not None:
                entry.future.set_result(Answer(outcome, started - entry.arrived, batch.seconds))
        self._dispatch()
        self.batches.emit(
            BatchRan(
                model=self._name,
                version=self._version,
                requests=len(entries),
                rows=sum(entry.rows for entry in entries),
                seconds=batch.seconds,
                failed=failed,
                inputs=batch.inputs,
                outputs=batch.outputs,
            )
        )


def _has_free_batch(signature: Signature) -> bool:
    return all(spec.shape and spec.shape[0] == -1 for spec in (*signature.inputs, *signature.outputs))


def _is_dead(entry: _Entry) -> bool:
    if entry.future.done():
        return True
    if entry.gone is not None and entry.gone():
        entry.future.set_exception(DisconnectedError("the client is gone"))
        return True
    return False


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
