"""The same numbers in another shape."""

import math
from typing import Any, Unpack

import torch
from torch import Tensor

from lepton_ai.core import ConfigError, ShapeError
from lepton_ai.layers.arguments import channels_last
from lepton_ai.layers.layer import Layer, LayerOptions
from lepton_ai.layers.shapes import Shape, show


class Flatten(Layer):
    """Each example as one row.

    Shapes: `(B, ...)` in, `(B, N)` out; `(B,)` becomes `(B, 1)`.

    Example:
        >>> Flatten()(torch.ones(2, 4, 4, 3)).shape
        torch.Size([2, 48])
    """

    def __init__(self, data_format: str | None = None, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        channels_last("Flatten.data_format", data_format)
        self.data_format = data_format

    def call(self, x: Tensor) -> Tensor:
        return x.unsqueeze(1) if x.ndim == 1 else torch.flatten(x, 1)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        sizes = input_shape[1:]
        return (input_shape[0], None if None in sizes else math.prod(sizes))


class Reshape(Layer):
    """Each example in the shape `target_shape`, in which one size may be -1: what is left.

    Shapes: `(B, ...)` in, `(B, *target_shape)` out.

    Raises: ConfigError for an impossible target; ShapeError naming both shapes if the numbers do not fit in.

    Example:
        >>> Reshape((4, -1))(torch.ones(2, 12)).shape
        torch.Size([2, 4, 3])
    """

    def __init__(self, target_shape: tuple[int, ...], **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        target = tuple(target_shape) if isinstance(target_shape, tuple | list) else ()
        sound = all(isinstance(size, int) and (size > 0 or size == -1) for size in target)
        if not target or not sound or target.count(-1) > 1:
            raise ConfigError(
                at="Reshape.target_shape", got=target_shape, expected="positive ints, one of which may be -1"
            )
        self.target_shape = target

    def build(self, input_shape: Any) -> None:
        self.compute_output_shape(input_shape)

    def call(self, x: Tensor) -> Tensor:
        return x.reshape(x.shape[0], *self.target_shape)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        known = math.prod(size for size in self.target_shape if size != -1)
        if None in input_shape[1:]:
            return (input_shape[0], *(None if size == -1 else size for size in self.target_shape))
        total = math.prod(input_shape[1:])
        if total % known or (-1 not in self.target_shape and total != known):
            raise ShapeError(
                f"got an input of shape {show(input_shape)} with {total} numbers in each example, "
                f"expected as many as {show(self.target_shape)} holds",
                at=self.label,
            )
        return (input_shape[0], *(total // known if size == -1 else size for size in self.target_shape))
