"""Convolutions that treat each channel by itself, and those that mix the channels afterwards."""

from typing import Any, Unpack

import torch.nn.functional as F
from torch import Tensor, nn

from lepton_ai.layers.activations import Function
from lepton_ai.layers.arguments import positive_int
from lepton_ai.layers.constraints import Constraint, get_constraint
from lepton_ai.layers.conv import Convolution
from lepton_ai.layers.dtypes import as_float
from lepton_ai.layers.initializers import Initializer, get_initializer
from lepton_ai.layers.kernel import BiasOptions
from lepton_ai.layers.regularizers import Regularizer, get_regularizer
from lepton_ai.layers.windows import Window, in_memory_as_inputs, to_channels_first, to_channels_last


class Depthwise(Convolution[Window]):
    """The base of layers with `depth_multiplier` kernels for each channel.

    Keras keeps them as (*window, C, multiplier), torch as (C * multiplier, 1, *window).
    """

    def __init__(
        self,
        kernel_size: int | Window,
        strides: int | Window,
        padding: str,
        depth_multiplier: int,
        data_format: str | None,
        dilation_rate: int | Window,
        activation: str | Function | None,
        depthwise_initializer: str | Initializer,
        depthwise_regularizer: str | Regularizer | None,
        depthwise_constraint: str | Constraint | None,
        **options: Unpack[BiasOptions],
    ) -> None:
        super().__init__(
            kernel_size, strides, padding, data_format, dilation_rate, activation,
            kernel_initializer=depthwise_initializer, kernel_regularizer=depthwise_regularizer,
            kernel_constraint=depthwise_constraint, **options,
        )  # fmt: skip
        self.depth_multiplier = positive_int(f"{type(self).__name__}.depth_multiplier", depth_multiplier)
        self.depthwise_initializer = self.kernel_initializer
        self.depthwise_regularizer = self.kernel_regularizer
        self.depthwise_constraint = self.kernel_constraint

    @property
    def channels(self) -> int:
        """The input's channels; from the kernel, since any number of groups that divides it would pass in torch."""
        return len(self.weight) // self.depth_multiplier

    def add_depthwise(self, channels: int) -> None:
        """Make `weight`, with the fans that Keras counts."""
        self.add_kernel((self.depth_multiplier, channels, *self.kernel_size))
        self.weight.data = in_memory_as_inputs(self.weight.data.transpose(0, 1).flatten(0, 1).unsqueeze(1))

    def _to_keras(self, name: str, value: Tensor) -> Tensor:
        if name != "weight":
            return super()._to_keras(name, value)
        split = value.reshape(-1, self.depth_multiplier, *value.shape[2:])
        return split.permute(*range(2, self.rank + 2), 0, 1)

    def _from_keras(self, name: str, array: Tensor) -> Tensor:
        if name != "weight":
            return super()._from_keras(name, array)
        return array.permute(-2, -1, *range(self.rank)).flatten(0, 1).unsqueeze(1)


class DepthwiseConv(Depthwise[Window]):
    """The base of depthwise convolutions."""

    def __init__(
        self,
        kernel_size: int | Window,
        strides: int | Window = 1,
        padding: str = "valid",
        depth_multiplier: int = 1,
        data_format: str | None = None,
        dilation_rate: int | Window = 1,
        activation: str | Function | None = None,
        *,
        depthwise_initializer: str | Initializer = "glorot_uniform",
        depthwise_regularizer: str | Regularizer | None = None,
        depthwise_constraint: str | Constraint | None = None,
        **options: Unpack[BiasOptions],
    ) -> None:
        super().__init__(
            kernel_size, strides, padding, depth_multiplier, data_format, dilation_rate, activation,
            depthwise_initializer, depthwise_regularizer, depthwise_constraint, **options,
        )  # fmt: skip

    def channels_out(self, channels: int | None) -> int | None:
        return None if channels is None else channels * self.depth_multiplier

    def build(self, input_shape: Any) -> None:
        channels = self.channels_in(input_shape)
        self.compute_output_shape(input_shape)
        self.add_depthwise(channels)
        self.add_bias((channels * self.depth_multiplier,))

    def call(self, x: Tensor) -> Tensor:
        x = to_channels_first(as_float(x, self.weight))
        return self.activation(to_channels_last(self.convolve(x, self.bias, self.channels)))


