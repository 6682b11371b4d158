"""The waiting line of a batcher: who goes next, and with whom. It holds no clock and no event loop.

Entries stand in one heap for each shape, ordered by when they came and by their priority: one level of priority is
worth `PATIENCE` seconds of waiting. So a first-class request overtakes what came shortly before it, but nobody
is overtaken for ever: whoever has waited long enough is first, whatever comes.
"""

import heapq
import math
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import msgspec

from lepton_ai.bundle import Array
from lepton_ai.serving.errors import DisconnectedError, LateError, QueueFullError

Tensors = Mapping[str, Array]

PATIENCE = 0.1
DEFAULT_PRIORITY = 5
_SKIPPED = 16  # so many that do not fit into the rest of a batch are passed over before it leaves


class Answer(msgspec.Struct, gc=False):
    """One request's outputs, and how long it waited and was computed."""

    outputs: Tensors
    queue_seconds: float
    compute_seconds: float


class Promise(Protocol):
    """Whoever waits for an answer: an `asyncio.Future`, or one who needs no task.

    It is told once. Of an error it passes on the news in a later turn of the event loop only: the line may be who says
    so, and is not to be changed meanwhile.
    """

    def done(self) -> bool:
        """Whether it was told, or waits no more."""

    def set_result(self, result: Answer, /) -> None:
        """The answer."""

    def set_exception(self, exception: BaseException, /) -> None:
        """Why there is none."""

    def add_done_callback(self, callback: Callable[[Any], object], /) -> None:
        """Call this once it is done."""


class Entry(msgspec.Struct, eq=False):
    """A request that waits. `size` is in bytes, `key` is what its batch must share, times are the line's owner's."""

    feed: Tensors
    rows: int
    key: object
    future: Promise
    arrived: float
    size: int = 0
    deadline: float = math.inf
    gone: Callable[[], bool] | None = None

    def is_dead(self, now: float) -> bool:
        """Whether computing it would be for nobody; its future then says why."""
        if self.future.done():
            return True
        if now >= self.deadline:
            self.future.set_exception(LateError("the deadline passed while the request waited"))
            return True
        if self.gone is not None and self.gone():
            self.future.set_exception(DisconnectedError("the client is gone"))
            return True
        return False


_Item = tuple[float, int, Entry]


class WaitingLine:
    """At most `max_count` entries of together `max_bytes`."""

    def __init__(self, *, max_count: int, max_bytes: int) -> None:
        self._max_count, self._max_bytes = max_count, max_bytes
        self._heaps: dict[object, list[_Item]] = {}
        self._number = self._count = self._bytes = 0

    def __len__(self) -> int:
        return self._count

    @property
    def bytes(self) -> int:
        """What the entries weigh together."""
        return self._bytes

    @property
    def rows(self) -> int:
        """Rows of all entries."""
        return sum(item[2].rows for heap in self._heaps.values() for item in heap)

    def push(self, entry: Entry, priority: int = 0, *, now: float) -> None:
        """Let it wait. `priority` is 1 (first) to 10; 0 is the default, 5.

        Raises: QueueFullError if there is no room, not even after those were dropped whom nobody waits for.
        """
        if self._count >= self._max_count or self._bytes + entry.size > self._max_bytes:
            self._drop_dead(now)
            if self._count >= self._max_count:
                raise QueueFullError(f"{self._max_count} requests wait already")
            if self._bytes + entry.size > self._max_bytes and self._count:
                raise QueueFullError(f"requests of {self._bytes} bytes wait already")
        rank = entry.arrived + PATIENCE * ((priority or DEFAULT_PRIORITY) - DEFAULT_PRIORITY)
        self._number += 1
        heapq.heappush(self._heaps.setdefault(entry.key, []), (rank, self._number, entry))
        self._count += 1
        self._bytes += entry.size

    def take(self, max_rows: int, *, now: float) -> list[Entry]:
        """The first living entry and those of its shape that fit with it into `max_rows`, in order.

        An entry that is larger by itself goes alone, whole. Empty if nobody alive waits.
        """
        while self._heaps:
            heap = min(self._heaps.values(), key=_first) if len(self._heaps) > 1 else next(iter(self._heaps.values()))
            key = heap[0][2].key
            batch: list[Entry] = []
            skipped: list[_Item] = []
            rows = 0
            while heap and rows < max_rows and len(skipped) < _SKIPPED:
                item = heapq.heappop(heap)
                entry = item[2]
                if entry.is_dead(now):
                    self._forget(entry)
                elif not batch or rows + entry.rows <= max_rows:
                    batch.append(entry)
                    rows += entry.rows
                    self._forget(entry)
                else:
                    skipped.append(item)
            for item in skipped:
                heapq.heappush(heap, item)
            if not heap:
                del self._heaps[key]
            if batch:
                return batch
        return []

    def _forget(self, entry: Entry) -> None:
        self._count -= 1
        self._bytes -= entry.size

    def _drop_dead(self, now: float) -> None:
        for key, heap in list(self._heaps.items()):
            living = [item for item in heap if not item[2].is_dead(now)]
            if len(living) < len(heap):
                heapq.heapify(living)
                self._count -= len(heap) - len(living)
                self._bytes -= sum(item[2].size for item in heap) - sum(item[2].size for item in living)
                if living:
                    self._heaps[key] = living
                else:
                    del self._heaps[key]


def _first(heap: list[_Item]) -> tuple[float, int]:
    return heap[0][:2]
