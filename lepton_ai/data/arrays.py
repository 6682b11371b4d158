"""The source for data in memory: arrays, tensors, lists, and tuples or dictionaries of them."""

import warnings
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lepton_ai.core import DataError, ShapeError
from lepton_ai.data.check import check_finite, check_lengths
from lepton_ai.data.convert import to_rows, to_tensor
from lepton_ai.data.source import Indexed
from lepton_ai.data.tree import map_paths, map_tree

_HELD = ("_x", "_y", "_weight")


class Arrays(Indexed):
    """Rows of arrays that share their first size; several inputs or targets come as a tuple or a dictionary.

    Memory is shared with numpy arrays and tensors unless they are float64 or float16, which become float32,
    once. Nothing is written to. `sample_weight` (N,) is float32, finite and not negative.

    With `texts`, inputs may be texts too: they stay numpy arrays of `object`, for a model whose stages read them.

    Raises: DataError for no rows, lengths that differ, strings, dates; ShapeError for scalars and ragged lists.

    Example:
        >>> import numpy as np
        >>> source = Arrays(np.arange(6.0).reshape(3, 2), [0, 1, 0])
        >>> source.fetch(torch.tensor([2, 0]))[:2]
        (tensor([[4., 5.],
                [0., 1.]]), tensor([0, 0]))
    """

    def __init__(self, x: Any, y: Any = None, sample_weight: Any = None, *, texts: bool = False) -> None:
        self._texts = texts
        self._x = map_paths(to_rows if texts else to_tensor, x, "x")
        self._y = map_paths(to_tensor, y, "y")
        self._weight = None if sample_weight is None else to_weight(sample_weight)
        self._rows = check_lengths(self._x, self._y, self._weight)

    def __len__(self) -> int:
        return self._rows

    def fetch(self, indices: Tensor) -> tuple[Any, Any, Tensor | None]:
        def rows(leaf: Any) -> Any:
            return leaf.index_select(0, indices.to(leaf.device)) if isinstance(leaf, Tensor) else leaf[indices.numpy()]

        return map_tree(rows, self._x), map_tree(rows, self._y), map_tree(rows, self._weight)

    def __getstate__(self) -> dict[str, Any]:
        """Tensors travel to other processes as numpy arrays: those on one machine can share the memory of these."""
        return vars(self) | {name: map_tree(_to_numpy, getattr(self, name)) for name in _HELD}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        with warnings.catch_warnings():
            # Memory that others share is read-only, of which torch warns; nothing is written to it here.
            warnings.filterwarnings("ignore", "The given NumPy array is not writable", UserWarning)
            vars(self).update({name: map_tree(_to_torch, state[name]) for name in _HELD})

    def part(self, start: int, stop: int) -> "Arrays":
        """The rows from `start` to before `stop`, sharing this source's memory."""
        parts = [map_tree(lambda tensor: tensor[start:stop], tree) for tree in (self._x, self._y, self._weight)]
        part = Arrays(*parts, texts=self._texts)
        part.labels, part.names = self.labels, self.names
        return part

    @property
    def x_all(self) -> Any:
        return self._x

    @property
    def y_all(self) -> Any:
        return self._y

    @property
    def weight_all(self) -> Tensor | None:
        return self._weight


def _to_numpy(leaf: Any) -> Any:
    shared = isinstance(leaf, Tensor) and leaf.device.type == "cpu" and leaf.dtype != torch.bfloat16
    return leaf.numpy() if shared else leaf


def _to_torch(leaf: Any) -> Any:
    return torch.from_numpy(leaf) if isinstance(leaf, np.ndarray) and leaf.dtype != object else leaf


def to_weight(values: Any) -> Tensor:
    """Sample weights (N,) as float32.

    Raises: ShapeError unless rank 1; DataError if one is negative or not finite.
    """
    weight = to_tensor(values, "sample_weight").to(torch.float32)
    if weight.ndim == 2 and weight.shape[1] == 1:
        weight = weight[:, 0]
    if weight.ndim != 1:
        raise ShapeError(at="sample_weight", got=tuple(weight.shape), expected="one number for each row, shape (N,)")
    check_finite(weight, "sample_weight")
    if bool((weight < 0).any()):
        row = int((weight < 0).to(torch.uint8).argmax())
        raise DataError(f"a negative weight, {float(weight[row]):g} in row {row}", at="sample_weight")
    return weight
