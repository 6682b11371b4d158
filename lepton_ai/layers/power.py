"""Numbers bent: logarithms, powers towards a normal distribution, and products of features."""

from itertools import combinations, combinations_with_replacement
from typing import Any, Unpack

import torch
from torch import Tensor

from lepton_ai.core import ConfigError, DataError, ShapeError
from lepton_ai.layers.arguments import one_of
from lepton_ai.layers.dtypes import as_float
from lepton_ai.layers.fitted import FittedColumns
from lepton_ai.layers.layer import Layer, LayerOptions
from lepton_ai.layers.shapes import Shape, show

_FARTHEST = 64.0  # the largest power that is tried
_NO_POWER = 1e-15  # below, a power is the logarithm that it tends to
_LEAST_SPREAD = 1e-5  # of the largest power: less is noise in float32
_FINEST = 2e-4  # the step at which a parabola through the likelihood shows its peak to about 1e-8


class LogScaling(Layer):
    """`sign(x) * log(1 + |x|)`, or `log(max(x, floor))`: for amounts that spread over orders of magnitude.

    Shapes: any in, the same out.

    Args:
        floor: the least value that a logarithm is taken of, above 0; None for the form with signs.

    Raises: ConfigError if `floor` is not above 0.

    Example:
        >>> LogScaling()(torch.tensor([[0.0, -1.0, 1e6]]))
        tensor([[ 0.0000, -0.6931, 13.8155]])
    """

    def __init__(self, floor: float | None = None, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        if floor is not None and not floor > 0:
            raise ConfigError(at="LogScaling.floor", got=floor, expected="a number above 0, or None")
        self.floor = floor

    def call(self, x: Tensor) -> Tensor:
        x = as_float(x)
        return x.sign() * x.abs().log1p() if self.floor is None else x.clamp(min=self.floor).log()

    def compute_output_shape(self, input_shape: Any) -> Shape:
        return tuple(input_shape)


class PowerTransform(FittedColumns):
    """Each feature to the power at which the training data look most like a normal distribution.

    Yeo and Johnson, 2000, takes all numbers; Box and Cox, 1964, only those above 0 (others give NaN). `adapt` finds
    the power of the greatest likelihood, between -64 and 64, and leaves gaps out.

    Shapes: any in, the same out.

    Args:
        method: "yeo-johnson" or "box-cox".
        standardize: shift and scale the result to mean 0 and variance 1.
        axis: the axes with powers of their own; None for one of everything.

    Raises: ConfigError for impossible settings; UsageError before `adapt`; ShapeError for other sizes; DataError
        from `adapt`.

    Example:
        >>> layer = PowerTransform()
        >>> layer.adapt(torch.tensor([[1.0], [2.0], [4.0], [9.0], [40.0]]))
        >>> layer(torch.tensor([[1.0], [4.0], [40.0]])).flatten()
        tensor([-1.3392, -0.0729,  1.5201])
    """

    adapted_power: Tensor
    adapted_mean: Tensor
    adapted_deviation: Tensor
    state = "powers"
    statistics = {"adapted_power": "ones", "adapted_mean": "zeros", "adapted_deviation": "ones"}

    def __init__(
        self,
        method: str = "yeo-johnson",
        standardize: bool = True,
        axis: int | tuple[int, ...] | None = -1,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(axis, **options)
        self.method = one_of("PowerTransform.method", method, ("yeo-johnson", "box-cox"))
        self.standardize = standardize

    def fit_to(self, values: Tensor) -> None:
        if self.method == "box-cox" and bool((values <= 0).any()):
            raise DataError(
                "got values that are not above 0",
                at=self.label,
                fix='Use method="yeo-johnson", which takes all numbers.',
            )
        self.fill(values, self._statistic)

    def transform(self, x: Tensor) -> Tensor:
        power, mean, deviation = self.along(x)
        y = self._bend(as_float(x, power), power)
        return (y - mean) / deviation if self.standardize else y

    def _bend(self, x: Tensor, power: Tensor) -> Tensor:
        if self.method == "box-cox":
            return _grow(x.log(), power)
        # Both branches see numbers that they can take, so that neither spoils the other's gradient.
        above, below = x.clamp(min=0).log1p(), (-x.clamp(max=0)).log1p()
        return torch.where(x < 0, -_grow(below, 2 - power), _grow(above, power))

    def _statistic(self, part: Tensor) -> Tensor:
        power = _best_power(part, signed=self.method == "yeo-johnson")
        power = power.to(self.adapted_power.dtype).double()  # the one that will be used
        bent = self._bend(part, power)
        mean = bent.nanmean(0)
        variance = (bent - mean).square().nanmean(0)
        constant = _constant(part)
        coarse = ~(variance.sqrt() > _LEAST_SPREAD * bent.abs().nan_to_num(0.0).amax(0)) & ~constant
        if bool(coarse.any()):
            raise DataError(
                "got values so far from 0, for how little they differ, that their powers drown in rounding",
                at=self.label,
                fix="Put a Normalization before it.",
            )
        return torch.stack((power, mean, torch.where(constant, 1.0, variance.sqrt())))


class PolynomialFeatures(Layer):
    """All products of up to `degree` features, as scikit-learn orders them: of none (1), of one, of two ...

    Shapes: `(..., F)` in, `(..., N)` out.

    Args:
        degree: the most factors in a product; or the least and the most.
        interaction_only: no feature twice in one product.
        include_bias: the product of none, a column of ones.

    Raises: ConfigError for impossible degrees; ShapeError if the number of features is free or changes.

    Example:
        >>> PolynomialFeatures(2)(torch.tensor([[2.0, 3.0]]))
        tensor([[1., 2., 3., 4., 6., 9.]])
    """

    fixed_axes = (-1,)

    def __init__(
        self,
        degree: int | tuple[int, int] = 2,
        interaction_only: bool = False,
        include_bias: bool = True,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        low, high = degree if isinstance(degree, tuple | list) else (0, degree)
        if not all(isinstance(each, int) for each in (low, high)) or not 0 <= low <= high or not high:
            at = "PolynomialFeatures.degree"
            raise ConfigError(at=at, got=degree, expected="a positive int, or two ints, the lower first")
        self.degree = degree
        self.interaction_only = interaction_only
        self.include_bias = include_bias
        self._degrees = range(max(low, 1), high + 1)

    def build(self, input_shape: Any) -> None:
        for degree, choices in self._products(input_shape).items():
            self.register_buffer(f"factors_{degree}", torch.tensor(choices), persistent=False)

    def call(self, x: Tensor) -> Tensor:
        self.check_shape(tuple(x.shape))  # more features would pass, and be left out
        x = as_float(x)
        parts = [torch.ones_like(x[..., :1])] if self.include_bias else []
        for degree in self._degrees:
            factors = getattr(self, f"factors_{degree}", None)
            if factors is not None:
                parts.append(x[..., factors].prod(-1))
        return torch.cat(parts, -1)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        count = sum(len(choices) for choices in self._products(input_shape).values())
        return (*input_shape[:-1], count + self.include_bias)

    def _products(self, input_shape: Any) -> dict[int, list[tuple[int, ...]]]:
        """By degree, the features of each product."""
        features = input_shape[-1]
        if features is None:
            raise ShapeError(
                f"got an input of shape {show(input_shape)}, expected a fixed number of features", at=self.label
            )
        choose = combinations if self.interaction_only else combinations_with_replacement
        products = {degree: list(choose(range(features), degree)) for degree in self._degrees}
        if not self.include_bias and not any(products.values()):
            raise ShapeError(f"got {features} features, too few for a product", at=self.label)
        return {degree: choices for degree, choices in products.items() if choices}


def _constant(part: Tensor) -> Tensor:
    """Which columns hold one value only."""
    return part.nan_to_num(torch.inf).amin(0) == part.nan_to_num(-torch.inf).amax(0)


def _grow(logarithm: Tensor, power: Tensor) -> Tensor:
    """`(exp(power * logarithm) - 1) / power`, and its limit where the power is 0."""
    flat = power.abs() < _NO_POWER
    divisor = torch.where(flat, 1.0, power)
    return torch.where(flat, logarithm, (divisor * logarithm).expm1() / divisor)


def _best_power(part: Tensor, *, signed: bool) -> Tensor:
    """The power of each column (N, F) with the greatest likelihood.

    Goes uphill in steps; where the middle of three is the best, on to the peak of the parabola through them and with
    a smaller step.
    """
    logs = part.sign() * part.abs().log1p() if signed else part.log()
    constant = _constant(logs)
    center = torch.ones_like(logs[0])
    step = torch.full_like(center, 2.0)
    for _ in range(80):
        left, here, right = (_likelihood(logs, center + move, signed) for move in (-step, 0 * step, step))
        uphill = (torch.maximum(left, right) > here) & (center.abs() < _FARTHEST)
        peak = center + step * (left - right) / (2 * (left - 2 * here + right))
        found = torch.where(uphill, torch.where(left > right, center - step, center + step), peak)
        running = (step >= _FINEST) & found.isfinite()
        center = torch.where(running, found.clamp(-_FARTHEST, _FARTHEST), center)
        step = torch.where(uphill & running, step, step / 4)
        if not bool((running & ~constant).any()):
            break
    return torch.where(constant, 1.0, center)


def _likelihood(logs: Tensor, power: Tensor, signed: bool) -> Tensor:
    """The mean log likelihood of each column, up to a constant; through logarithms, which do not overflow."""
    powers = torch.where(logs < 0, 2 - power, power) if signed else power.expand_as(logs)
    powers = torch.where(powers.abs() < _NO_POWER, _NO_POWER, powers)
    exponent = powers * (logs.abs() if signed else logs)
    most = exponent.nan_to_num(-torch.inf).amax(0)
    largest = most.clamp(min=0)
    size = torch.where(exponent > 0, exponent - largest, -largest).exp()
    bent = logs.sign() * size * -(-exponent.abs()).expm1() / powers.abs()
    # Far below 0 all powers are next to their limit; without that constant their differences stay.
    signs = logs.sign().nan_to_num(0.0)
    far = (most < -1) & ((signs.amin(0) >= 0) | (signs.amax(0) <= 0) if signed else True)
    largest = torch.where(far, most, largest)
    bent = torch.where(far, (exponent - most).exp() / powers.abs(), bent)
    variance = (bent - bent.nanmean(0)).square().nanmean(0)
    return (power - 1) * logs.nanmean(0) - variance.log() / 2 - largest
