"""Numbers to a common scale, as part of the model."""

from typing import Any, Unpack

import numpy as np
import torch
from torch import Tensor

from lepton_ai.core import ConfigError, ShapeError
from lepton_ai.layers.dtypes import as_float
from lepton_ai.layers.fitted import FittedColumns, moments, quantiles
from lepton_ai.layers.layer import Layer, LayerOptions
from lepton_ai.layers.shapes import Shape, show

_SMALLEST = 1e-7  # Keras' epsilon: the least standard deviation, so that constant columns become 0


class Rescaling(Layer):
    """`x * scale + offset`, in floats.

    Shapes: any in, the same out. `scale` and `offset` are numbers, or one for each channel.

    Example:
        >>> Rescaling(1 / 255)(torch.tensor([[0, 255]], dtype=torch.uint8))
        tensor([[0., 1.]])
    """

    supports_masking = True

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


class Normalization(FittedColumns):
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
    state = "mean and variance"
    statistics = {"adapted_mean": "zeros", "adapted_variance": "ones"}

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
        super().__init__(axis, **options)
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

    @property
    def given(self) -> bool:
        return self.mean is not None

    def build(self, input_shape: Any) -> None:
        super().build(input_shape)
        if self.mean is not None:
            shape = tuple(self.adapted_mean.shape)
            for buffer, given in ((self.adapted_mean, self.mean), (self.adapted_variance, self.variance)):
                value = torch.tensor(np.asarray(given, np.float64))
                if value.ndim > len(shape) or any(
                    a not in (1, b) for a, b in zip(reversed(value.shape), reversed(shape), strict=False)
                ):
                    raise ShapeError(
                        f"has a mean of shape {show(tuple(value.shape))}, expected {show(shape)}", at=self.label
                    )
                buffer.copy_(value)

    def fit_to(self, values: Tensor) -> None:
        mean, variance = moments(self.label, values, self.kept(values.ndim))
        self.adapted_mean.copy_(mean)
        self.adapted_variance.copy_(variance)

    def transform(self, x: Tensor) -> Tensor:
        mean, variance = self.along(x)
        deviation = variance.sqrt().clamp(min=_SMALLEST)
        x = as_float(x, mean)
        if self.invert:
            return x * deviation + mean
        y = (x - mean) / deviation
        return y if self.missing is None else torch.where(x.isnan(), 0.0, y)


