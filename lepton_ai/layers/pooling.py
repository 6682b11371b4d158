"""Pooling over images."""

from typing import Any, Unpack

import torch
import torch.nn.functional as F
from torch import Tensor

from lepton_ai.core import ShapeError
from lepton_ai.layers.arguments import channels_last, one_of, sizes
from lepton_ai.layers.dtypes import as_float
from lepton_ai.layers.layer import Layer, LayerOptions
from lepton_ai.layers.shapes import Shape, conv_length, same_padding, show


class Pooling2D(Layer):
    """The base of poolings over windows of `(B, H, W, C)`."""

    ndim = 4

    def __init__(
        self,
        pool_size: int | tuple[int, int] = (2, 2),
        strides: int | tuple[int, int] | None = None,
        padding: str = "valid",
        data_format: str | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        at = type(self).__name__
        self.pool_size = sizes(f"{at}.pool_size", pool_size, 2)
        self.strides = self.pool_size if strides is None else sizes(f"{at}.strides", strides, 2)
        self.padding = one_of(f"{at}.padding", padding, ("valid", "same"))
        channels_last(f"{at}.data_format", data_format)
        self.data_format = data_format

    def build(self, input_shape: Any) -> None:
        self.compute_output_shape(input_shape)

    def call(self, x: Tensor) -> Tensor:
        x = as_float(x).permute(0, 3, 1, 2)
        around: tuple[int, ...] = (0, 0, 0, 0)
        if self.padding == "same":
            heights = same_padding(x.shape[2], self.pool_size[0], self.strides[0])
            around = (*same_padding(x.shape[3], self.pool_size[1], self.strides[1]), *heights)
        return self.pool(x, around).permute(0, 2, 3, 1)

    def pool(self, x: Tensor, around: tuple[int, ...]) -> Tensor:
        """Pool `x`, (B, C, H, W), as if `around` = (left, right, top, bottom) more cells held nothing."""
        raise NotImplementedError

    def compute_output_shape(self, input_shape: Any) -> Shape:
        height, width = (
            conv_length(length, kernel, stride, self.padding)
            for length, kernel, stride in zip(input_shape[1:3], self.pool_size, self.strides, strict=True)
        )
        if 0 in (height, width):
            raise ShapeError(
                f"got an input of shape {show(input_shape)}, smaller than the window {self.pool_size}",
                at=self.label,
                fix='Give larger images, or write padding="same".',
            )
        return (input_shape[0], height, width, input_shape[3])


class MaxPooling2D(Pooling2D):
    """The largest value of each window.

    Shapes: `(B, H, W, C)` in, `(B, H', W', C)` out. `strides` are the window's size unless given; with "same",
    cells outside the image never win.

    Raises: ConfigError for impossible sizes; ShapeError if the image is smaller than the window.

    Example:
        >>> MaxPooling2D()(torch.ones(2, 5, 5, 3)).shape
        torch.Size([2, 2, 2, 3])
    """

    def pool(self, x: Tensor, around: tuple[int, ...]) -> Tensor:
        if any(around):
            x = F.pad(x, around, value=float("-inf"))
        return F.max_pool2d(x, self.pool_size, self.strides)


class AveragePooling2D(Pooling2D):
    """The mean of each window.

    Shapes: `(B, H, W, C)` in, `(B, H', W', C)` out. `strides` are the window's size unless given; with "same",
    cells outside the image do not count.

    Raises: ConfigError for impossible sizes; ShapeError if the image is smaller than the window.

    Example:
        >>> AveragePooling2D(3, strides=2, padding="same")(torch.ones(2, 5, 5, 3)).unique()
        tensor([1.])
    """

    def pool(self, x: Tensor, around: tuple[int, ...]) -> Tensor:
        if not any(around):
            return F.avg_pool2d(x, self.pool_size, self.strides)
        inside = F.pad(torch.ones_like(x[:1, :1]), around)
        share = F.avg_pool2d(inside, self.pool_size, self.strides)
        return F.avg_pool2d(F.pad(x, around), self.pool_size, self.strides) / share


class GlobalPooling2D(Layer):
    """The base of poolings over whole images."""

    ndim = 4

    def __init__(self, data_format: str | None = None, keepdims: bool = False, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        channels_last(f"{type(self).__name__}.data_format", data_format)
        self.data_format = data_format
        self.keepdims = keepdims

    def compute_output_shape(self, input_shape: Any) -> Shape:
        return (input_shape[0], *((1, 1) if self.keepdims else ()), input_shape[3])


class GlobalAveragePooling2D(GlobalPooling2D):
    """The mean over height and width.

    Shapes: `(B, H, W, C)` in, `(B, C)` out, or `(B, 1, 1, C)` with `keepdims`.

    Example:
        >>> GlobalAveragePooling2D()(torch.ones(2, 5, 5, 3)).shape
        torch.Size([2, 3])
    """

    def call(self, x: Tensor) -> Tensor:
        return as_float(x).mean((1, 2), keepdim=self.keepdims)


class GlobalMaxPooling2D(GlobalPooling2D):
    """The maximum over height and width.

    Shapes: `(B, H, W, C)` in, `(B, C)` out, or `(B, 1, 1, C)` with `keepdims`.

    Example:
        >>> GlobalMaxPooling2D(keepdims=True)(torch.ones(2, 5, 5, 3)).shape
        torch.Size([2, 1, 1, 3])
    """

    def call(self, x: Tensor) -> Tensor:
        return as_float(x).amax((1, 2), keepdim=self.keepdims)
