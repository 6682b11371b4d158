"""The order of rows, cut into batches and shared among workers."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lepton_ai.core import ConfigError
from lepton_ai.data.foreign import Batches
from lepton_ai.data.source import Batch, Indexed
from lepton_ai.data.stream import Rows, Stream, count, regroup
from lepton_ai.data.tree import leaves, map_tree

_MOST = 2**31 - 1  # positions are int32


class Loader:
    """Batches of `source` for one worker (`rank` of `world`).

    An epoch of an indexed source is one pass with a partial last batch, or `steps` batches, however many passes that
    takes. Its order is a pure function of (seed, epoch): each pass is a fresh permutation, or rows as they lie. Batch
    s covers the positions from s * batch_size; each worker gets a contiguous slice of it, in sizes as
    `numpy.array_split`, so that all workers together see what one would see. A slice may hold no rows. With `pairs`
    no cut separates the even position p from p + 1. With `shards`, a multiple of `world`, a batch is cut into so many
    parts, and each worker gets as many of them, in their order.

    `Batches` come as they are, sliced in the same way; `batch_size` counts for an IterableDataset only.
    `steps_per_epoch` is None where their number is unknown. A `Stream` is cut into batches of `batch_size`; with
    `steps` its passes follow each other without an end, and each epoch goes on where the last one stopped.

    Raises: ConfigError for sizes below 1 or a rank outside the world.

    Example:
        >>> from lepton_ai.data import Arrays
        >>> loader = Loader(Arrays([0, 1, 2, 3, 4]), batch_size=2, rank=1, world=2)
        >>> [(batch.x.tolist(), batch.positions.tolist(), batch.global_rows) for batch in loader.epoch(0)]
        [([1], [1], 2), ([3], [3], 2), ([], [], 1)]
    """

    def __init__(
        self,
        source: Indexed | Batches,
        batch_size: int,
        *,
        shuffle: bool = False,
        seed: int = 0,
        steps: int | None = None,
        rank: int = 0,
        world: int = 1,
        pairs: bool = False,
        shards: int | None = None,
    ) -> None:
        for name, value in (("batch_size", batch_size), ("steps", steps), ("world", world)):
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise ConfigError(at=f"Loader.{name}", got=value, expected="a positive int")
        if not 0 <= rank < world:
            raise ConfigError(at="Loader.rank", got=rank, expected=f"0 to {world - 1}")
        if shards is not None and (shards < 1 or shards % world):
            raise ConfigError(at="Loader.shards", got=shards, expected=f"a multiple of world={world}")
        self.source = source
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = seed
        self.rank = rank
        self.world = world
        self.pairs = pairs
        self.shards = shards
        self._end = 0
        self._steps = steps
        self._running: Iterator[Any] | None = None
        self._next_row = -1  # of an endless stream: where `_running` stands
        if isinstance(source, Batches):
            self.steps_per_epoch = steps if steps is not None else source.steps(batch_size)
            return
        self._end = len(source) if steps is None else steps * batch_size
        if self._end > _MOST:
            raise ConfigError(
                at="Loader", got=self._end, expected=f"at most {_MOST} rows in an epoch", fix="Lower steps."
            )
        self.steps_per_epoch = -(-self._end // batch_size)

    def share(self, rank: int, world: int, shards: int | None = None) -> "Loader":
        """The same batches, for worker `rank` of `world`."""
        return Loader(
            self.source,
            self.batch_size,
            shuffle=self.shuffle,
            seed=self.seed,
            steps=self._steps,
            rank=rank,
            world=world,
            pairs=self.pairs,
            shards=shards,
        )

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of `epoch` from number `start` on; those before cost nothing (except of `Batches`).

        Raises: ConfigError if `start` is negative or beyond the epoch.
        """
        last = self.steps_per_epoch
        if start < 0 or (last is not None and start > last):
            raise ConfigError(
                at="Loader.epoch.start", got=start, expected=f"0 to {'the end' if last is None else last}"
            )
        if isinstance(self.source, Stream):
            return self._streamed(self.source, epoch, start)
        if isinstance(self.source, Batches):
            return self._foreign(self.source, start)
        return self._indexed(self.source, epoch, start)

    def _indexed(self, source: Indexed, epoch: int, start: int) -> Iterator[Batch]:
        order = _Order(source, epoch, self._end, seed=self.seed if self.shuffle else None)

        def indices(first: int) -> Tensor:
            low, high = self._slice(first, min(self.batch_size, self._end - first))
            return torch.from_numpy(order.rows(first + low, first + high))

        firsts = range(start * self.batch_size, self._end, self.batch_size)
        wanted = map(indices, firsts)
        parts: Iterator[Rows] = _ahead(source, wanted) if source.prefetch else map(source.fetch, wanted)
        for first, (x, y, weight) in zip(firsts, parts, strict=True):
            rows = min(self.batch_size, self._end - first)
            low, high = self._slice(first, rows)
            positions = torch.arange(first + low, first + high, dtype=torch.int32)
            yield Batch(x, y, weight, positions, rows, self._cuts(first, rows))

    def _streamed(self, source: Stream, epoch: int, start: int) -> Iterator[Batch]:
        first = start * self.batch_size
        seed = self.seed if self.shuffle else None
        if self._steps is None:
            flow = regroup(source.rows(epoch, first, seed), self.batch_size)
        else:
            flow = self._endless(source, epoch * self._steps * self.batch_size + first, self._steps - start, seed)
        for whole in flow:
            rows = count(whole)
            if first + rows > _MOST:
                raise ConfigError(at="Loader", expected=f"at most {_MOST} rows in an epoch", fix="Pass steps.")
            low, high = self._slice(first, rows)
            x, y, weight = (_cut(part, slice(low, high)) for part in whole)
            positions = torch.arange(first + low, first + high, dtype=torch.int32)
            yield Batch(x, y, weight, positions, rows, self._cuts(first, rows))
            first += rows

    def _endless(self, source: Stream, begin: int, steps: int, seed: int | None) -> Iterator[Rows]:
        """`steps` batches from row `begin` of all passes in a row; goes on with what is open, if it stands there."""
        if self._running is None or self._next_row != begin:
            self._running, self._next_row = regroup(source.endless(begin, seed), self.batch_size), begin
        for _ in range(steps):
            self._next_row = -1  # should reading fail, nothing is left to go on with
            whole = next(self._running)
            begin += self.batch_size
            self._next_row = begin
            yield whole

    def _slice(self, first: int, rows: int) -> tuple[int, int]:
        """Where this worker's part of the batch of `rows` from position `first` on begins and ends."""
        if self.shards is None:
            return self._part(first, rows, self.rank, self.world)
        cuts = self._whole_cuts(first, rows)
        return cuts[0], cuts[-1]

    def _cuts(self, first: int, rows: int) -> tuple[int, ...]:
        """Where this worker's shards begin in its own part, and the last one ends."""
        if self.shards is None:
            return ()
        cuts = self._whole_cuts(first, rows)
        return tuple(cut - cuts[0] for cut in cuts)

    def _whole_cuts(self, first: int, rows: int) -> list[int]:
        assert self.shards is not None
        mine = range(self.rank * self.shards // self.world, (self.rank + 1) * self.shards // self.world)
        found = [self._part(first, rows, each, self.shards) for each in mine]
        return [*(low for low, _ in found), found[-1][1]]

    def _part(self, first: int, rows: int, part: int, parts: int) -> tuple[int, int]:
        if not self.pairs:
            return _slice(rows, part, parts)
        begin = first // 2  # whole pairs, of which the batch may hold one half at either end
        cuts = _slice(-(-(first + rows) // 2) - begin, part, parts)
        low, high = (max(0, min(rows, 2 * (begin + cut) - first)) for cut in cuts)
        return low, high

    def _foreign(self, source: Batches, start: int) -> Iterator[Batch]:
        first = 0
        for number, (x, y, weight) in enumerate(self._flow(source)):
            rows = int(next(leaves(x, "x"))[1].shape[0])
            if number >= start:
                low, high = self._slice(first, rows)
                positions = torch.arange(first + low, first + high, dtype=torch.int32)
                mine = slice(low, high)
                cuts = self._cuts(first, rows)
                yield Batch(_cut(x, mine), _cut(y, mine), _cut(weight, mine), positions, rows, cuts)
            first += rows

    def _flow(self, source: Batches) -> Iterator[tuple[Any, Any, Any]]:
        """One pass; or `steps` batches that go on where the last epoch stopped, pass after pass."""
        if self._steps is None:
            yield from source.run(self.batch_size)
            return
        for _ in range(self._steps):
            batch = None if self._running is None else next(self._running, None)
            if batch is None:
                self._running = source.run(self.batch_size)
                batch = next(self._running)
            yield batch


class _Order:
    """The row at each position of one epoch; holds the permutation of one pass."""

    def __init__(self, source: Indexed, epoch: int, end: int, *, seed: int | None) -> None:
        self._source, self._size, self._seed = source, len(source), seed
        # Epochs of several passes take the numbers after one another, so no two passes share an order.
        self._first_pass = epoch * -(-end // self._size)
        self._held = -1
        self._permutation: npt.NDArray[np.int64] = np.empty(0, np.int64)

    def rows(self, first: int, last: int) -> npt.NDArray[np.int64]:
        """Rows at the positions from `first` up to `last`."""
        number, start = divmod(first, self._size)
        if self._seed is not None and start + last - first <= self._size:  # inside one pass, as most batches are
            return self._pass(self._seed, number)[start : start + last - first]
        positions = np.arange(first, last, dtype=np.int64)
        if self._seed is None:
            return positions % self._size
        parts = [positions[:0]]
        for number in range(first // self._size, -(-last // self._size)):
            inside = positions[(positions // self._size) == number] - number * self._size
            parts.append(self._pass(self._seed, number)[inside])
        return np.concatenate(parts)

    def _pass(self, seed: int, number: int) -> npt.NDArray[np.int64]:
        if self._held != number:
            self._permutation = self._source.order(seed, self._first_pass + number)
            self._held = number
        return self._permutation


def _ahead(source: Indexed, wanted: Iterator[Tensor]) -> Iterator[Rows]:
    """What `source` fetches for each of `wanted`, in order, `source.prefetch` batches ahead of the reader."""
    with ThreadPoolExecutor(1, thread_name_prefix="lepton-fetch") as pool:
        waiting: deque[Future[Rows]] = deque()
        try:
            for indices in wanted:
                waiting.append(pool.submit(source.fetch, indices))
                if len(waiting) > source.prefetch:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _cut(tree: Any, rows: slice) -> Any:
    return map_tree(lambda tensor: tensor[rows], tree)


def _slice(rows: int, rank: int, world: int) -> tuple[int, int]:
    """Where the part of `rank` begins and ends: the first `rows % world` parts hold one row more."""
    size, more = divmod(rows, world)
    low = rank * size + min(rank, more)
    return low, low + size + (rank < more)
