"""Activations as layers of their own."""

from typing import Any, Unpack

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lepton_ai.core import ConfigError, ShapeError
from lepton_ai.layers.activations import Function, get_activation
from lepton_ai.layers.constraints import Constraint, get_constraint
from lepton_ai.layers.dtypes import as_float
from lepton_ai.layers.initializers import Initializer, get_initializer
from lepton_ai.layers.layer import Layer, LayerOptions
from lepton_ai.layers.regularizers import Regularizer, get_regularizer
from lepton_ai.layers.shapes import Shape, show


class Activation(Layer):
    """A function of each element, by its Keras name or itself.

    Shapes: any in, the same out.

    Raises: UnknownNameError with the nearest name.

    Example:
        >>> Activation("relu")(torch.tensor([[-1.0, 2.0]]))
        tensor([[0., 2.]])
    """

    supports_masking = True

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

    supports_masking = True

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


class LeakyReLU(Layer):
    """`x` where positive, else `negative_slope * x`.

    Shapes: any in, the same out.

    Raises: ConfigError if the slope is negative.

    Example:
        >>> LeakyReLU(0.5)(torch.tensor([[-1.0, 2.0]]))
        tensor([[-0.5000,  2.0000]])
    """

    supports_masking = True

    def __init__(self, negative_slope: float = 0.3, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        if not negative_slope >= 0:
            raise ConfigError(at="LeakyReLU.negative_slope", got=negative_slope, expected="a number >= 0")
        self.negative_slope = negative_slope

    def call(self, x: Tensor) -> Tensor:
        return F.leaky_relu(as_float(x), self.negative_slope)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        return tuple(input_shape)


class ELU(Layer):
    """`x` where positive, else `alpha * (exp(x) - 1)` (Clevert et al., 2016, arXiv:1511.07289).

    Shapes: any in, the same out.

    Raises: ConfigError if `alpha` is negative.

    Example:
        >>> ELU(2.0)(torch.tensor([[-1.0, 2.0]]))
        tensor([[-1.2642,  2.0000]])
    """

    supports_masking = True

    def __init__(self, alpha: float = 1.0, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        if not alpha >= 0:
            raise ConfigError(at="ELU.alpha", got=alpha, expected="a number >= 0")
        self.alpha = alpha

    def call(self, x: Tensor) -> Tensor:
        return F.elu(as_float(x), self.alpha)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        return tuple(input_shape)


class PReLU(Layer):
    """`x` where positive, else `alpha * x` with a learnt `alpha` (He et al., 2015, arXiv:1502.01852).

    Shapes: any of at least two dimensions in, the same out.

    Args:
        shared_axes: axes, counted from 1, along which there is one `alpha`: (1, 2) learns one for each channel of
            an image of any size.

    Raises: ConfigError for impossible axes; ShapeError if a size that is not shared is free or changes.

    Example:
        >>> PReLU("ones", shared_axes=(1,))(torch.tensor([[-1.0, 2.0]])).detach()
        tensor([[-1.,  2.]])
    """

    supports_masking = True
    min_ndim = 2
    alpha: nn.Parameter

    def __init__(
        self,
        alpha_initializer: str | Initializer = "zeros",
        alpha_regularizer: str | Regularizer | None = None,
        alpha_constraint: str | Constraint | None = None,
        *,
        shared_axes: int | tuple[int, ...] | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        self.alpha_initializer = get_initializer(alpha_initializer)
        self.alpha_regularizer = get_regularizer(alpha_regularizer)
        self.alpha_constraint = get_constraint(alpha_constraint)
        axes = shared_axes if isinstance(shared_axes, tuple | list) else () if shared_axes is None else (shared_axes,)
        if not all(isinstance(axis, int) and not isinstance(axis, bool) and axis > 0 for axis in axes):
            raise ConfigError(at="PReLU.shared_axes", got=shared_axes, expected="axes from 1; 0 is the batch")
        self.shared_axes = None if shared_axes is None else tuple(axes)

    def build(self, input_shape: Any) -> None:
        shared = self.shared_axes or ()
        self.fixed_axes = tuple(axis for axis in range(1, len(input_shape)) if axis not in shared)
        if max(shared, default=1) >= len(input_shape) or any(input_shape[axis] is None for axis in self.fixed_axes):
            raise ShapeError(
                f"got an input of shape {show(input_shape)}, expected fixed sizes but at shared_axes={shared}",
                at=self.label,
                fix="Share the axes whose size is free.",
            )
        shape = tuple(input_shape[axis] if axis in self.fixed_axes else 1 for axis in range(1, len(input_shape)))
        self.add_weight(
            "alpha", shape, self.alpha_initializer, regularizer=self.alpha_regularizer, constraint=self.alpha_constraint
        )

    def call(self, x: Tensor) -> Tensor:
        self.check_shape(tuple(x.shape))  # broadcasting would let sizes of 1 pass
        x = as_float(x, self.alpha)
        return torch.where(x > 0, x, self.alpha * x)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        return tuple(input_shape)


class Softmax(Layer):
    """`exp(x) / sum(exp(x))`, the sum over `axis`.

    Shapes: any of at least two dimensions in, the same out.

    Example:
        >>> Softmax()(torch.zeros(1, 4))
        tensor([[0.2500, 0.2500, 0.2500, 0.2500]])
    """

    supports_masking = True
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