class RobustScaling(FittedColumns):
    """`(x - median) / range between two quantiles`, so that outliers among the training data do not set the scale.

    Shapes: any in, the same out. A feature whose quantiles are equal is only shifted.

    Args:
        quantile_range: the two, in percent.
        axis: the axes with statistics of their own; None for all of one scale.

    Raises: ConfigError for impossible settings; UsageError before `adapt`; ShapeError for other sizes.

    Example:
        >>> layer = RobustScaling()
        >>> layer.adapt(np.array([[1.0], [2.0], [3.0], [4.0], [1000.0]]))
        >>> layer(torch.tensor([[3.0], [5.0]]))
        tensor([[0.],
                [1.]])
    """

    adapted_center: Tensor
    adapted_scale: Tensor
    state = "median and range"
    statistics = {"adapted_center": "zeros", "adapted_scale": "ones"}

    def __init__(
        self,
        quantile_range: tuple[float, float] = (25.0, 75.0),
        axis: int | tuple[int, ...] | None = -1,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(axis, **options)
        self.quantile_range = _ordered("RobustScaling.quantile_range", quantile_range, 0, 100)

    def fit_to(self, values: Tensor) -> None:
        low, high = self.quantile_range

        def statistic(part: Tensor) -> Tensor:
            below, center, above = quantiles(part, (low / 100, 0.5, high / 100))
            return torch.stack((center, _or_one(above - below)))

        self.fill(values, statistic)

    def transform(self, x: Tensor) -> Tensor:
        center, scale = self.along(x)
        return (as_float(x, center) - center) / scale


class MinMaxScaling(FittedColumns):
    """The range of each feature in the training data onto `feature_range`.

    Shapes: any in, the same out. Later values outside the training data's range land outside unless `clip`. A feature
    that was constant becomes the lower bound.

    Args:
        feature_range: the lower and the upper bound.
        clip: cut off what lies outside them.
        axis: the axes with statistics of their own; None for all of one range.

    Raises: ConfigError for impossible settings; UsageError before `adapt`; ShapeError for other sizes.

    Example:
        >>> layer = MinMaxScaling((-1, 1))
        >>> layer.adapt(np.array([[10.0], [20.0]]))
        >>> layer(torch.tensor([[10.0], [15.0], [30.0]])).flatten()
        tensor([-1.,  0.,  3.])
    """

    adapted_minimum: Tensor
    adapted_scale: Tensor
    state = "minimum and maximum"
    statistics = {"adapted_minimum": "zeros", "adapted_scale": "ones"}

    def __init__(
        self,
        feature_range: tuple[float, float] = (0.0, 1.0),
        clip: bool = False,
        axis: int | tuple[int, ...] | None = -1,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(axis, **options)
        self.feature_range = _ordered("MinMaxScaling.feature_range", feature_range, -np.inf, np.inf)
        self.clip = clip

    def fit_to(self, values: Tensor) -> None:
        def statistic(part: Tensor) -> Tensor:
            gaps = part.isnan()
            low = part.masked_fill(gaps, torch.inf).amin(0)
            return torch.stack((low, _or_one(part.masked_fill(gaps, -torch.inf).amax(0) - low)))

        self.fill(values, statistic)

    def transform(self, x: Tensor) -> Tensor:
        low, high = self.feature_range
        minimum, scale = self.along(x)
        y = (as_float(x, minimum) - minimum) / scale * (high - low) + low
        return y.clamp(low, high) if self.clip else y


class Winsorization(FittedColumns):
    """Values beyond two quantiles of the training data cut to these quantiles; what is missing stays so.

    Shapes: any in, the same out.

    Args:
        lower, upper: the quantiles, from 0 to 1.
        axis: the axes with quantiles of their own; None for the same everywhere.

    Raises: ConfigError for impossible settings; UsageError before `adapt`; ShapeError for other sizes.

    Example:
        >>> layer = Winsorization(0.1, 0.9)
        >>> layer.adapt(np.arange(11.0)[:, None])
        >>> layer(torch.tensor([[-5.0], [5.0], [100.0]])).flatten()
        tensor([1., 5., 9.])
    """

    adapted_lower: Tensor
    adapted_upper: Tensor
    state = "quantiles"
    statistics = {"adapted_lower": "zeros", "adapted_upper": "zeros"}

    def __init__(
        self,
        lower: float = 0.01,
        upper: float = 0.99,
        axis: int | tuple[int, ...] | None = -1,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(axis, **options)
        self.lower, self.upper = _ordered("Winsorization", (lower, upper), 0, 1)

    def fit_to(self, values: Tensor) -> None:
        self.fill(values, lambda part: quantiles(part, (self.lower, self.upper)))

    def transform(self, x: Tensor) -> Tensor:
        lower, upper = self.along(x)
        return as_float(x, lower).clamp(lower, upper)


def _ordered(at: str, bounds: tuple[float, float], least: float, most: float) -> tuple[float, float]:
    several = tuple(bounds) if isinstance(bounds, tuple | list) else ()
    if len(several) != 2 or not least <= several[0] < several[1] <= most:
        raise ConfigError(
            at=at, got=bounds, expected="two numbers, the lower first" + f", from {least} to {most}" * (most < np.inf)
        )
    return float(several[0]), float(several[1])


def _or_one(scale: Tensor) -> Tensor:
    """What to divide by: 1 where there is nothing but rounding, as scikit-learn does."""
    return torch.where(scale < 10 * torch.finfo(scale.dtype).eps, 1.0, scale)


def _numbers(at: str, value: Any) -> float | tuple[float, ...]:
    several = tuple(value) if np.ndim(value) == 1 else (value,)
    if not several or not all(isinstance(each, int | float | np.number) for each in several):
        raise ConfigError(at=at, got=value, expected="a number, or one for each channel")
    return tuple(map(float, several)) if np.ndim(value) else float(value)
