"""Convolutions."""

from typing import Any, Unpack

import torch
import torch.nn.functional as F
from torch import Tensor

from lepton_ai.core import ConfigError, ShapeError
from lepton_ai.layers.activations import Function, get_activation
from lepton_ai.layers.arguments import channels_last, one_of, positive_int, sizes
from lepton_ai.layers.dtypes import as_float
from lepton_ai.layers.kernel import KernelLayer, KernelOptions
from lepton_ai.layers.shapes import Shape, conv_length, same_padding, show


class Conv2D(KernelLayer):
    """2D convolution over `(B, H, W, C)`.

    Shapes: `(B, H, W, C)` in, `(B, H', W', filters)` out. The kernel sees NCHW through permuted views over
    channels-last memory, so nothing is copied. For the options see `KernelLayer`.

    Raises: ConfigError for impossible sizes; ShapeError naming the layer if rank or channels do not fit.

    Example:
        >>> Conv2D(32, (3, 3), activation="relu")(torch.ones(2, 32, 32, 3)).shape
        torch.Size([2, 30, 30, 32])
    """

    ndim = 4
    fixed_axes = (-1,)
    keras_axes = {"weight": (2, 3, 1, 0)}

    def __init__(
        self,
        filters: int,
        kernel_size: int | tuple[int, int],
        strides: int | tuple[int, int] = (1, 1),
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: int | tuple[int, int] = (1, 1),
        groups: int = 1,
        activation: str | Function | None = None,
        **options: Unpack[KernelOptions],
    ) -> None:
        super().__init__(**options)
        self.filters = positive_int("Conv2D.filters", filters)
        self.kernel_size = sizes("Conv2D.kernel_size", kernel_size, 2)
        self.strides = sizes("Conv2D.strides", strides, 2)
        self.padding = one_of("Conv2D.padding", padding, ("valid", "same"))
        channels_last("Conv2D.data_format", data_format)
        self.data_format = data_format
        self.dilation_rate = sizes("Conv2D.dilation_rate", dilation_rate, 2)
        self.groups = positive_int("Conv2D.groups", groups)
        if max(self.strides) > 1 and max(self.dilation_rate) > 1:
            raise ConfigError(
                at="Conv2D", got=(self.strides, self.dilation_rate), expected="strides or dilation above 1"
            )
        if filters % groups:
            raise ConfigError(at="Conv2D.filters", got=filters, expected=f"a multiple of groups={groups}")
        self.activation = get_activation(activation)

    def build(self, input_shape: Any) -> None:
        channels = input_shape[-1]
        if channels is None or channels % self.groups:
            raise ShapeError(
                f"got an input of shape {show(input_shape)}, expected a number of channels that is a "
                f"multiple of groups={self.groups}",
                at=self.label,
            )
        self.compute_output_shape(input_shape)
        self.add_kernel((self.filters, channels // self.groups, *self.kernel_size))
        self.weight.data = self.weight.data.contiguous(memory_format=torch.channels_last)
        self.add_bias((self.filters,))

    def call(self, x: Tensor) -> Tensor:
        x = as_float(x, self.weight).permute(0, 3, 1, 2)
        padding: tuple[int, ...] = (0, 0)
        if self.padding == "same":
            (top, bottom), (left, right) = (
                same_padding(length, kernel, stride, dilation)
                for length, kernel, stride, dilation in zip(
                    x.shape[2:], self.kernel_size, self.strides, self.dilation_rate, strict=True
                )
            )
            if top == bottom and left == right:
                padding = (top, left)
            else:
                x = F.pad(x, (left, right, top, bottom))
        y = F.conv2d(x, self.weight, self.bias, self.strides, padding, self.dilation_rate, self.groups)
        return self.activation(y.permute(0, 2, 3, 1))

    def compute_output_shape(self, input_shape: Any) -> Shape:
        spatial = tuple(
            conv_length(length, kernel, stride, self.padding, dilation)
            for length, kernel, stride, dilation in zip(
                input_shape[1:3], self.kernel_size, self.strides, self.dilation_rate, strict=True
            )
        )
        if 0 in spatial:
            raise ShapeError(
                f"got an input of shape {show(input_shape)}, smaller than the kernel {self.kernel_size}",
                at=self.label,
                fix='Give larger images, or write padding="same".',
            )
        return (input_shape[0], *spatial, self.filters)
