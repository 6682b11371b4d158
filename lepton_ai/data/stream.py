"""Rows that come in shards and can only be read in order: files, parts of a query, pieces of an archive."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lepton_ai.core import ConfigError, DataError, ShapeError
from lepton_ai.data.arrays import Arrays
from lepton_ai.data.foreign import Batches, unpack
from lepton_ai.data.tree import leaves, map_tree
from lepton_ai.rng import derive, permutation

Rows = tuple[Any, Any, Tensor | None]
"""x, y and weight of some rows; x and y may be nests."""

_PIECE = 1024  # rows of a shuffled block that are copied at a time


class Stream(Batches):
    """A list of `shards`, each read by `read(shard, start)`: an iterator over its rows from row `start` on, as `x`,
    `(x, y)` or `(x, y, weight)` with any number of rows at a time.

    The order is a pure function of (seed, pass): the shards are shuffled, their rows are cut into blocks of `buffer`
    rows, and each block is shuffled. A row's position in it is therefore where a resumed run goes on, and any number
    of workers sees the same batches; each worker reads all rows and takes its slice. At most two blocks are in memory.
    Rows of one shard stay within a block of each other: a shard that holds a single class mixes no further than that.

    `lengths` are the rows of each shard, None where unknown. To start at a position, whole shards are skipped where
    their lengths are known, or were learnt by reading them; else they are read. Shards must give the same rows each
    time. `labels` and `names` are as those of `Indexed`.

    Raises: ConfigError for no shards, a buffer below 1, lengths that do not fit; while reading: DataError for no rows
    or another number than `lengths` says, ShapeError for rows of different shapes.

    Example:
        >>> def read(shard, start):
        ...     for row in range(shard + start, shard + 3):
        ...         yield torch.tensor([row]), torch.tensor([row % 2])
        >>> stream = Stream([0, 3], read, buffer=4)
        >>> [x.tolist() for x, _, _ in stream.rows(0, 0, None)]
        [[0], [1], [2], [3], [4], [5]]
        >>> [x.tolist() for x, _, _ in stream.rows(0, 0, seed=1)]
        [[0, 3, 1, 2], [4, 5]]
    """

    def __init__(
        self,
        shards: Sequence[Any],
        read: Callable[[Any, int], Iterable[Any]],
        *,
        lengths: Sequence[int | None] | None = None,
        buffer: int = 10_000,
        labels: Sequence[str] = (),
        names: Sequence[str] = (),
    ) -> None:
        self.shards = tuple(shards)
        if not self.shards:
            raise ConfigError("no shards", at="Stream", fix="Give at least one.")
        if isinstance(buffer, bool) or not isinstance(buffer, int) or buffer < 1:
            raise ConfigError(at="Stream.buffer", got=buffer, expected="a positive int: rows shuffled at a time")
        if lengths is not None and len(lengths) != len(self.shards):
            raise ConfigError(
                at="Stream.lengths", got=len(lengths), expected=f"one for each of {len(self.shards)} shards"
            )
        self.read = read
        self.buffer = buffer
        self.labels, self.names = tuple(labels), tuple(names)
        self._lengths: list[int | None] = list(lengths) if lengths is not None else [None] * len(self.shards)

    @property
    def lengths(self) -> tuple[int | None, ...]:
        """Rows in each shard; None where unknown so far."""
        return tuple(self._lengths)

    @property
    def length(self) -> int | None:
        """Rows in one pass; None while a shard's is unknown."""
        known = [length for length in self._lengths if length is not None]
        return sum(known) if len(known) == len(self._lengths) else None

    def steps(self, batch_size: int) -> int | None:
        return None if self.length is None else -(-self.length // batch_size)

    def peek(self, batch_size: int) -> Rows:
        return next(self.run(batch_size))

    def run(self, batch_size: int) -> Iterator[Rows]:
        """One pass, in the order of the shards."""
        return regroup(self.rows(0, 0, None), batch_size)

    def head(self, rows: int) -> Arrays:
        """The first rows, in memory: what a schema or a profile is made of."""
        x, y, weight = self.peek(rows)
        source = Arrays(x, y, weight, texts=True)
        source.labels, source.names = self.labels, self.names
        return source

    def rows(self, number: int, start: int, seed: int | None) -> Iterator[Rows]:
        """Pass `number` from position `start` on, in pieces; with `seed` shuffled, else as the rows lie."""
        if seed is None:
            yield from self._raw(range(len(self.shards)), start)
            return
        order = permutation(derive(seed, "shards"), number, len(self.shards)).tolist()
        block, skip = divmod(start, self.buffer)
        key = derive(seed, "blocks", number)
        for whole in regroup(self._raw(order, block * self.buffer), self.buffer):
            places = torch.from_numpy(permutation(key, block, count(whole))[skip:])
            for piece in torch.split(places, _PIECE):
                if len(piece):
                    yield tuple(map_tree(lambda leaf, piece=piece: _take(leaf, piece), part) for part in whole)  # type: ignore[misc]
            block, skip = block + 1, 0

    def endless(self, start: int, seed: int | None) -> Iterator[Rows]:
        """All passes after one another, from row `start` of the first on."""
        number = 0
        while True:
            if self.length:
                skipped, start = divmod(start, self.length)
                number += skipped
            yield from self.rows(number, start, seed)
            # A pass that ended before `start` was read for its lengths alone: now they are known, begin again.
            assert self.length is not None, "a whole pass was read, and its rows were not counted"
            if start < self.length:
                number, start = number + 1, 0

    def _raw(self, shards: Iterable[int], start: int) -> Iterator[Rows]:
        """The rows of `shards` in that order, from row `start` of them on."""
        left, seen = start, False
        shape: tuple[Any, ...] | None = None
        for shard in shards:
            length = self._lengths[shard]
            if length is not None and left >= length:
                left -= length
                continue
            # Where the length is unknown, a start beyond the end would not tell how far: read from the first row.
            begin = left if length is not None else 0
            for rows in self._read(shard, begin):
                seen = True
                shape = self._same_shape(shard, rows, shape)
                size = count(rows)
                drop = 0 if length is not None else min(left, size)
                left -= drop
                if drop < size:
                    yield _cut(rows, drop, size)
            left = 0 if length is not None else left
        if not seen and (start == 0 or self.length == 0):
            raise DataError(f"no rows in {len(self.shards)} shards", at="Stream")

    def _read(self, shard: int, begin: int) -> Iterator[Rows]:
        """The rows of one shard; learns, or checks, how many there are."""
        at = begin
        for batch in self.read(self.shards[shard], begin):
            rows = unpack(batch)
            at += count(rows)
            yield rows
        expected = self._lengths[shard]
        if expected is not None and at != expected:
            raise DataError(f"{at} rows", at=f"Stream, shard {self._name(shard)}", expected=f"{expected}")
        self._lengths[shard] = at

    def _same_shape(self, shard: int, rows: Rows, known: tuple[Any, ...] | None) -> tuple[Any, ...]:
        named = [*leaves(rows[0], "x"), *leaves(rows[1], "y"), *leaves(rows[2], "sample_weight")]
        found = tuple((at, str(leaf.dtype).removeprefix("torch."), tuple(leaf.shape[1:])) for at, leaf in named)
        if known is not None and found != known:
            here, before = next(((a, b) for a, b in zip(found, known, strict=False) if a != b), (found, known))
            raise ShapeError(at=f"Stream, shard {self._name(shard)}", got=here, expected=f"{before}, as before")
        return found

    def _name(self, shard: int) -> str:
        text = repr(self.shards[shard])
        return text if len(text) <= 80 else f"{shard} of {len(self.shards)}"


def count(rows: Rows) -> int:
    """How many there are."""
    return len(next(leaves(rows[0], "x"))[1])


def regroup(chunks: Iterable[Rows], size: int) -> Iterator[Rows]:
    """The same rows, `size` at a time; the last may be fewer."""
    held: list[Rows] = []
    rows = 0
    for chunk in chunks:
        held.append(chunk)
        rows += count(chunk)
        while rows >= size:
            last = held.pop()
            cut = count(last) - (rows - size)
            held.append(_cut(last, 0, cut))
            yield _join(held)
            rows -= size
            held = [_cut(last, cut, cut + rows)] if rows else []
    if held:
        yield _join(held)


def _join(parts: Sequence[Any]) -> Any:
    first = parts[0]
    if len(parts) == 1 or first is None:
        return first
    if isinstance(first, Mapping):
        return {key: _join([part[key] for part in parts]) for key in first}
    if isinstance(first, tuple):
        return tuple(_join(each) for each in zip(*parts, strict=True))
    return torch.cat(list(parts)) if isinstance(first, Tensor) else np.concatenate(parts)


def _cut(rows: Rows, low: int, high: int) -> Rows:
    x, y, weight = (map_tree(lambda leaf: leaf[low:high], part) for part in rows)
    return x, y, weight


def _take(leaf: Any, places: Tensor) -> Any:
    return leaf.index_select(0, places.to(leaf.device)) if isinstance(leaf, Tensor) else leaf[places.numpy()]
