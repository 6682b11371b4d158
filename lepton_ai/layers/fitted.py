"""Layers whose state comes from the training data: `adapt` takes it, and it is saved with the weights."""

import abc
import warnings
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Unpack

import numpy as np
import torch
from torch import Tensor

from lepton_ai.core import ConfigError, DataError, ShapeError, UsageError
from lepton_ai.layers.layer import Layer, LayerOptions
from lepton_ai.layers.shapes import Shape, show

_CHUNK = 2**22  # numbers widened to float64 at a time

Statistic = Callable[[Tensor], Tensor]
"""From columns of float64 with gaps, (N, F), to one or more numbers for each, (..., F)."""


class Fitted(Layer, abc.ABC):
    """The base of layers that `adapt`. Subclasses write `fit_to` and `transform`, and keep their state in buffers."""

    state: ClassVar[str]  # what errors call that which `adapt` takes
    adapted: bool = False

    @property
    def given(self) -> bool:
        """Whether the constructor was told what `adapt` would find out."""
        return False

    @abc.abstractmethod
    def fit_to(self, values: Tensor) -> None:
        """Fill the buffers from the training data, of a shape that was checked."""

    @abc.abstractmethod
    def transform(self, x: Tensor) -> Tensor:
        """What the adapted layer computes."""

    def adapt(self, data: Any) -> None:
        """Take the state from the training data: an array, tensor, data frame or the values of one column.

        Raises: DataError if it holds no numbers, or nothing to go by; ShapeError if it does not fit; UsageError if
            the constructor was given the state.
        """
        if self.given:
            raise UsageError(f"has its {self.state} already", at=self.label, fix="Leave them out to adapt.")
        values = as_numbers(self.label, data)
        self.ensure_built(tuple(values.shape))
        self.check_shape(tuple(values.shape))
        self.fit_to(values)
        self.adapted = True

    def call(self, x: Tensor) -> Tensor:
        if not self.adapted:
            fix = "Call adapt(x_train) before, on the training data."
            raise UsageError(f"has no {self.state} yet", at=self.label, fix=fix)
        return self.transform(x)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        return tuple(input_shape)

    def set_weights(self, weights: list[Any]) -> None:
        super().set_weights(weights)
        self.adapted = self.adapted or bool(weights)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        super()._load_from_state_dict(state_dict, prefix, *args)
        self.adapted = self.adapted or any(f"{prefix}{name}" in state_dict for name in self._buffers)


