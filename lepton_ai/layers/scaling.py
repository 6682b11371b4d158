"""Numbers to a common scale, as part of the model."""

from typing import Any, Unpack

import numpy as np
import torch
from torch import Tensor

from lepton_ai.core import ConfigError, DataError, ShapeError, UsageError
from lepton_ai.layers.dtypes import as_float
from lepton_ai.layers.layer import Layer, LayerOptions
from lepton_ai.layers.shapes import Shape, show

_SMALLEST = 1e-7  # Keras' epsilon: the least standard deviation, so that constant columns become 0
_CHUNK = 2**22  # numbers widened to float64 at a time


class Rescaling(Layer):
    """`x * scale + offset`, in floats.

    Shapes: any in, the same out. `scale` and `offset` are numbers, or one for each channel.

    Example:
        >>> Rescaling(1 / 255)(torch.tensor([[0, 255]], dtype=torch.uint8))
        tensor([[0., 1.]])
    """

    def __init__(
        self,
        scale: float | tuple[float, ...],
        offset: float | tuple[float, ...] = 0.0,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        self.scale = _numbers("Rescaling.scale", scale)
        self.offset = _numbers("Rescaling.offset", offset)

    def build(self, input_shape: Any) -> None:
        for value in (self.scale, self.offset):
            if isinstance(value, tuple) and input_shape[-1] not in (None, len(value)):
                raise ShapeError(
                    f"got an input of shape {show(input_shape)}, expected {len(value)} channels", at=self.label
                )

    def call(self, x: Tensor) -> Tensor:
        x = as_float(x)
        scale, offset = (x.new_tensor(v) if isinstance(v, tuple) else v for v in (self.scale, self.offset))
        return x * scale + offset

    def compute_output_shape(self, input_shape: Any) -> Shape:
        return tuple(input_shape)


class Normalization(Layer):
    """`(x - mean) / standard deviation`, with statistics that `adapt` took from the training data.

    Shapes: any in, the same out.

    Args:
        axis: the axes with statistics of their own; None for one mean and one variance of everything.
        mean, variance: the statistics, if they are known.
        invert: compute `x * standard deviation + mean` instead.
        missing: "mean" lets NaN in and reads it as the training mean, which is 0 after scaling; None does not.

    Raises: ConfigError for impossible settings; UsageError if there are no statistics; ShapeError naming the
        layer and both shapes.

    Example:
        >>> layer = Normalization(missing="mean")
        >>> layer.adapt(np.array([[1.0, 5.0], [3.0, np.nan]]))
        >>> layer(torch.tensor([[3.0, 5.0], [float("nan"), 5.0]]))
        tensor([[1., 0.],
                [0., 0.]])
    """

    adapted_mean: Tensor
    adapted_variance: Tensor

    def __init__(
        self,
        axis: int | tuple[int, ...] | None = -1,
        mean: float | tuple[float, ...] | None = None,
        variance: float | tuple[float, ...] | None = None,
        invert: bool = False,
        *,
        missing: str | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        axes = () if axis is None else tuple(axis) if isinstance(axis, tuple | list) else (axis,)
        if not all(isinstance(each, int) and each for each in axes):
            raise ConfigError(at="Normalization.axis", got=axis, expected="axes other than 0, the batch, or None")
        self.axis = axis
        self.fixed_axes = axes
        if (mean is None) != (variance is None) or np.asarray(mean).shape != np.asarray(variance).shape:
            raise ConfigError(
                at="Normalization", got=(mean, variance), expected="mean and variance of one shape, or neither"
            )
        if missing not in (None, "mean") or (missing and invert):
            raise ConfigError(at="Normalization.missing", got=missing, expected='None, or "mean" without invert')
        self.mean = mean
        self.variance = variance
        self.invert = invert
        self.missing = missing
        self.accepts_missing = missing is not None
        self.adapted = mean is not None

    def build(self, input_shape: Any) -> None:
        rank = len(input_shape)
        if not all(-rank <= axis < rank and input_shape[axis] is not None for axis in self.fixed_axes):
            raise ShapeError(
                f"got an input of shape {show(input_shape)}, expected fixed sizes at axis {self.axis}", at=self.label
            )
        shape = tuple(input_shape[axis] for axis in self._kept(rank))
        self.add_buffer("adapted_mean", shape)
        self.add_buffer("adapted_variance", shape, "ones")
        if self.mean is not None:
            for buffer, given in ((self.adapted_mean, self.mean), (self.adapted_variance, self.variance)):
                value = torch.tensor(np.asarray(given, np.float64))
                if value.ndim > len(shape) or any(
                    a not in (1, b) for a, b in zip(reversed(value.shape), reversed(shape), strict=False)
                ):
                    raise ShapeError(
                        f"has a mean of shape {show(tuple(value.shape))}, expected {show(shape)}", at=self.label
                    )
                buffer.copy_(value)

    def adapt(self, data: Any) -> None:
        """Take the mean and the variance of an array or tensor; NaN is left out.

        Raises: DataError if there is nothing to count, or something infinite; UsageError if the statistics were given.
        """
        if self.mean is not None:
            raise UsageError("has its mean and variance already", at=self.label, fix="Leave them out to adapt.")
        values = _as_numbers(self.label, data)
        self.ensure_built(tuple(values.shape))
        self.check_shape(tuple(values.shape))
        mean, variance = _moments(self.label, values, self._kept(values.ndim))
        self.adapted_mean.copy_(mean)
        self.adapted_variance.copy_(variance)
        self.adapted = True

    def call(self, x: Tensor) -> Tensor:
        if not self.adapted:
            raise UsageError(
                "has no mean and variance yet", at=self.label, fix="Call adapt(x_train) before, on the training data."
            )
        self.check_shape(tuple(x.shape))  # broadcasting would let a single column pass
        kept = self._kept(x.ndim)
        shape = [size if axis in kept else 1 for axis, size in enumerate(x.shape)]
        mean = self.adapted_mean.view(shape)
        deviation = self.adapted_variance.view(shape).sqrt().clamp(min=_SMALLEST)
        x = as_float(x, mean)
        if self.invert:
            return x * deviation + mean
        y = (x - mean) / deviation
        return y if self.missing is None else torch.where(x.isnan(), 0.0, y)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        return tuple(input_shape)

    def set_weights(self, weights: list[Any]) -> None:
        super().set_weights(weights)
        self.adapted = True

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        super()._load_from_state_dict(state_dict, prefix, *args)
        self.adapted = self.adapted or f"{prefix}adapted_mean" in state_dict

    def _kept(self, rank: int) -> list[int]:
        return sorted(axis % rank for axis in self.fixed_axes)


def _numbers(at: str, value: Any) -> float | tuple[float, ...]:
    several = tuple(value) if np.ndim(value) == 1 else (value,)
    if not several or not all(isinstance(each, int | float | np.number) for each in several):
        raise ConfigError(at=at, got=value, expected="a number, or one for each channel")
    return tuple(map(float, several)) if np.ndim(value) else float(value)


def _as_numbers(at: str, data: Any) -> Tensor:
    values = data.detach() if isinstance(data, Tensor) else np.asarray(data)
    if isinstance(values, np.ndarray):
        if values.dtype.kind not in "fiub":
            raise DataError(at=at, message=f"got values of type {values.dtype}", expected="numbers")
        values = torch.from_numpy(np.ascontiguousarray(values))
    if values.ndim < 2 or not values.numel():
        raise DataError(at=at, got=tuple(values.shape), expected="a shape with rows, then features")
    return values


def _moments(at: str, values: Tensor, kept: list[int]) -> tuple[Tensor, Tensor]:
    """Mean and biased variance over all axes but `kept`, in float64, in two passes over parts of the rows."""
    axes = [axis for axis in range(values.ndim) if axis not in kept]
    parts = torch.split(values, max(1, _CHUNK // values[0].numel()))
    count, total = torch.zeros((), dtype=torch.int64), torch.zeros((), dtype=torch.float64)
    for part in parts:
        wide = part.double().cpu()
        count = count + (~wide.isnan()).sum(axes, keepdim=True)
        total = total + wide.nansum(axes, keepdim=True)
    mean = total / count
    if not mean.isfinite().all():
        where = (~mean.isfinite()).flatten().nonzero().flatten().tolist()
        raise DataError(
            at=at,
            message=f"got only missing values, or infinite ones, in the features {where[:10]}",
            fix="Drop these features, or clean the data first.",
        )
    squares = torch.zeros((), dtype=torch.float64)
    for part in parts:
        squares = squares + (part.double().cpu() - mean).square().nansum(axes, keepdim=True)
    shape = [values.shape[axis] for axis in kept]
    return mean.view(shape), (squares / count).view(shape)
