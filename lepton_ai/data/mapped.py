"""Sources whose inputs are changed on the way: read as they are, given as a model takes them."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lepton_ai.data.arrays import Arrays
from lepton_ai.data.check import is_resident
from lepton_ai.data.foreign import Batches, unpack
from lepton_ai.data.source import Indexed
from lepton_ai.data.stream import Stream
from lepton_ai.data.tree import leaves

ROOM = 2**30  # bytes: counts over large vocabularies are wide, and most of them 0

Change = Callable[[Any], Any]
"""From the inputs of some rows to others of as many rows."""


def map_inputs(source: Indexed | Batches, change: Change) -> Indexed | Batches:
    """`source` with `change` applied to its inputs: all at once where they are in memory, so that training pays nothing
    for it; else, or where more than 1 GiB would come of it, batch by batch.

    Example:
        >>> map_inputs(Arrays([1.0, 2.0]), lambda x: x * 10).fetch(torch.tensor([1]))[0]
        tensor([20.])
    """
    if isinstance(source, Indexed) and is_resident(source) and _size(source, change) <= ROOM:
        if isinstance(source, Arrays):
            x, y, weight = source.x_all, source.y_all, source.weight_all
        else:
            x, y, weight = source.fetch(torch.arange(len(source)))
        whole = Arrays(change(x), y, weight)
        whole.labels = source.labels
        return whole
    if isinstance(source, Indexed):
        return Mapped(source, change)
    if isinstance(source, Stream):
        return _stream(source, change)
    return _MappedBatches(source, change)


def _size(source: Indexed, change: Change) -> int:
    """Bytes that all changed inputs take, if they are all as wide as the first row's."""
    first = change(source.fetch(torch.zeros(1, dtype=torch.int64))[0])
    return len(source) * sum(int(leaf.numel() * leaf.element_size()) for _, leaf in leaves(first, "x"))


class Mapped(Indexed):
    """A source by index whose batches are changed as they are fetched."""

    def __init__(self, source: Indexed, change: Change) -> None:
        self.source, self.change = source, change
        self.labels, self.prefetch = source.labels, source.prefetch

    def __len__(self) -> int:
        return len(self.source)

    def fetch(self, indices: Tensor) -> tuple[Any, Any, Tensor | None]:
        x, y, weight = self.source.fetch(indices)
        return self.change(x), y, weight

    def order(self, seed: int, number: int) -> npt.NDArray[np.int64]:
        return self.source.order(seed, number)

    @property
    def y_all(self) -> Any:
        return self.source.y_all

    @property
    def weight_all(self) -> Tensor | None:
        return self.source.weight_all


def _stream(source: Stream, change: Change) -> Stream:
    def read(shard: Any, start: int) -> Iterator[Any]:
        for rows in source.read(shard, start):
            x, y, weight = unpack(rows)
            yield change(x), y, weight

    return Stream(
        source.shards, read, lengths=source._lengths, buffer=source.buffer, labels=source.labels, names=source.names
    )


class _MappedBatches(Batches):
    def __init__(self, source: Batches, change: Change) -> None:
        self._source, self._change = source, change  # who made `source` was warned

    def steps(self, batch_size: int) -> int | None:
        return self._source.steps(batch_size)

    def peek(self, batch_size: int) -> tuple[Any, Any, Tensor | None]:
        x, y, weight = self._source.peek(batch_size)
        return self._change(x), y, weight

    def run(self, batch_size: int) -> Iterator[tuple[Any, Any, Tensor | None]]:
        for x, y, weight in self._source.run(batch_size):
            yield self._change(x), y, weight