class DepthwiseConv1D(DepthwiseConv[tuple[int]]):
    """1D convolution of each channel by itself.

    Shapes: `(B, T, C)` in, `(B, T', C * depth_multiplier)` out. For the options see `BiasOptions`.

    Raises: ConfigError for impossible sizes; ShapeError naming the layer if rank or channels do not fit.

    Example:
        >>> import torch
        >>> DepthwiseConv1D(3, depth_multiplier=2)(torch.ones(2, 10, 4)).shape
        torch.Size([2, 8, 8])
    """

    rank, ndim = 1, 3


class DepthwiseConv2D(DepthwiseConv[tuple[int, int]]):
    """2D convolution of each channel by itself.

    Shapes: `(B, H, W, C)` in, `(B, H', W', C * depth_multiplier)` out. For the options see `BiasOptions`.

    Raises: ConfigError for impossible sizes; ShapeError naming the layer if rank or channels do not fit.

    Example:
        >>> import torch
        >>> DepthwiseConv2D(3, padding="same")(torch.ones(2, 10, 10, 4)).shape
        torch.Size([2, 10, 10, 4])
    """

    rank, ndim = 2, 4


class SeparableConv(Depthwise[Window]):
    """The base of depthwise convolutions with one of size 1 over all channels behind (Chollet, arXiv:1610.02357)."""

    pointwise: nn.Parameter

    def __init__(
        self,
        filters: int,
        kernel_size: int | Window,
        strides: int | Window = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: int | Window = 1,
        depth_multiplier: int = 1,
        activation: str | Function | None = None,
        *,
        depthwise_initializer: str | Initializer = "glorot_uniform",
        pointwise_initializer: str | Initializer = "glorot_uniform",
        depthwise_regularizer: str | Regularizer | None = None,
        pointwise_regularizer: str | Regularizer | None = None,
        depthwise_constraint: str | Constraint | None = None,
        pointwise_constraint: str | Constraint | None = None,
        **options: Unpack[BiasOptions],
    ) -> None:
        super().__init__(
            kernel_size, strides, padding, depth_multiplier, data_format, dilation_rate, activation,
            depthwise_initializer, depthwise_regularizer, depthwise_constraint, **options,
        )  # fmt: skip
        self.filters = positive_int(f"{type(self).__name__}.filters", filters)
        self.pointwise_initializer = get_initializer(pointwise_initializer)
        self.pointwise_regularizer = get_regularizer(pointwise_regularizer)
        self.pointwise_constraint = get_constraint(pointwise_constraint)

    def channels_out(self, channels: int | None) -> int:
        return self.filters

    def build(self, input_shape: Any) -> None:
        channels = self.channels_in(input_shape)
        self.compute_output_shape(input_shape)
        self.add_depthwise(channels)
        shape = (self.filters, channels * self.depth_multiplier, *(1,) * self.rank)
        self.add_weight(
            "pointwise",
            shape,
            self.pointwise_initializer,
            regularizer=self.pointwise_regularizer,
            constraint=self.pointwise_constraint,
        )
        self.add_bias((self.filters,))

    def call(self, x: Tensor) -> Tensor:
        x = to_channels_first(as_float(x, self.weight))
        y = to_channels_last(self.convolve(x, None, self.channels))
        # A convolution of size 1 is a matrix product over the channels, which are last already.
        return self.activation(F.linear(y, self.pointwise.flatten(1), self.bias))


class SeparableConv1D(SeparableConv[tuple[int]]):
    """1D convolution of each channel by itself, then a mix of the channels into `filters`.

    Shapes: `(B, T, C)` in, `(B, T', filters)` out. For the options see `BiasOptions`.

    Raises: ConfigError for impossible sizes; ShapeError naming the layer if rank or channels do not fit.

    Example:
        >>> import torch
        >>> SeparableConv1D(8, 3)(torch.ones(2, 10, 4)).shape
        torch.Size([2, 8, 8])
    """

    rank, ndim = 1, 3
    keras_axes = {"pointwise": (2, 1, 0)}


class SeparableConv2D(SeparableConv[tuple[int, int]]):
    """2D convolution of each channel by itself, then a mix of the channels into `filters`.

    Shapes: `(B, H, W, C)` in, `(B, H', W', filters)` out. For the options see `BiasOptions`.

    Raises: ConfigError for impossible sizes; ShapeError naming the layer if rank or channels do not fit.

    Example:
        >>> import torch
        >>> SeparableConv2D(8, 3, strides=2, padding="same")(torch.ones(2, 10, 10, 4)).shape
        torch.Size([2, 5, 5, 8])
    """

    rank, ndim = 2, 4
    keras_axes = {"pointwise": (2, 3, 1, 0)}
