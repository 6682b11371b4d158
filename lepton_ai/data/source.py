"""What a batch is, and what a source of rows promises."""

import abc
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lepton_ai.core import DataError
from lepton_ai.data.tree import map_tree
from lepton_ai.rng import permutation


class Batch(NamedTuple):
    """The rows that one worker computes in one step.

    `x` and `y` are tensors (batch first), tuples of them or dictionaries of them; `y` and `weight` (B,) float32
    may be None. `positions` (B,) int32 is each row's place in the epoch's global order: what random layers draw by.
    `global_rows` counts the rows of the whole batch over all workers. `cuts` are where this worker's shards begin, and
    the last one ends, if the loader was asked for shards.
    """

    x: Any
    y: Any
    weight: Tensor | None
    positions: Tensor
    global_rows: int
    cuts: tuple[int, ...] = ()


class Indexed(abc.ABC):
    """A source with a length that fetches batches by index.

    `fetch` gets int64 indices (B,), in any order, repeated or none at all, and answers `(x, y, weight)` with B rows,
    the same each time. `labels` names the classes of `y` and `names` the columns of `x`, where the source knows them.
    `prefetch` is how many batches a loader fetches ahead, in a thread: for sources that wait for files.
    """

    labels: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    prefetch: int = 0

    @abc.abstractmethod
    def __len__(self) -> int: ...

    @abc.abstractmethod
    def fetch(self, indices: Tensor) -> tuple[Any, Any, Tensor | None]:
        """The rows at `indices`, in that order, as tensors that the caller may keep."""

    def order(self, seed: int, number: int) -> npt.NDArray[np.int64]:
        """The rows in the order of shuffled pass `number`: a pure function of its arguments, each row once.

        A source that reads many rows at once keeps near each other what it reads together.
        """
        return permutation(seed, number, len(self))

    @property
    def x_all(self) -> Any:
        """All inputs, if they are in memory anyway; else None."""
        return None

    @property
    def y_all(self) -> Any:
        """All targets, if they are in memory anyway; else None."""
        return None

    @property
    def weight_all(self) -> Tensor | None:
        """All sample weights, if there are any and they are in memory; else None."""
        return None


class Subset(Indexed):
    """Some rows of another source, by index: what a split of a source is made of.

    Raises: DataError if there are no indices, or one lies outside the source.

    Example:
        >>> from lepton_ai.data import Arrays
        >>> Subset(Arrays([1.0, 2.0, 3.0]), torch.tensor([2, 0])).fetch(torch.tensor([0]))[0]
        tensor([3.])
    """

    def __init__(self, source: Indexed, indices: Any) -> None:
        self.source = source
        self.indices = torch.as_tensor(indices, dtype=torch.int64)
        self.labels, self.names, self.prefetch = source.labels, source.names, source.prefetch
        if len(self.indices) == 0:
            raise DataError("empty data: no indices", at="Subset", fix="Give at least one row.")
        low, high = int(self.indices.min()), int(self.indices.max())
        if low < 0 or high >= len(source):
            wrong = low if low < 0 else high
            raise DataError(at="Subset.indices", got=wrong, expected=f"indices from 0 to {len(source) - 1}")

    def __len__(self) -> int:
        return len(self.indices)

    def fetch(self, indices: Tensor) -> tuple[Any, Any, Tensor | None]:
        return self.source.fetch(self.indices[indices])

    def order(self, seed: int, number: int) -> npt.NDArray[np.int64]:
        own = permutation(seed, number, len(self))
        if _keeps_no_order(self.source):
            return own
        # As the source orders its rows; rows that are here twice in an order of their own.
        place = np.empty(len(self.source), np.int64)
        place[self.source.order(seed, number)] = np.arange(len(self.source))
        return own[np.argsort(place[self.indices.numpy()[own]], kind="stable")]

    # `x_all` stays None: gathering the inputs here would hold them twice.

    @property
    def y_all(self) -> Any:
        return map_tree(lambda tensor: tensor[self.indices], self.source.y_all)

    @property
    def weight_all(self) -> Tensor | None:
        weight = self.source.weight_all
        return None if weight is None else weight[self.indices]


def _keeps_no_order(source: Indexed) -> bool:
    while isinstance(source, Subset):
        source = source.source
    return type(source).order is Indexed.order
