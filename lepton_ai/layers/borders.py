"""Zeros around series, images and volumes, and their edges cut off."""

import abc
from typing import Any, ClassVar, Unpack

import torch.nn.functional as F
from torch import Tensor

from lepton_ai.core import ConfigError, ShapeError
from lepton_ai.layers.arguments import channels_last
from lepton_ai.layers.dtypes import as_float
from lepton_ai.layers.layer import Layer, LayerOptions
from lepton_ai.layers.shapes import Shape, show
from lepton_ai.layers.windows import flat, to_channels_first, to_channels_last

Pairs = tuple[tuple[int, int], ...]
Cells = int | tuple[int | tuple[int, int], ...]  # for all axes; or for each, before and after alike or as a pair


class Borders(Layer, abc.ABC):
    """The base of layers that add (+1) or cut off (-1) cells before and after each axis."""

    rank: ClassVar[int]
    sign: ClassVar[int]

    def pairs(self, name: str, value: Cells) -> Pairs:
        """Cells before and after each axis, from all that Keras takes for it."""
        per_axis: Any = value if isinstance(value, tuple | list) else (value,) * self.rank
        if self.rank == 1 and len(per_axis) == 2:
            per_axis = (per_axis,)
        pairs = tuple(tuple(each) if isinstance(each, tuple | list) else (each, each) for each in per_axis)
        sound = all(
            len(pair) == 2 and all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in pair)
            for pair in pairs
        )
        if len(pairs) != self.rank or not sound:
            raise ConfigError(
                at=f"{type(self).__name__}.{name}",
                got=value,
                expected=f"an int >= 0, or {self.rank} of them or of pairs (before, after)",
            )
        return pairs

    @property
    @abc.abstractmethod
    def cells(self) -> Pairs:
        """Cells before and after each axis."""

    def build(self, input_shape: Any) -> None:
        self.compute_output_shape(input_shape)

    def call(self, x: Tensor) -> Tensor:
        self.compute_output_shape(tuple(x.shape))  # torch would cut below nothing
        pads = [self.sign * cells for cells in flat(list(self.cells))]
        return to_channels_last(F.pad(to_channels_first(as_float(x)), pads))

    def compute_output_shape(self, input_shape: Any) -> Shape:
        spatial = tuple(
            None if length is None else length + self.sign * sum(pair)
            for length, pair in zip(input_shape[1:-1], self.cells, strict=True)
        )
        if any(isinstance(length, int) and length < 1 for length in spatial):  # a size that is traced is no int
            raise ShapeError(
                f"got an input of shape {show(input_shape)}, expected one from which {self.cells} can be cut off",
                at=self.label,
            )
        return (input_shape[0], *spatial, input_shape[-1])


class ZeroPadding(Borders):
    """The base of layers that put zeros around."""

    sign = 1

    def __init__(self, padding: Cells = 1, data_format: str | None = None, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self.padding = self.pairs("padding", padding)
        channels_last(f"{type(self).__name__}.data_format", data_format)
        self.data_format = data_format

    @property
    def cells(self) -> Pairs:
        return self.padding


class Cropping(Borders):
    """The base of layers that cut edges off."""

    sign = -1

    def __init__(self, cropping: Cells, data_format: str | None, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self.cropping = self.pairs("cropping", cropping)
        channels_last(f"{type(self).__name__}.data_format", data_format)
        self.data_format = data_format

    @property
    def cells(self) -> Pairs:
        return self.cropping


class ZeroPadding1D(ZeroPadding):
    """Zeros before and after a series.

    Shapes: `(B, T, C)` in, `(B, T + before + after, C)` out.

    Args:
        padding: how many on both ends, or (before, after).

    Raises: ConfigError for impossible numbers.

    Example:
        >>> import torch
        >>> ZeroPadding1D((2, 1))(torch.ones(1, 2, 1)).flatten()
        tensor([0., 0., 1., 1., 0.])
    """

    rank, ndim = 1, 3


class ZeroPadding2D(ZeroPadding):
    """Zeros around an image.

    Shapes: `(B, H, W, C)` in, `(B, H', W', C)` out.

    Args:
        padding: how many on each side, or (height, width), or ((top, bottom), (left, right)).

    Raises: ConfigError for impossible numbers.

    Example:
        >>> import torch
        >>> ZeroPadding2D(((1, 0), (2, 2)))(torch.ones(1, 5, 5, 3)).shape
        torch.Size([1, 6, 9, 3])
    """

    rank, ndim = 2, 4


class ZeroPadding3D(ZeroPadding):
    """Zeros around a volume.

    Shapes: `(B, D, H, W, C)` in, `(B, D', H', W', C)` out.

    Args:
        padding: how many on each side, or three of them, or three pairs (before, after).

    Raises: ConfigError for impossible numbers.

    Example:
        >>> import torch
        >>> ZeroPadding3D((1, 0, 2))(torch.ones(1, 5, 5, 5, 3)).shape
        torch.Size([1, 7, 5, 9, 3])
    """

    rank, ndim = 3, 5


class Cropping1D(Cropping):
    """A series without its ends.

    Shapes: `(B, T, C)` in, `(B, T - before - after, C)` out.

    Args:
        cropping: how many steps on both ends, or (before, after).

    Raises: ConfigError for impossible numbers; ShapeError if nothing would be left.

    Example:
        >>> import torch
        >>> Cropping1D((2, 1))(torch.ones(1, 5, 1)).shape
        torch.Size([1, 2, 1])
    """

    rank, ndim = 1, 3

    def __init__(self, cropping: Cells = (1, 1), **options: Unpack[LayerOptions]) -> None:
        super().__init__(cropping, None, **options)


class Cropping2D(Cropping):
    """An image without its edges.

    Shapes: `(B, H, W, C)` in, `(B, H', W', C)` out.

    Args:
        cropping: how many cells on each side, or (height, width), or ((top, bottom), (left, right)).

    Raises: ConfigError for impossible numbers; ShapeError if nothing would be left.

    Example:
        >>> import torch
        >>> Cropping2D(((1, 0), (1, 1)))(torch.ones(1, 5, 5, 3)).shape
        torch.Size([1, 4, 3, 3])
    """

    rank, ndim = 2, 4

    def __init__(
        self,
        cropping: Cells = ((0, 0), (0, 0)),
        data_format: str | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(cropping, data_format, **options)


class Cropping3D(Cropping):
    """A volume without its edges.

    Shapes: `(B, D, H, W, C)` in, `(B, D', H', W', C)` out.

    Args:
        cropping: how many cells on each side, or three of them, or three pairs (before, after).

    Raises: ConfigError for impossible numbers; ShapeError if nothing would be left.

    Example:
        >>> import torch
        >>> Cropping3D()(torch.ones(1, 5, 5, 5, 3)).shape
        torch.Size([1, 3, 3, 3, 3])
    """

    rank, ndim = 3, 5

    def __init__(
        self,
        cropping: Cells = ((1, 1), (1, 1), (1, 1)),
        data_format: str | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(cropping, data_format, **options)
