"""Pooling over series, images and volumes."""

import abc
from collections.abc import Callable
from typing import Any, ClassVar, Generic, Unpack

import torch
import torch.nn.functional as F
from torch import Tensor

from lepton_ai.layers.arguments import channels_last, one_of, sizes
from lepton_ai.layers.dtypes import as_float
from lepton_ai.layers.layer import Layer, LayerOptions
from lepton_ai.layers.shapes import Shape
from lepton_ai.layers.windows import Window, around, flat, spatial_shape, to_channels_first, to_channels_last


def _max_pool1d(x: Tensor, size: tuple[int], stride: tuple[int]) -> Tensor:
    # torch's own takes this way for gradients, and fixes the length of a series that is traced with a free one.
    return F.max_pool2d(x.unsqueeze(2), (1, *size), (1, *stride)).squeeze(2)


_LARGEST: dict[int, Callable[..., Tensor]] = {1: _max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
_MEAN = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}


class Pooling(Layer, Generic[Window], abc.ABC):
    """The base of poolings over windows of `(B, *spatial, C)`."""

    rank: ClassVar[int]

    def __init__(
        self,
        pool_size: int | Window = 2,
        strides: int | Window | None = None,
        padding: str = "valid",
        data_format: str | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        at = type(self).__name__
        self.pool_size = sizes(f"{at}.pool_size", pool_size, self.rank)
        self.strides = self.pool_size if strides is None else sizes(f"{at}.strides", strides, self.rank)
        self.padding = one_of(f"{at}.padding", padding, ("valid", "same"))
        channels_last(f"{at}.data_format", data_format)
        self.data_format = data_format

    def build(self, input_shape: Any) -> None:
        self.compute_output_shape(input_shape)

    def call(self, x: Tensor) -> Tensor:
        x = to_channels_first(as_float(x))
        cells = flat(around(x, self.pool_size, self.strides)) if self.padding == "same" else [0]
        return to_channels_last(self.pool(x, cells))

    @abc.abstractmethod
    def pool(self, x: Tensor, cells: list[int]) -> Tensor:
        """Pool `x`, (B, C, *spatial), as if `cells` more around it, the last axis first, held nothing."""

    def compute_output_shape(self, input_shape: Any) -> Shape:
        spatial = spatial_shape(self.label, input_shape, self.pool_size, self.strides, self.padding)
        return (input_shape[0], *spatial, input_shape[-1])


class MaxPooling(Pooling[Window]):
    """The base of poolings that take the largest value of each window."""

    def pool(self, x: Tensor, cells: list[int]) -> Tensor:
        if any(cells):
            x = F.pad(x, cells, value=float("-inf"))
        return _LARGEST[self.rank](x, self.pool_size, self.strides)


class AveragePooling(Pooling[Window]):
    """The base of poolings that take the mean of each window."""

    def pool(self, x: Tensor, cells: list[int]) -> Tensor:
        mean = _MEAN[self.rank]
        if not any(cells):
            y: Tensor = mean(x, self.pool_size, self.strides)
            return y
        share = mean(F.pad(torch.ones_like(x[:1, :1]), cells), self.pool_size, self.strides)
        y = mean(F.pad(x, cells), self.pool_size, self.strides)
        return y / share


class MaxPooling1D(MaxPooling[tuple[int]]):
    """The largest value of each window of a series.

    Shapes: `(B, T, C)` in, `(B, T', C)` out. `strides` are the window's size unless given; with "same", cells
    outside the series never win.

    Raises: ConfigError for impossible sizes; ShapeError if the series is smaller than the window.

    Example:
        >>> MaxPooling1D()(torch.ones(2, 5, 3)).shape
        torch.Size([2, 2, 3])
    """

    rank, ndim = 1, 3


class MaxPooling2D(MaxPooling[tuple[int, int]]):
    """The largest value of each window.

    Shapes: `(B, H, W, C)` in, `(B, H', W', C)` out. `strides` are the window's size unless given; with "same",
    cells outside the image never win.

    Raises: ConfigError for impossible sizes; ShapeError if the image is smaller than the window.

    Example:
        >>> MaxPooling2D()(torch.ones(2, 5, 5, 3)).shape
        torch.Size([2, 2, 2, 3])
    """

    rank, ndim = 2, 4


class MaxPooling3D(MaxPooling[tuple[int, int, int]]):
    """The largest value of each window of a volume.

    Shapes: `(B, D, H, W, C)` in, `(B, D', H', W', C)` out. `strides` are the window's size unless given; with
    "same", cells outside the volume never win.

    Raises: ConfigError for impossible sizes; ShapeError if the volume is smaller than the window.

    Example:
        >>> MaxPooling3D()(torch.ones(2, 4, 5, 6, 3)).shape
        torch.Size([2, 2, 2, 3, 3])
    """

    rank, ndim = 3, 5


class AveragePooling1D(AveragePooling[tuple[int]]):
    """The mean of each window of a series.

    Shapes: `(B, T, C)` in, `(B, T', C)` out. `strides` are the window's size unless given; with "same", cells
    outside the series do not count.

    Raises: ConfigError for impossible sizes; ShapeError if the series is smaller than the window.

    Example:
        >>> AveragePooling1D(3, strides=2, padding="same")(torch.ones(2, 6, 3)).unique()
        tensor([1.])
    """

    rank, ndim = 1, 3


class AveragePooling2D(AveragePooling[tuple[int, int]]):
    """The mean of each window.

    Shapes: `(B, H, W, C)` in, `(B, H', W', C)` out. `strides` are the window's size unless given; with "same",
    cells outside the image do not count.

    Raises: ConfigError for impossible sizes; ShapeError if the image is smaller than the window.

    Example:
        >>> AveragePooling2D(3, strides=2, padding="same")(torch.ones(2, 5, 5, 3)).unique()
        tensor([1.])
    """

    rank, ndim = 2, 4


class AveragePooling3D(AveragePooling[tuple[int, int, int]]):
    """The mean of each window of a volume.

    Shapes: `(B, D, H, W, C)` in, `(B, D', H', W', C)` out. `strides` are the window's size unless given; with
    "same", cells outside the volume do not count.

    Raises: ConfigError for impossible sizes; ShapeError if the volume is smaller than the window.

    Example:
        >>> AveragePooling3D()(torch.ones(2, 4, 5, 6, 3)).shape
        torch.Size([2, 2, 2, 3, 3])
    """

    rank, ndim = 3, 5
