"""Pooling over whole series, images and volumes."""

import abc
from typing import Any, ClassVar, Unpack

import torch
from torch import Tensor

from lepton_ai.layers.arguments import channels_last
from lepton_ai.layers.dtypes import as_float
from lepton_ai.layers.layer import Layer, LayerOptions
from lepton_ai.layers.masks import check_mask
from lepton_ai.layers.shapes import Shape


class GlobalPooling(Layer, abc.ABC):
    """The base of poolings over all axes between batch and channels."""

    axes: ClassVar[tuple[int, ...]]

    def __init__(self, data_format: str | None = None, keepdims: bool = False, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        channels_last(f"{type(self).__name__}.data_format", data_format)
        self.data_format = data_format
        self.keepdims = keepdims

    def compute_output_shape(self, input_shape: Any) -> Shape:
        return (input_shape[0], *((1,) * len(self.axes) if self.keepdims else ()), input_shape[-1])


class GlobalAveragePooling(GlobalPooling):
    """The base of means over all axes between batch and channels."""

    def call(self, x: Tensor) -> Tensor:
        return as_float(x).mean(self.axes, keepdim=self.keepdims)


class GlobalMaxPooling(GlobalPooling):
    """The base of maxima over all axes between batch and channels."""

    def call(self, x: Tensor) -> Tensor:
        return as_float(x).amax(self.axes, keepdim=self.keepdims)


class GlobalAveragePooling1D(GlobalAveragePooling):
    """The mean over time.

    Shapes: `(B, T, C)` in, `(B, C)` out, or `(B, 1, C)` with `keepdims`. The call takes `mask`, boolean `(B, T)`:
    only steps where it is True count; a row without any gets 0.

    Example:
        >>> GlobalAveragePooling1D()(torch.tensor([[[1.0], [5.0]]]), mask=torch.tensor([[True, False]]))
        tensor([[1.]])
    """

    axes, ndim = (1,), 3

    def call(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        if mask is None:
            return super().call(x)
        x, mask = as_float(x), check_mask(mask, x.shape, self.label).unsqueeze(-1)
        # Not a product: what a masked step holds, be it NaN, may not come through.
        total = torch.where(mask, x, 0.0).sum(1, keepdim=self.keepdims)
        return total / mask.to(x.dtype).sum(1, keepdim=self.keepdims).clamp(min=1)


class GlobalAveragePooling2D(GlobalAveragePooling):
    """The mean over height and width.

    Shapes: `(B, H, W, C)` in, `(B, C)` out, or `(B, 1, 1, C)` with `keepdims`.

    Example:
        >>> GlobalAveragePooling2D()(torch.ones(2, 5, 5, 3)).shape
        torch.Size([2, 3])
    """

    axes, ndim = (1, 2), 4


class GlobalAveragePooling3D(GlobalAveragePooling):
    """The mean over depth, height and width.

    Shapes: `(B, D, H, W, C)` in, `(B, C)` out, or `(B, 1, 1, 1, C)` with `keepdims`.

    Example:
        >>> GlobalAveragePooling3D()(torch.ones(2, 4, 5, 5, 3)).shape
        torch.Size([2, 3])
    """

    axes, ndim = (1, 2, 3), 5


class GlobalMaxPooling1D(GlobalMaxPooling):
    """The maximum over time.

    Shapes: `(B, T, C)` in, `(B, C)` out, or `(B, 1, C)` with `keepdims`.

    Example:
        >>> GlobalMaxPooling1D()(torch.tensor([[[1.0], [5.0]]]))
        tensor([[5.]])
    """

    axes, ndim = (1,), 3


class GlobalMaxPooling2D(GlobalMaxPooling):
    """The maximum over height and width.

    Shapes: `(B, H, W, C)` in, `(B, C)` out, or `(B, 1, 1, C)` with `keepdims`.

    Example:
        >>> GlobalMaxPooling2D(keepdims=True)(torch.ones(2, 5, 5, 3)).shape
        torch.Size([2, 1, 1, 3])
    """

    axes, ndim = (1, 2), 4


class GlobalMaxPooling3D(GlobalMaxPooling):
    """The maximum over depth, height and width.

    Shapes: `(B, D, H, W, C)` in, `(B, C)` out, or `(B, 1, 1, 1, C)` with `keepdims`.

    Example:
        >>> GlobalMaxPooling3D()(torch.ones(2, 4, 5, 5, 3)).shape
        torch.Size([2, 3])
    """

    axes, ndim = (1, 2, 3), 5
