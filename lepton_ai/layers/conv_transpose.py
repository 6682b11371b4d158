"""Transposed convolutions: the gradients of convolutions with respect to their inputs, as layers."""

from typing import Any, Unpack

import torch.nn.functional as F
from torch import Tensor

from lepton_ai.core import ConfigError
from lepton_ai.layers.activations import Function
from lepton_ai.layers.arguments import positive_int
from lepton_ai.layers.conv import Convolution
from lepton_ai.layers.dtypes import as_float
from lepton_ai.layers.kernel import KernelOptions
from lepton_ai.layers.shapes import Shape
from lepton_ai.layers.windows import Window, in_memory_as_inputs, to_channels_first, to_channels_last

_CONVOLVE = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


class ConvTranspose(Convolution[Window]):
    """The base of transposed convolutions.

    Along an axis of `n` cells, with a kernel that spans `k = (kernel_size - 1) * dilation_rate + 1`, come out:
    "valid": `(n - 1) * stride + k + output_padding`, by default at least `n * stride`;
    "same": `n * stride`, or `(n - 1) * stride + k % 2 + output_padding` if that is given.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int | Window,
        strides: int | Window = 1,
        padding: str = "valid",
        output_padding: int | Window | None = None,
        data_format: str | None = None,
        dilation_rate: int | Window = 1,
        activation: str | Function | None = None,
        **options: Unpack[KernelOptions],
    ) -> None:
        super().__init__(kernel_size, strides, padding, data_format, dilation_rate, activation, **options)
        at = type(self).__name__
        self.filters = positive_int(f"{at}.filters", filters)
        self.output_padding = None if output_padding is None else self._beyond(f"{at}.output_padding", output_padding)

    def _beyond(self, at: str, value: int | Window) -> tuple[int, ...]:
        several: tuple[Any, ...] = tuple(value) if isinstance(value, tuple | list) else (value,) * self.rank
        sound = len(several) == self.rank and all(
            isinstance(each, int) and not isinstance(each, bool) and 0 <= each < stride
            for each, stride in zip(several, self.strides, strict=False)
        )
        if not sound:
            raise ConfigError(
                at=at, got=value, expected=f"an int or {self.rank} of them, from 0 to below the strides {self.strides}"
            )
        return several

    def channels_out(self, channels: int | None) -> int:
        return self.filters

    def build(self, input_shape: Any) -> None:
        # torch wants (in, out, *window) here; the fans follow that order, as Keras' do.
        self.add_kernel((self.channels_in(input_shape), self.filters, *self.kernel_size))
        self.weight.data = in_memory_as_inputs(self.weight.data)
        self.add_bias((self.filters,))

    def call(self, x: Tensor) -> Tensor:
        x = to_channels_first(as_float(x, self.weight))
        spans = self._spans()
        cut = [
            (length - 1) * stride + span - self._length(length, axis)
            for axis, (length, stride, span) in enumerate(zip(x.shape[2:], self.strides, spans, strict=True))
        ]
        # What "same" cuts off is, as in the forward convolution, more at the end than before by at most one.
        before = [max(0, cells // 2) if self.padding == "same" else 0 for cells in cut]
        more = [cells - 2 * less for cells, less in zip(cut, before, strict=True)]
        beyond = [max(0, -cells) for cells in more]
        convolve = _CONVOLVE[self.rank]
        y: Tensor = convolve(x, self.weight, self.bias, self.strides, before, beyond, 1, self.dilation_rate)
        for axis, cells in enumerate(more):
            if cells > 0:
                y = y.narrow(2 + axis, 0, y.shape[2 + axis] - cells)
        return self.activation(to_channels_last(y))

    def _spans(self) -> list[int]:
        return [(size - 1) * rate + 1 for size, rate in zip(self.kernel_size, self.dilation_rate, strict=True)]

    def _length(self, length: int, axis: int) -> int:
        stride, span = self.strides[axis], self._spans()[axis]
        given = None if self.output_padding is None else self.output_padding[axis]
        if self.padding == "same":
            return length * stride if given is None else (length - 1) * stride + span % 2 + given
        return (length - 1) * stride + span + (max(0, stride - span) if given is None else given)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        lengths = (None if n is None else self._length(n, axis) for axis, n in enumerate(input_shape[1:-1]))
        return (input_shape[0], *lengths, self.filters)


class Conv1DTranspose(ConvTranspose[tuple[int]]):
    """1D transposed convolution over `(B, T, C)`.

    Shapes: `(B, T, C)` in, `(B, T', filters)` out; for T' see `ConvTranspose`, for the options `KernelLayer`.

    Raises: ConfigError for impossible sizes; ShapeError naming the layer if rank or channels do not fit.

    Example:
        >>> import torch
        >>> Conv1DTranspose(8, 3, strides=2, padding="same")(torch.ones(2, 5, 4)).shape
        torch.Size([2, 10, 8])
    """

    rank, ndim = 1, 3
    keras_axes = {"weight": (2, 1, 0)}


class Conv2DTranspose(ConvTranspose[tuple[int, int]]):
    """2D transposed convolution over `(B, H, W, C)`.

    Shapes: `(B, H, W, C)` in, `(B, H', W', filters)` out; for H' and W' see `ConvTranspose`, for the options
    `KernelLayer`.

    Raises: ConfigError for impossible sizes; ShapeError naming the layer if rank or channels do not fit.

    Example:
        >>> import torch
        >>> Conv2DTranspose(8, 3, strides=2)(torch.ones(2, 5, 5, 4)).shape
        torch.Size([2, 11, 11, 8])
    """

    rank, ndim = 2, 4
    keras_axes = {"weight": (2, 3, 1, 0)}


class Conv3DTranspose(ConvTranspose[tuple[int, int, int]]):
    """3D transposed convolution over `(B, D, H, W, C)`.

    Shapes: `(B, D, H, W, C)` in, `(B, D', H', W', filters)` out; for the sizes see `ConvTranspose`, for the options
    `KernelLayer`.

    Raises: ConfigError for impossible sizes; ShapeError naming the layer if rank or channels do not fit.

    Example:
        >>> import torch
        >>> Conv3DTranspose(4, 2, strides=2)(torch.ones(2, 3, 4, 5, 3)).shape
        torch.Size([2, 6, 8, 10, 4])
    """

    rank, ndim = 3, 5
    keras_axes = {"weight": (2, 3, 4, 1, 0)}
