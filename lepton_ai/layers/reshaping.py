"""The same numbers in another shape."""

import math
from typing import Any, Unpack

import torch
from torch import Tensor

from lepton_ai.core import ConfigError, ShapeError
from lepton_ai.layers.arguments import channels_last, positive_int
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


class Permute(Layer):
    """The axes of each example in another order.

    Shapes: `(B, ...)` in; out, axis i has the size of the input's axis `dims[i]`, counted from 1 (0 is the batch).

    Raises: ConfigError if `dims` is no order of 1, 2, ...; ShapeError if the input has another number of axes.

    Example:
        >>> Permute((2, 1))(torch.ones(2, 5, 8)).shape
        torch.Size([2, 8, 5])
    """

    def __init__(self, dims: tuple[int, ...], **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        order = tuple(dims) if isinstance(dims, tuple | list) else ()
        if not order or sorted(order) != list(range(1, len(order) + 1)):
            raise ConfigError(at="Permute.dims", got=dims, expected="the axes 1, 2, ... in some order")
        self.dims = order

    def check_shape(self, input_shape: Any) -> None:
        super().check_shape(input_shape)
        if len(input_shape) != len(self.dims) + 1:
            raise ShapeError(
                f"got an input of shape {show(input_shape)}, expected {len(self.dims) + 1} dimensions with the batch "
                f"for dims={self.dims}",
                at=self.label,
            )

    def call(self, x: Tensor) -> Tensor:
        return x.permute(0, *self.dims)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        return (input_shape[0], *(input_shape[axis] for axis in self.dims))


class RepeatVector(Layer):
    """Each row `n` times, as a series.

    Shapes: `(B, D)` in, `(B, n, D)` out.

    Raises: ConfigError if `n` is not a positive int.

    Example:
        >>> RepeatVector(3)(torch.ones(2, 5)).shape
        torch.Size([2, 3, 5])
    """

    ndim = 2

    def __init__(self, n: int, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self.n = positive_int("RepeatVector.n", n)

    def call(self, x: Tensor) -> Tensor:
        return x.unsqueeze(1).repeat(1, self.n, 1)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        return (input_shape[0], self.n, input_shape[1])
