"""The order of rows, cut into batches and shared among workers."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from lepton_ai.core import ConfigError
from lepton_ai.data.foreign import Batches
from lepton_ai.data.source import Batch, Indexed
from lepton_ai.data.tree import leaves, map_tree
from lepton_ai.rng import permutation

_MOST = 2**31 - 1  # positions are int32


class Loader:
    """Batches of `source` for one worker (`rank` of `world`).

    An epoch of an indexed source is one pass with a partial last batch, or `steps` batches, however many passes that
    takes. Its order is a pure function of (seed, epoch): each pass is a fresh permutation, or rows as they lie. Batch
    s covers the positions from s * batch_size; each worker gets a contiguous slice of it, in sizes as
    `numpy.array_split`, so that all workers together see what one would see. A slice may hold no rows.

    `Batches` come as they are, sliced in the same way; `batch_size` counts for an IterableDataset only.
    `steps_per_epoch` is None where their number is unknown.

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
    ) -> None:
        for name, value in (("batch_size", batch_size), ("steps", steps), ("world", world)):
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise ConfigError(at=f"Loader.{name}", got=value, expected="a positive int")
        if not 0 <= rank < world:
            raise ConfigError(at="Loader.rank", got=rank, expected=f"0 to {world - 1}")
        self.source = source
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = seed
        self.rank = rank
        self.world = world
        self._end = 0
        if isinstance(source, Batches):
            self._steps = steps
            self._running: Iterator[Any] | None = None
            self.steps_per_epoch = steps if steps is not None else source.steps(batch_size)
            return
        self._end = len(source) if steps is None else steps * batch_size
        if self._end > _MOST:
            raise ConfigError(
                at="Loader", got=self._end, expected=f"at most {_MOST} rows in an epoch", fix="Lower steps."
            )
        self.steps_per_epoch = -(-self._end // batch_size)

    def share(self, rank: int, world: int) -> "Loader":
        """The same batches, for worker `rank` of `world`."""
        steps = None if isinstance(self.source, Indexed) and self._end == len(self.source) else self.steps_per_epoch
        return Loader(
            self.source,
            self.batch_size,
            shuffle=self.shuffle,
            seed=self.seed,
            steps=steps,
            rank=rank,
            world=world,
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
        if isinstance(self.source, Batches):
            return self._foreign(self.source, start)
        return self._indexed(self.source, epoch, start)

    def _indexed(self, source: Indexed, epoch: int, start: int) -> Iterator[Batch]:
        order = _Order(len(source), epoch, self._end, seed=self.seed if self.shuffle else None)
        for first in range(start * self.batch_size, self._end, self.batch_size):
            rows = min(self.batch_size, self._end - first)
            low, high = _slice(rows, self.rank, self.world)
            indices = torch.from_numpy(order.rows(first + low, first + high))
            x, y, weight = source.fetch(indices)
            positions = torch.arange(first + low, first + high, dtype=torch.int32)
            yield Batch(x, y, weight, positions, rows)

    def _foreign(self, source: Batches, start: int) -> Iterator[Batch]:
        first = 0
        for number, (x, y, weight) in enumerate(self._flow(source)):
            rows = int(next(leaves(x, "x"))[1].shape[0])
            if number >= start:
                low, high = _slice(rows, self.rank, self.world)
                positions = torch.arange(first + low, first + high, dtype=torch.int32)
                mine = slice(low, high)
                yield Batch(_cut(x, mine), _cut(y, mine), _cut(weight, mine), positions, rows)
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

    def __init__(self, size: int, epoch: int, end: int, *, seed: int | None) -> None:
        self._size, self._seed = size, seed
        # Epochs of several passes take the numbers after one another, so no two passes share an order.
        self._first_pass = epoch * -(-end // size)
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
            self._permutation = permutation(seed, self._first_pass + number, self._size)
            self._held = number
        return self._permutation


def _cut(tree: Any, rows: slice) -> Any:
    return map_tree(lambda tensor: tensor[rows], tree)


def _slice(rows: int, rank: int, world: int) -> tuple[int, int]:
    """Where the part of `rank` begins and ends: the first `rows % world` parts hold one row more."""
    size, more = divmod(rows, world)
    low = rank * size + min(rank, more)
    return low, low + size + (rank < more)
