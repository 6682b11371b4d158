"""Data in other hands: torch datasets, torch loaders, and anything that yields batches."""

import itertools
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, default_collate

from lepton_ai.core import DataError, ShapeError
from lepton_ai.data.arrays import to_weight
from lepton_ai.data.check import check_lengths
from lepton_ai.data.convert import to_rows, to_tensor
from lepton_ai.data.source import Indexed
from lepton_ai.data.tree import map_paths, map_tree


class ResumeWarning(UserWarning):
    """This data cannot keep the promises of exact resume and of one result for any number of workers."""


class TorchDataset(Indexed):
    """A map-style torch dataset whose items are `x`, `(x, y)` or `(x, y, weight)`; x and y may be dictionaries.

    Items are collated with torch's `default_collate`; float64 becomes float32. What the dataset draws at random is
    its own affair: it follows neither the seed nor a resume.

    Raises: DataError for no items, or items that cannot be collated; ShapeError if their sizes differ.

    Example:
        >>> from torch.utils.data import TensorDataset
        >>> source = TorchDataset(TensorDataset(torch.eye(3), torch.tensor([0, 1, 2])))
        >>> source.fetch(torch.tensor([1]))[:2]
        (tensor([[0., 1., 0.]]), tensor([1]))
    """

    def __init__(self, dataset: Dataset[Any]) -> None:
        self.dataset = dataset
        self._rows = len(dataset)  # type: ignore[arg-type]
        if self._rows == 0:
            raise DataError("empty data: the dataset has no items", at="x")

    def __len__(self) -> int:
        return self._rows

    def fetch(self, indices: Tensor) -> tuple[Any, Any, Tensor | None]:
        if len(indices) == 0:  # collating needs an item to know the shapes from
            x, y, weight = self.fetch(torch.zeros(1, dtype=torch.int64))
            return map_tree(lambda t: t[:0], x), map_tree(lambda t: t[:0], y), map_tree(lambda t: t[:0], weight)
        items = [self.dataset[index] for index in indices.tolist()]
        try:
            collated = default_collate(items)
        except TypeError as error:
            what = type(items[0][0] if isinstance(items[0], tuple | list) else items[0]).__name__
            fix = "Let the dataset return tensors, arrays or numbers (for images: a transform to tensors)."
            raise DataError(f"items that cannot be made a batch ({what})", at="dataset[i]", fix=fix) from error
        except RuntimeError as error:
            raise ShapeError(
                f"items of different sizes ({str(error).splitlines()[0]})",
                at="dataset[i]",
                fix="Resize, pad or cut them in the dataset.",
            ) from error
        return unpack(collated)


class Batches:
    """Batches as they come: from a torch DataLoader, an iterable, an iterator, or a function that returns one.

    Each is `x`, `(x, y)` or `(x, y, weight)`; an IterableDataset's items are rows, and are collated. With several
    workers, each runs through the same batches and takes its slice of every one, so the data must come in the same
    order everywhere. Warns with ResumeWarning.
    """

    def __init__(self, batches: Iterable[Any] | Callable[[], Iterable[Any]]) -> None:
        self._make = batches if callable(batches) else lambda: batches
        self._once = isinstance(batches, Iterator)
        hint = " Pass the loader's dataset and a batch_size instead." if isinstance(batches, DataLoader) else ""
        warnings.warn(
            "Data that comes as ready batches: the order after a resume, and the same result for any number of "
            f"workers, are not promised.{hint}",
            ResumeWarning,
            stacklevel=2,
        )

    def steps(self, batch_size: int) -> int | None:
        """Batches in one pass, where the iterable knows. `batch_size` counts for an IterableDataset only."""
        try:
            return len(self._batched(batch_size))  # type: ignore[arg-type]
        except TypeError:
            return None

    def peek(self, batch_size: int) -> tuple[Any, Any, Tensor | None]:
        """The first batch (left), which `run` will give again.

        Raises: DataError if there is none.
        """
        first = next(self.run(batch_size))
        if self._once:
            # What was read goes back in front: an iterator cannot be rewound.
            chained = itertools.chain([first], self._make())
            self._make = lambda: chained
        return first

    def run(self, batch_size: int) -> Iterator[tuple[Any, Any, Tensor | None]]:
        """One pass, from the beginning where that is possible; an iterator goes on from where it is.

        Raises: DataError if there is no batch (left).
        """
        count = 0
        for batch in self._batched(batch_size):
            count += 1
            yield unpack(batch)
        if count == 0:
            left = " left: an iterator runs once" if self._once else ""
            fix = "Pass a function that returns a new iterator, or steps for each epoch." if self._once else ""
            raise DataError(f"no batches{left}", at="x", fix=fix)

    def _batched(self, batch_size: int) -> Iterable[Any]:
        made = self._make()
        return DataLoader(made, batch_size=batch_size) if isinstance(made, IterableDataset) else made


def unpack(batch: Any) -> tuple[Any, Any, Tensor | None]:
    """`x`, `(x, y)` or `(x, y, weight)`, as tuple or list, as tensors of one length.

    Raises: ShapeError for more parts; as `to_tensor` for what is not numbers.
    """
    parts = list(batch) if isinstance(batch, tuple | list) else [batch]
    if not 1 <= len(parts) <= 3:
        raise ShapeError(f"a batch of {len(parts)} parts", at="batch", expected="x, (x, y) or (x, y, weight)")
    x, y, weight = parts + [None] * (3 - len(parts))
    x, y = map_paths(to_rows, _tupled(x), "x"), map_paths(to_tensor, _tupled(y), "y")
    weight = None if weight is None else to_weight(weight)
    check_lengths(x, y, weight)
    return x, y, weight


def _tupled(part: Any) -> Any:
    """A list or tuple of arrays is several inputs; of anything else, rows."""
    if not isinstance(part, list | tuple):
        return part
    several = all(isinstance(item, Mapping) or len(getattr(item, "shape", ())) > 0 for item in part)
    return tuple(part) if part and several else list(part)
