"""Activations as layers of their own."""

from typing import Any, Unpack

import torch
import torch.nn.functional as F
from torch import Tensor

from lepton_ai.core import ConfigError
from lepton_ai.layers.activations import Function, get_activation
from lepton_ai.layers.dtypes import as_float
from lepton_ai.layers.layer import Layer, LayerOptions
from lepton_ai.layers.shapes import Shape


class Activation(Layer):
    """A function of each element, by its Keras name or itself.

    Shapes: any in, the same out.

    Raises: UnknownNameError with the nearest name.

    Example:
        >>> Activation("relu")(torch.tensor([[-1.0, 2.0]]))
        tensor([[0., 2.]])
    """

    def __init__(self, activation: str | Function | None, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self.activation = get_activation(activation)

    def call(self, x: Tensor) -> Tensor:
        return self.activation(as_float(x))

    def compute_output_shape(self, input_shape: Any) -> Shape:
        return tuple(input_shape)


class ReLU(Layer):
    """`x` from `threshold` up to `max_value`; below, `negative_slope * (x - threshold)`.

    Shapes: any in, the same out.

    Raises: ConfigError if an argument is negative.

    Example:
        >>> ReLU(max_value=6, negative_slope=0.5)(torch.tensor([[-1.0, 2.0, 8.0]]))
        tensor([[-0.5000,  2.0000,  6.0000]])
    """

    def __init__(
        self,
        max_value: float | None = None,
        negative_slope: float = 0.0,
        threshold: float = 0.0,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        for at, value in (("max_value", max_value), ("negative_slope", negative_slope), ("threshold", threshold)):
            if value is not None and not value >= 0:
                raise ConfigError(at=f"ReLU.{at}", got=value, expected="a number >= 0")
        self.max_value = max_value
        self.negative_slope = negative_slope
        self.threshold = threshold

    def call(self, x: Tensor) -> Tensor:
        x = as_float(x)
        if self.threshold:
            y = torch.where(x >= self.threshold, x, self.negative_slope * (x - self.threshold))
        else:
            y = F.leaky_relu(x, self.negative_slope) if self.negative_slope else torch.relu(x)
        return y if self.max_value is None else y.clamp(max=self.max_value)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        return tuple(input_shape)


class Softmax(Layer):
    """`exp(x) / sum(exp(x))`, the sum over `axis`.

    Shapes: any of at least two dimensions in, the same out.

    Example:
        >>> Softmax()(torch.zeros(1, 4))
        tensor([[0.2500, 0.2500, 0.2500, 0.2500]])
    """

    min_ndim = 2

    def __init__(self, axis: int = -1, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        if isinstance(axis, bool) or not isinstance(axis, int) or axis == 0:
            raise ConfigError(at="Softmax.axis", got=axis, expected="an int other than 0, the batch")
        self.axis = axis

    def call(self, x: Tensor) -> Tensor:
        return torch.softmax(as_float(x), self.axis)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        return tuple(input_shape)
