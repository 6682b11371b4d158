"""Normalisation of what flows between layers."""

from collections.abc import Callable
from typing import Any, Unpack

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lepton_ai.core import ConfigError, ShapeError
from lepton_ai.layers.arguments import fraction, positive_int
from lepton_ai.layers.constraints import Constraint, get_constraint
from lepton_ai.layers.dtypes import as_float
from lepton_ai.layers.initializers import Initializer, get_initializer
from lepton_ai.layers.layer import Layer, LayerOptions
from lepton_ai.layers.masks import check_mask
from lepton_ai.layers.pooled_statistics import Poolable, pooled_norm, pooled_sum
from lepton_ai.layers.regularizers import Regularizer, get_regularizer
from lepton_ai.layers.shapes import Shape, show


class AffineNormalization(Layer):
    """The base of normalisations that end in a learnt scale (`weight`, Keras' gamma) and shift (`bias`, beta)."""

    supports_masking = True
    weight: nn.Parameter | None
    bias: nn.Parameter | None
    min_ndim = 2

    def __init__(
        self,
        axis: int | tuple[int, ...],
        epsilon: float,
        center: bool,
        scale: bool,
        beta_initializer: str | Initializer,
        gamma_initializer: str | Initializer,
        beta_regularizer: str | Regularizer | None,
        gamma_regularizer: str | Regularizer | None,
        beta_constraint: str | Constraint | None,
        gamma_constraint: str | Constraint | None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        at = type(self).__name__
        self.fixed_axes = _axes(f"{at}.axis", axis)
        self.axis = axis
        if not epsilon > 0:
            raise ConfigError(at=f"{at}.epsilon", got=epsilon, expected="a positive number")
        self.epsilon = epsilon
        self.center = center
        self.scale = scale
        self.beta_initializer = get_initializer(beta_initializer)
        self.gamma_initializer = get_initializer(gamma_initializer)
        self.beta_regularizer = get_regularizer(beta_regularizer)
        self.gamma_regularizer = get_regularizer(gamma_regularizer)
        self.beta_constraint = get_constraint(beta_constraint)
        self.gamma_constraint = get_constraint(gamma_constraint)

    def build(self, input_shape: Any) -> None:
        rank = len(input_shape)
        if not all(-rank <= axis < rank and input_shape[axis] is not None for axis in self.fixed_axes):
            raise ShapeError(
                f"got an input of shape {show(input_shape)}, expected fixed sizes at axis {self.axis}", at=self.label
            )
        shape = tuple(input_shape[axis] for axis in sorted(axis % rank for axis in self.fixed_axes))
        if self.scale:
            self.add_weight(
                "weight",
                shape,
                self.gamma_initializer,
                regularizer=self.gamma_regularizer,
                constraint=self.gamma_constraint,
            )
        else:
            self.register_parameter("weight", None)
        if self.center:
            self.add_weight(
                "bias",
                shape,
                self.beta_initializer,
                regularizer=self.beta_regularizer,
                constraint=self.beta_constraint,
            )
        else:
            self.register_parameter("bias", None)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        return tuple(input_shape)

    def over_axes(self, x: Tensor, function: Callable[[Tensor, list[int]], Tensor]) -> Tensor:
        """`function` of `x` and of the sizes at `axis`, which it sees as the last ones."""
        axes = sorted(axis % x.ndim for axis in self.fixed_axes)
        last = list(range(x.ndim - len(axes), x.ndim))
        shape = [x.shape[axis] for axis in axes]
        if axes == last:
            return function(x, shape)
        return function(x.movedim(axes, last), shape).movedim(last, axes)


class BatchNormalization(AffineNormalization, Poolable):
    """Each channel over the batch to mean 0 and variance 1, then scaled and shifted.

    Ioffe and Szegedy, 2015 (arXiv:1502.03167). Training uses the batch's statistics and moves the running ones
    towards them, `running = momentum * running + (1 - momentum) * batch`, with the biased variance as Keras
    (torch takes the unbiased one). Inference, and a frozen layer, use the running ones. The batch is that of all
    workers that train together, unless they are told otherwise.

    Shapes: any with the channels at `axis` in, the same out. With a `mask`, `(B, T)`, the batch's statistics are those
    of the steps that count.

    Raises: ConfigError for impossible settings; ShapeError if the number of channels is free or changes.

    Example:
        >>> BatchNormalization()(torch.ones(2, 8, 8, 3)).shape
        torch.Size([2, 8, 8, 3])
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(
        self,
        axis: int = -1,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: str | Initializer = "zeros",
        gamma_initializer: str | Initializer = "ones",
        moving_mean_initializer: str | Initializer = "zeros",
        moving_variance_initializer: str | Initializer = "ones",
        beta_regularizer: str | Regularizer | None = None,
        gamma_regularizer: str | Regularizer | None = None,
        beta_constraint: str | Constraint | None = None,
        gamma_constraint: str | Constraint | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(
            axis, epsilon, center, scale, beta_initializer, gamma_initializer,
            beta_regularizer, gamma_regularizer, beta_constraint, gamma_constraint, **options,
        )  # fmt: skip
        self.momentum = fraction("BatchNormalization.momentum", momentum)
        self.moving_mean_initializer = get_initializer(moving_mean_initializer)
        self.moving_variance_initializer = get_initializer(moving_variance_initializer)

    def build(self, input_shape: Any) -> None:
        super().build(input_shape)
        shape = (input_shape[self.fixed_axes[0]],)
        self.add_buffer("running_mean", shape, self.moving_mean_initializer)
        self.add_buffer("running_var", shape, self.moving_variance_initializer)

    def call(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        channel = self.fixed_axes[0]
        # For images a view that is channels last in memory, for which torch's kernels have a fast path.
        y = as_float(x, self.running_mean).movedim(channel, 1)
        if mask is not None and self.training and self.trainable:
            mask = mask if mask.ndim > 2 else check_mask(mask, x.shape, self.label)
            mask = mask.reshape(*mask.shape, *(1,) * (x.ndim - mask.ndim)).expand_as(x)
            y = self._over_kept(y, mask.movedim(channel, 1))
        elif self.training and self.trainable and self.pool is not None:
            found = pooled_norm(y, self.weight, self.bias, self.epsilon, self.pool)
            y = found.output
            self._follow(found.mean, (found.variance + self.epsilon).rsqrt())
        elif self.training and self.trainable:
            y, mean, inverse = torch.native_batch_norm(y, self.weight, self.bias, None, None, True, 0.0, self.epsilon)
            self._follow(mean.detach(), inverse.detach())
        else:
            y = F.batch_norm(y, self.running_mean, self.running_var, self.weight, self.bias, eps=self.epsilon)
        return y.movedim(1, channel)

    def _over_kept(self, y: Tensor, mask: Tensor) -> Tensor:
        """`y`, `(B, C, ...)`, by the statistics of the elements where `mask` is True."""
        axes = [0, *range(2, y.ndim)]
        # As Keras: nothing to count gives 0, not NaN.
        count = self._total(mask.to(y.dtype).sum(axes, keepdim=True)) + 1e-7
        mean = self._total(y.masked_fill(~mask, 0.0).sum(axes, keepdim=True)) / count
        variance = self._total((y - mean).masked_fill(~mask, 0.0).square().sum(axes, keepdim=True)) / count
        inverse = (variance + self.epsilon).rsqrt()
        self._follow(mean.detach().flatten(), inverse.detach().flatten())
        y = (y - mean) * inverse
        shape = (-1, *(1,) * (y.ndim - 2))
        y = y if self.weight is None else y * self.weight.view(shape)
        return y if self.bias is None else y + self.bias.view(shape)

    def _total(self, value: Tensor) -> Tensor:
        """`value` over all workers, if several train this together."""
        return value if self.pool is None else pooled_sum(value, self.pool)

    def _follow(self, mean: Tensor, inverse: Tensor) -> None:
        """Move the running statistics; `inverse` is 1 / sqrt(biased variance + epsilon)."""
        variance = inverse.square().reciprocal() - self.epsilon
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), 1 - self.momentum)
        self.running_var.lerp_(variance.to(self.running_var.dtype).clamp(min=0), 1 - self.momentum)


class LayerNormalization(AffineNormalization):
    """Each example over `axis` to mean 0 and variance 1, then scaled and shifted.

    Ba et al., 2016 (arXiv:1607.06450). Shapes: any in, the same out.

    Raises: ConfigError for impossible settings; ShapeError if the sizes at `axis` are free or change.

    Example:
        >>> LayerNormalization()(torch.ones(2, 5, 8)).shape
        torch.Size([2, 5, 8])
    """

    def __init__(
        self,
        axis: int | tuple[int, ...] = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: str | Initializer = "zeros",
        gamma_initializer: str | Initializer = "ones",
        beta_regularizer: str | Regularizer | None = None,
        gamma_regularizer: str | Regularizer | None = None,
        beta_constraint: str | Constraint | None = None,
        gamma_constraint: str | Constraint | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(
            axis, epsilon, center, scale, beta_initializer, gamma_initializer,
            beta_regularizer, gamma_regularizer, beta_constraint, gamma_constraint, **options,
        )  # fmt: skip

    def call(self, x: Tensor) -> Tensor:
        return self.over_axes(
            as_float(x, self.weight), lambda y, shape: F.layer_norm(y, shape, self.weight, self.bias, self.epsilon)
        )


class RMSNormalization(AffineNormalization):
    """Each example over `axis` to a root mean square of 1, then scaled.

    Zhang and Sennrich, 2019 (arXiv:1910.07467). Shapes: any in, the same out.

    Raises: ConfigError for impossible settings; ShapeError if the sizes at `axis` are free or change.

    Example:
        >>> RMSNormalization()(torch.tensor([[3.0, -3.0]])).detach()
        tensor([[ 1.0000, -1.0000]])
    """

    def __init__(
        self, axis: int | tuple[int, ...] = -1, epsilon: float = 1e-6, **options: Unpack[LayerOptions]
    ) -> None:
        super().__init__(axis, epsilon, False, True, "zeros", "ones", None, None, None, None, **options)

    def call(self, x: Tensor) -> Tensor:
        return self.over_axes(
            as_float(x, self.weight), lambda y, shape: F.rms_norm(y, shape, self.weight, self.epsilon)
        )


class GroupNormalization(AffineNormalization):
    """Each example, in each group of channels, to mean 0 and variance 1; then each channel scaled and shifted.

    Wu and He, 2018 (arXiv:1803.08494). Shapes: any with the channels at `axis` in, the same out.

    Args:
        groups: how many; 1 normalises over all channels, -1 each channel by itself.

    Raises: ConfigError for impossible settings; ShapeError if the channels are free, change or cannot be grouped.

    Example:
        >>> GroupNormalization(groups=2)(torch.ones(2, 8, 8, 6)).shape
        torch.Size([2, 8, 8, 6])
    """

    def __init__(
        self,
        groups: int = 32,
        axis: int = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: str | Initializer = "zeros",
        gamma_initializer: str | Initializer = "ones",
        beta_regularizer: str | Regularizer | None = None,
        gamma_regularizer: str | Regularizer | None = None,
        beta_constraint: str | Constraint | None = None,
        gamma_constraint: str | Constraint | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(
            axis, epsilon, center, scale, beta_initializer, gamma_initializer,
            beta_regularizer, gamma_regularizer, beta_constraint, gamma_constraint, **options,
        )  # fmt: skip
        self.groups = -1 if groups == -1 else positive_int("GroupNormalization.groups", groups)

    def build(self, input_shape: Any) -> None:
        super().build(input_shape)
        channels = input_shape[self.fixed_axes[0]]
        if self.groups != -1 and channels % self.groups:
            raise ShapeError(
                f"got an input of shape {show(input_shape)}, expected a number of channels that is a "
                f"multiple of groups={self.groups}",
                at=self.label,
            )

    def call(self, x: Tensor) -> Tensor:
        channel = self.fixed_axes[0]
        y = as_float(x, self.weight).movedim(channel, 1)
        groups = y.shape[1] if self.groups == -1 else self.groups
        # torch 2.13 cannot differentiate it with a shift but no scale.
        shift = self.bias if self.weight is not None else None
        y = F.group_norm(y, groups, self.weight, shift, self.epsilon)
        if self.bias is not None and shift is None:
            y = y + self.bias.view(-1, *(1,) * (y.ndim - 2))
        return y.movedim(1, channel)


class UnitNormalization(Layer):
    """Each example over `axis` to a Euclidean norm of 1; zeros stay zeros.

    Shapes: any of at least two dimensions in, the same out.

    Raises: ConfigError for impossible axes.

    Example:
        >>> UnitNormalization()(torch.tensor([[3.0, 4.0]]))
        tensor([[0.6000, 0.8000]])
    """

    supports_masking = True
    min_ndim = 2

    def __init__(self, axis: int | tuple[int, ...] = -1, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self.axes = _axes("UnitNormalization.axis", axis)
        self.axis = axis

    def call(self, x: Tensor) -> Tensor:
        return unit(as_float(x), self.axes, 1e-12)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        return tuple(input_shape)


def unit(x: Tensor, axes: tuple[int, ...], least: float) -> Tensor:
    """`x` divided by its Euclidean norm over `axes`, or by `least` if that is larger."""
    norm: Tensor = torch.linalg.vector_norm(x, dim=axes, keepdim=True)
    return x / norm.clamp(min=least)


def _axes(at: str, axis: int | tuple[int, ...]) -> tuple[int, ...]:
    axes = tuple(axis) if isinstance(axis, tuple | list) else (axis,)
    if not axes or not all(isinstance(each, int) and each for each in axes):
        raise ConfigError(at=at, got=axis, expected="axes other than 0, the batch")
    return axes
