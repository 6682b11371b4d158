"""Counters of each model and version, in one flat block of memory that other processes may map and add up.

One row of float64 for each (model, version): a label of `LABEL` bytes, then `WIDTH` numbers. Only one process writes a
row, so nothing needs a lock; whoever reads may be one request behind. The block has room for `ROWS` models; further
ones are counted together.
"""

import struct
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

Row: TypeAlias = "memoryview[float]"  # WIDTH long

ROWS = 256
LABEL = 256
OUTCOMES = ("ok", "invalid", "rejected", "late", "cancelled", "failed")
SECONDS = (
    0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0,
)  # fmt: skip
SIZES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0)

# Where a row holds what. Times are sums in seconds.
OK_SECONDS, FAIL_SECONDS, QUEUED, QUEUE_SECONDS = 6, 7, 8, 9
MERGE_SECONDS, RUN_SECONDS, SPLIT_SECONDS = 10, 11, 12
COMPUTED_ROWS, BATCHES, LAST_MILLISECONDS, WAITING = 13, 14, 15, 16
WAITING_BYTES, IN_FLIGHT, COMPUTE_SECONDS = 17, 18, 19
_REQUEST_HISTOGRAM = 24
_QUEUE_HISTOGRAM = _REQUEST_HISTOGRAM + len(SECONDS) + 1
_COMPUTE_HISTOGRAM = _QUEUE_HISTOGRAM + len(SECONDS) + 1
_BATCH_HISTOGRAM = _COMPUTE_HISTOGRAM + len(SECONDS) + 1
WIDTH = _BATCH_HISTOGRAM + len(SIZES) + 1
SIZE = ROWS * (LABEL + 8 * WIDTH)

_OTHERS = ("", "")  # the label of what has no row of its own

HISTOGRAMS = {
    "request": (_REQUEST_HISTOGRAM, SECONDS),
    "queue": (_QUEUE_HISTOGRAM, SECONDS),
    "compute": (_COMPUTE_HISTOGRAM, SECONDS),
    "batch": (_BATCH_HISTOGRAM, SIZES),
}


class Ledger:
    """The block. `memory` is shared with others, or else its own; it must be zero where nothing was counted."""

    def __init__(self, memory: memoryview | None = None) -> None:
        self.memory = memoryview(bytearray(SIZE)) if memory is None else memory
        self._rows: dict[tuple[str, str], Row] = {}
        for label, start in _labels(self.memory):  # of the process before, if it died
            self._rows[label] = row = _numbers(self.memory, start)
            row[WAITING] = row[WAITING_BYTES] = row[IN_FLIGHT] = 0.0

    def row(self, model: str, version: str) -> Row:
        """The row of a model's version, made if there is none."""
        row = self._rows.get((model, version))
        if row is None:
            label = (model, version) if len(self._rows) < ROWS - 1 else _OTHERS
            row = self._rows.get(label) or self._make(label)
            self._rows[label] = row
        return row

    def _make(self, label: tuple[str, str]) -> Row:
        start = len(self._rows) * (LABEL + 8 * WIDTH)
        text = "\0".join(label).encode()
        self.memory[start + 2 : start + 2 + len(text)] = text
        self.memory[start : start + 2] = struct.pack("<H", len(text))  # from now on others see it
        return _numbers(self.memory, start)


def outcome_of(status: int) -> int:
    """The place of an HTTP status among `OUTCOMES`."""
    if status == 200:
        return 0
    if status in (429, 503):
        return 2
    if status == 504:
        return 3
    if status == 499:
        return 4
    return 5 if status >= 500 else 1


def count_request(row: Row, status: int, seconds: float, queue_seconds: float, compute_seconds: float) -> None:
    """Count a finished request; the hot path's share of the work, so it is written out."""
    row[_REQUEST_HISTOGRAM + bisect_left(SECONDS, seconds)] += 1
    if status != 200:
        row[outcome_of(status)] += 1
        row[FAIL_SECONDS] += seconds
        return
    row[0] += 1
    row[OK_SECONDS] += seconds
    row[QUEUED] += 1
    row[QUEUE_SECONDS] += queue_seconds
    row[_QUEUE_HISTOGRAM + bisect_left(SECONDS, queue_seconds)] += 1
    row[COMPUTE_SECONDS] += compute_seconds
    row[_COMPUTE_HISTOGRAM + bisect_left(SECONDS, compute_seconds)] += 1


def count_batch(row: Row, rows: int, merging: float, running: float, splitting: float) -> None:
    """Count a computed batch; times in seconds."""
    row[BATCHES] += 1
    row[COMPUTED_ROWS] += rows
    row[MERGE_SECONDS] += merging
    row[RUN_SECONDS] += running
    row[SPLIT_SECONDS] += splitting
    row[_BATCH_HISTOGRAM + bisect_left(SIZES, rows)] += 1


def read_rows(memories: Iterable[memoryview]) -> dict[tuple[str, str], list[float]]:
    """The rows of several blocks, those of the same model and version added up (the last time: the latest)."""
    found: dict[tuple[str, str], list[float]] = {}
    for memory in memories:
        for label, start in _labels(memory):
            values = list(_numbers(memory, start))
            found[label] = _add(found[label], values) if label in found else values
    return found


def _labels(memory: memoryview) -> Iterator[tuple[tuple[str, str], int]]:
    """The model and version of every row, and where it begins."""
    for start in range(0, SIZE, LABEL + 8 * WIDTH):
        (length,) = struct.unpack_from("<H", memory, start)
        if not length:
            return
        model, _, version = bytes(memory[start + 2 : start + 2 + length]).decode("utf-8", "replace").partition("\0")
        yield (model, version), start


def _add(left: Sequence[float], right: Sequence[float]) -> list[float]:
    total = [one + other for one, other in zip(left, right, strict=True)]
    total[LAST_MILLISECONDS] = max(left[LAST_MILLISECONDS], right[LAST_MILLISECONDS])
    return total


def _numbers(memory: memoryview, start: int) -> Row:
    return memory[start + LABEL : start + LABEL + 8 * WIDTH].cast("d")


def quantile(counts: Sequence[float], edges: Sequence[float], share: float) -> float:
    """The value below which `share` of a histogram's counts lie, interpolated in its bucket; 0.0 if it is empty.

    Example:
        >>> quantile([0, 10, 0], [1.0, 2.0], 0.5)
        1.5
    """
    total = sum(counts)
    if not total:
        return 0.0
    wanted, passed = share * total, 0.0
    for index, count in enumerate(counts):
        if count and passed + count >= wanted:
            low = edges[index - 1] if index else 0.0
            high = edges[index] if index < len(edges) else edges[-1]
            return low + (high - low) * (wanted - passed) / count
        passed += count
    return edges[-1]
