"""Convolutions."""

import abc
from typing import Any, ClassVar, Generic, Unpack

import torch
import torch.nn.functional as F
from torch import Tensor

from lepton_ai.core import ConfigError, ShapeError
from lepton_ai.layers.activations import Function, get_activation
from lepton_ai.layers.arguments import channels_last, one_of, positive_int, sizes
from lepton_ai.layers.dtypes import as_float
from lepton_ai.layers.kernel import KernelLayer, KernelOptions
from lepton_ai.layers.shapes import Shape, show
from lepton_ai.layers.windows import (
    Window,
    around,
    flat,
    in_memory_as_inputs,
    spatial_shape,
    to_channels_first,
    to_channels_last,
)

_MANY_CHANNELS, _FEW_CELLS = 256, 16
_CONVOLVE = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


class Convolution(KernelLayer, Generic[Window], abc.ABC):
    """The base of layers that slide a kernel over `(B, *spatial, C)`.

    The kernel sees `(B, C, *spatial)` through permuted views over channels-last memory, so nothing is copied.
    """

    rank: ClassVar[int]
    paddings: ClassVar[tuple[str, ...]] = ("valid", "same")
    fixed_axes = (-1,)

    def __init__(
        self,
        kernel_size: int | Window,
        strides: int | Window,
        padding: str,
        data_format: str | None,
        dilation_rate: int | Window,
        activation: str | Function | None,
        **options: Unpack[KernelOptions],
    ) -> None:
        super().__init__(**options)
        at = type(self).__name__
        self.kernel_size = sizes(f"{at}.kernel_size", kernel_size, self.rank)
        self.strides = sizes(f"{at}.strides", strides, self.rank)
        self.padding = one_of(f"{at}.padding", padding, self.paddings)
        channels_last(f"{at}.data_format", data_format)
        self.data_format = data_format
        self.dilation_rate = sizes(f"{at}.dilation_rate", dilation_rate, self.rank)
        if max(self.strides) > 1 and max(self.dilation_rate) > 1:
            raise ConfigError(at=at, got=(self.strides, self.dilation_rate), expected="strides or dilation above 1")
        self.activation = get_activation(activation)

    @abc.abstractmethod
    def channels_out(self, channels: int | None) -> int | None:
        """The output's channels, from the input's."""

    def channels_in(self, input_shape: Any, groups: int = 1) -> int:
        """The input's channels.

        Raises: ShapeError if they are free or cannot be grouped.
        """
        channels: int | None = input_shape[-1]
        if channels is None or channels % groups:
            raise ShapeError(
                f"got an input of shape {show(input_shape)}, expected a number of channels that is a "
                f"multiple of groups={groups}",
                at=self.label,
            )
        return channels

    def convolve(self, x: Tensor, bias: Tensor | None, groups: int, kernel: Tensor | None = None) -> Tensor:
        """`x`, `(B, C, *spatial)`, under the kernel: this layer's, or another of as many channels and its size."""
        padding: tuple[int, ...] = (0,) * self.rank
        if self.padding == "causal":
            x = F.pad(x, ((self.kernel_size[0] - 1) * self.dilation_rate[0], 0))
        elif self.padding == "same":
            pairs = around(x, self.kernel_size, self.strides, self.dilation_rate)
            if all(before == after for before, after in pairs):
                padding = tuple(before for before, _ in pairs)
            else:
                x = F.pad(x, flat(pairs))
        convolve = _CONVOLVE[self.rank]
        kernel = self.weight if kernel is None else kernel
        crowded = is_crowded(x, kernel)
        if crowded:
            x, kernel = x.contiguous(), kernel.contiguous()
        y: Tensor = convolve(x, kernel, bias, self.strides, padding, self.dilation_rate, groups)
        return y.contiguous(memory_format=torch.channels_last) if crowded else y

    def compute_output_shape(self, input_shape: Any) -> Shape:
        spatial = spatial_shape(
            self.label, input_shape, self.kernel_size, self.strides, self.padding, self.dilation_rate
        )
        return (input_shape[0], *spatial, self.channels_out(input_shape[-1]))


