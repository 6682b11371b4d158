"""What convolutions and poolings share: a window that slides over the axes between the batch and the channels."""

from typing import Any, TypeVar

import torch
from torch import Tensor

from lepton_ai.core import ShapeError
from lepton_ai.layers.shapes import Shape, conv_length, same_padding, show

Window = TypeVar("Window", bound=tuple[int, ...])

_PLURALS = {1: "series", 2: "images", 3: "volumes"}


def to_channels_first(x: Tensor) -> Tensor:
    """A view `(B, C, *spatial)` of `(B, *spatial, C)`: what torch's kernels take, without a copy."""
    return x.movedim(-1, 1)


def to_channels_last(x: Tensor) -> Tensor:
    """A view `(B, *spatial, C)` of `(B, C, *spatial)`."""
    return x.movedim(1, -1)


def in_memory_as_inputs(weight: Tensor) -> Tensor:
    """A kernel whose channels are last in memory, as those of the inputs are.

    By a copy: with one channel, torch takes any strides for channels-last memory, but its convolutions do not, and then
    all that follows is computed in the other layout.
    """
    if weight.ndim not in (4, 5):
        return weight
    return weight.movedim(1, -1).clone(memory_format=torch.contiguous_format).movedim(-1, 1)


def around(x: Tensor, kernel: Window, strides: Window, dilation: Window | None = None) -> list[tuple[int, int]]:
    """The cells that "same" adds before and after each spatial axis of `x`, `(B, C, *spatial)`."""
    dilations = dilation or (1,) * len(kernel)
    return [same_padding(*each) for each in zip(x.shape[2:], kernel, strides, dilations, strict=True)]


def flat(pairs: list[tuple[int, int]]) -> list[int]:
    """Pairs for each axis as `F.pad` takes them: the last axis first."""
    return [cells for pair in reversed(pairs) for cells in pair]


def spatial_shape(
    at: str, input_shape: Any, kernel: Window, strides: Window, padding: str, dilation: Window | None = None
) -> Shape:
    """The sizes between batch and channels after a window slid over them.

    Raises: ShapeError if the window does not fit in.
    """
    dilations = dilation or (1,) * len(kernel)
    spatial = tuple(
        conv_length(length, size, stride, padding, rate)
        for length, size, stride, rate in zip(input_shape[1:-1], kernel, strides, dilations, strict=True)
    )
    if 0 in spatial:
        what = "window" if dilation is None else "kernel"
        raise ShapeError(
            f"got an input of shape {show(input_shape)}, smaller than the {what} {kernel}",
            at=at,
            fix=f'Give larger {_PLURALS[len(kernel)]}, or write padding="same".',
        )
    return spatial