class FittedColumns(Fitted):
    """The base of layers with statistics of their own for each place along `axis`.

    `statistics` names the buffers and the numbers that they start with.
    """

    supports_masking = True
    statistics: ClassVar[dict[str, str]]

    def __init__(self, axis: int | tuple[int, ...] | None, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        axes = () if axis is None else tuple(axis) if isinstance(axis, tuple | list) else (axis,)
        if not all(isinstance(each, int) and each for each in axes):
            at = f"{type(self).__name__}.axis"
            raise ConfigError(at=at, got=axis, expected="axes other than 0, the batch, or None")
        self.axis = axis
        self.fixed_axes = axes

    def build(self, input_shape: Any) -> None:
        rank = len(input_shape)
        if not all(-rank <= axis < rank and input_shape[axis] is not None for axis in self.fixed_axes):
            raise ShapeError(
                f"got an input of shape {show(input_shape)}, expected fixed sizes at axis {self.axis}", at=self.label
            )
        shape = tuple(input_shape[axis] for axis in self.kept(rank))
        for name, start in self.statistics.items():
            self.add_buffer(name, shape, start)

    def kept(self, rank: int) -> list[int]:
        """The axes that have statistics of their own, counted from 0."""
        return sorted(axis % rank for axis in self.fixed_axes)

    def along(self, x: Tensor) -> list[Tensor]:
        """The statistics, in the order of `statistics`, in shapes that broadcast over `x`.

        Raises: ShapeError if `x` has other sizes there: broadcasting would let a single column pass.
        """
        self.check_shape(tuple(x.shape))
        kept = self.kept(x.ndim)
        shape = [size if axis in kept else 1 for axis, size in enumerate(x.shape)]
        return [getattr(self, name).view(shape) for name in self.statistics]

    def fill(self, values: Tensor, statistic: Statistic) -> None:
        """Fill all buffers with the rows of `statistic`, computed from a few columns at a time."""
        kept = self.kept(values.ndim)
        parts = [statistic(part) for part in columns(self.label, values, kept)]
        for name, row in zip(self.statistics, torch.cat(parts, -1), strict=True):
            getattr(self, name).copy_(row.view(getattr(self, name).shape))


def as_numbers(at: str, data: Any) -> Tensor:
    """Data as a tensor of (rows, features ...); one column may come without its second axis.

    Raises: DataError for other things than numbers, and for nothing.
    """
    values = data.detach() if isinstance(data, Tensor) else np.asarray(data)
    if isinstance(values, np.ndarray):
        if values.dtype.kind not in "fiub":
            raise DataError(at=at, message=f"got values of type {values.dtype}", expected="numbers")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a memory map is read only, and so do we
            values = torch.from_numpy(np.ascontiguousarray(values))
    if values.ndim < 1 or not values.numel():
        raise DataError(at=at, got=tuple(values.shape), expected="a shape with rows, then features")
    return values[:, None] if values.ndim == 1 else values


def columns(at: str, values: Tensor, kept: list[int], *, empty: bool = False) -> Iterator[Tensor]:
    """The values at each place of the axes `kept` as columns, (N, a few), in float64.

    Raises: DataError naming the columns with something infinite, or with nothing but gaps unless `empty`.
    """
    last = list(range(values.ndim - len(kept), values.ndim))
    count = int(np.prod([values.shape[axis] for axis in kept]))
    flat = values.movedim(kept, last).reshape(-1, count)
    width = max(1, _CHUNK // len(flat))
    for start in range(0, count, width):
        part = flat[:, start : start + width].double().cpu()
        gaps = part.isnan()
        refuse_columns(at, part.isinf().any(0) | (gaps.all(0) & (not empty)), start)
        yield part


def refuse_columns(at: str, bad: Tensor, start: int = 0) -> None:
    """Raise a DataError if any column is bad."""
    if bool(bad.any()):
        where = (bad.flatten().nonzero().flatten() + start).tolist()
        raise DataError(
            at=at,
            message=f"got only missing values, or infinite ones, in the features {where[:10]}",
            fix="Drop these features, or clean the data first.",
        )


def quantiles(part: Tensor, at: tuple[float, ...]) -> Tensor:
    """The quantiles of each column, linear between neighbours, without the gaps: (len(at), F)."""
    ordered = part.sort(0).values  # NaN comes last
    last = (~part.isnan()).sum(0) - 1
    places = torch.tensor(at, dtype=torch.float64)[:, None] * last
    low = places.floor().long().clamp(min=0)
    below, above = ordered.gather(0, low), ordered.gather(0, torch.minimum(low + 1, last.clamp(min=0)))
    return below + (above - below) * (places - low)


def moments(at: str, values: Tensor, kept: list[int]) -> tuple[Tensor, Tensor]:
    """Mean and biased variance over all axes but `kept`, in float64, in two passes over parts of the rows."""
    axes = [axis for axis in range(values.ndim) if axis not in kept]
    parts = torch.split(values, max(1, _CHUNK // values[0].numel()))
    count, total = torch.zeros((), dtype=torch.int64), torch.zeros((), dtype=torch.float64)
    for part in parts:
        wide = part.double().cpu()
        count = count + (~wide.isnan()).sum(axes, keepdim=True)
        total = total + wide.nansum(axes, keepdim=True)
    mean = total / count
    refuse_columns(at, ~mean.isfinite())
    squares = torch.zeros((), dtype=torch.float64)
    for part in parts:
        squares = squares + (part.double().cpu() - mean).square().nansum(axes, keepdim=True)
    shape = [values.shape[axis] for axis in kept]
    return mean.view(shape), (squares / count).view(shape)