def is_crowded(x: Tensor, kernel: Tensor) -> bool:
    """Whether images, `(B, C, H, W)`, have so many channels on so few cells that a CPU's kernels for channels in front
    are faster, copies included: 1.1 to 1.7 times, forwards and backwards together."""
    if x.ndim != 4 or x.device.type != "cpu" or x.dtype != torch.float32 or torch.compiler.is_compiling():
        return False
    many = min(kernel.shape[0], kernel.shape[1]) >= _MANY_CHANNELS and kernel.shape[2] * kernel.shape[3] > 1
    return many and x.shape[2] * x.shape[3] <= _FEW_CELLS and not torch.is_autocast_enabled("cpu")


class Conv(Convolution[Window]):
    """The base of convolutions in which a filter sees all channels, or those of its group."""

    def __init__(
        self,
        filters: int,
        kernel_size: int | Window,
        strides: int | Window = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: int | Window = 1,
        groups: int = 1,
        activation: str | Function | None = None,
        **options: Unpack[KernelOptions],
    ) -> None:
        super().__init__(kernel_size, strides, padding, data_format, dilation_rate, activation, **options)
        at = type(self).__name__
        self.filters = positive_int(f"{at}.filters", filters)
        self.groups = positive_int(f"{at}.groups", groups)
        if filters % groups:
            raise ConfigError(at=f"{at}.filters", got=filters, expected=f"a multiple of groups={groups}")

    def channels_out(self, channels: int | None) -> int:
        return self.filters

    def build(self, input_shape: Any) -> None:
        channels = self.channels_in(input_shape, self.groups)
        self.compute_output_shape(input_shape)
        self.add_kernel((self.filters, channels // self.groups, *self.kernel_size))
        self.weight.data = in_memory_as_inputs(self.weight.data)
        self.add_bias((self.filters,))

    def call(self, x: Tensor, bare: bool = False) -> Tensor:
        """The filters' answers; `bare` ones are for `finish`, when they were pooled."""
        x = to_channels_first(as_float(x, self.weight))
        y = to_channels_last(self.convolve(x, self.early_bias(bare), self.groups))
        return y if bare else self.activation(y)

    def finish(self, y: Tensor) -> Tensor:
        """What is left to do for a bare answer: the activation, and the bias where it is not in yet."""
        if self.bias is not None and self.early_bias(bare=True) is None:
            y = y + self.bias.to(y.dtype)
        return self.activation(y)

    def early_bias(self, bare: bool) -> Tensor | None:
        """The bias that the convolution itself adds, which is free; its gradient there can cost more than that of
        the kernel, so that in training a bias waits for pooling, where it can."""
        return None if bare and self.training else self.bias


class Conv1D(Conv[tuple[int]]):
    """1D convolution over `(B, T, C)`.

    Shapes: `(B, T, C)` in, `(B, T', filters)` out. With `padding="causal"` an output sees no later input. For the
    options see `KernelLayer`.

    Raises: ConfigError for impossible sizes; ShapeError naming the layer if rank or channels do not fit.

    Example:
        >>> import torch
        >>> Conv1D(8, 3, padding="causal", dilation_rate=2)(torch.ones(2, 10, 4)).shape
        torch.Size([2, 10, 8])
    """

    rank, ndim = 1, 3
    paddings = ("valid", "same", "causal")
    keras_axes = {"weight": (2, 1, 0)}


class Conv2D(Conv[tuple[int, int]]):
    """2D convolution over `(B, H, W, C)`.

    Shapes: `(B, H, W, C)` in, `(B, H', W', filters)` out. For the options see `KernelLayer`.

    Raises: ConfigError for impossible sizes; ShapeError naming the layer if rank or channels do not fit.

    Example:
        >>> import torch
        >>> Conv2D(32, (3, 3), activation="relu")(torch.ones(2, 32, 32, 3)).shape
        torch.Size([2, 30, 30, 32])
    """

    rank, ndim = 2, 4
    keras_axes = {"weight": (2, 3, 1, 0)}


class Conv3D(Conv[tuple[int, int, int]]):
    """3D convolution over `(B, D, H, W, C)`.

    Shapes: `(B, D, H, W, C)` in, `(B, D', H', W', filters)` out. For the options see `KernelLayer`.

    Raises: ConfigError for impossible sizes; ShapeError naming the layer if rank or channels do not fit.

    Example:
        >>> import torch
        >>> Conv3D(4, 3, padding="same")(torch.ones(2, 5, 6, 7, 3)).shape
        torch.Size([2, 5, 6, 7, 4])
    """

    rank, ndim = 3, 5
    keras_axes = {"weight": (2, 3, 4, 1, 0)}
