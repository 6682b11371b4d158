"""Pooling to a size that is said, whatever size comes."""

import abc
from collections.abc import Callable
from typing import Any, ClassVar, Unpack

import torch.nn.functional as F
from torch import Tensor

from lepton_ai.layers.arguments import channels_last, sizes
from lepton_ai.layers.dtypes import as_float
from lepton_ai.layers.layer import Layer, LayerOptions
from lepton_ai.layers.shapes import Shape
from lepton_ai.layers.windows import to_channels_first, to_channels_last


class AdaptivePooling(Layer, abc.ABC):
    """The base of poolings of `(B, *spatial, C)` to `(B, *output_size, C)`.

    Window i of n over an axis of size s covers the places from `floor(i s / n)` to `ceil((i + 1) s / n)`.
    """

    rank: ClassVar[int]
    pool: ClassVar[Callable[..., Tensor]]

    def __init__(
        self, output_size: int | tuple[int, ...], data_format: str | None = None, **options: Unpack[LayerOptions]
    ) -> None:
        super().__init__(**options)
        at = type(self).__name__
        self.output_size = sizes(f"{at}.output_size", output_size, self.rank)
        channels_last(f"{at}.data_format", data_format)
        self.data_format = data_format

    def call(self, x: Tensor) -> Tensor:
        return to_channels_last(type(self).pool(to_channels_first(as_float(x)), self.output_size))

    def compute_output_shape(self, input_shape: Any) -> Shape:
        return (input_shape[0], *self.output_size, input_shape[-1])


class AdaptiveAveragePooling1D(AdaptivePooling):
    """Means of as many windows as are asked for. Shapes: `(B, T, C)` in, `(B, output_size, C)` out."""

    rank, ndim, pool = 1, 3, F.adaptive_avg_pool1d


class AdaptiveAveragePooling2D(AdaptivePooling):
    """Means of as many windows as are asked for. Shapes: `(B, H, W, C)` in, `(B, *output_size, C)` out.

    Example:
        >>> import torch
        >>> AdaptiveAveragePooling2D(3)(torch.ones(2, 7, 8, 4)).shape
        torch.Size([2, 3, 3, 4])
    """

    rank, ndim, pool = 2, 4, F.adaptive_avg_pool2d


class AdaptiveAveragePooling3D(AdaptivePooling):
    """Means of as many windows as are asked for. Shapes: `(B, D, H, W, C)` in, `(B, *output_size, C)` out."""

    rank, ndim, pool = 3, 5, F.adaptive_avg_pool3d


class AdaptiveMaxPooling1D(AdaptivePooling):
    """Maxima of as many windows as are asked for. Shapes: `(B, T, C)` in, `(B, output_size, C)` out."""

    rank, ndim, pool = 1, 3, F.adaptive_max_pool1d


class AdaptiveMaxPooling2D(AdaptivePooling):
    """Maxima of as many windows as are asked for. Shapes: `(B, H, W, C)` in, `(B, *output_size, C)` out."""

    rank, ndim, pool = 2, 4, F.adaptive_max_pool2d


class AdaptiveMaxPooling3D(AdaptivePooling):
    """Maxima of as many windows as are asked for. Shapes: `(B, D, H, W, C)` in, `(B, *output_size, C)` out."""

    rank, ndim, pool = 3, 5, F.adaptive_max_pool3d
