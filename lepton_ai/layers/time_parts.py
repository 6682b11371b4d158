"""Times as numbers that a model can use: where in the day, the week and the year they lie."""

import math
from typing import Any, Unpack

import torch
from torch import Tensor

from lepton_ai.core import ConfigError, ShapeError
from lepton_ai.layers.arguments import one_of
from lepton_ai.layers.layer import Layer, LayerOptions
from lepton_ai.layers.shapes import Shape

_DAY = 86_400
_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_PARTS = ("hour", "weekday", "month", "year")


class TimeParts(Layer):
    """Seconds since 1970 (UTC) as the sine and the cosine of where they lie in each cycle, ends meeting.

    Shapes: `(..., F)` whole numbers, or float64, in; `(..., F * P * 2)` float32 out, for each feature and each of the
    P parts the sine and the cosine.

    Args:
        parts: "hour" (of the day, with minutes and seconds), "weekday" (whole days, from Monday), "month" (whole days
            of the month) and "year" (whole days of the year), in the order in which they come out.
        unit: what the numbers count: "s", "ms", "us" or "ns".
        offset: seconds to add first: 3600 for a place one hour ahead of UTC. Summer time is not followed.

    Raises: ConfigError for impossible settings; ShapeError for float32, which is too coarse for times.

    Example:
        >>> TimeParts(("hour",))(torch.tensor([[0], [6 * 3600], [12 * 3600]])).round(decimals=3) + 0.0
        tensor([[ 0.,  1.],
                [ 1.,  0.],
                [ 0., -1.]])
    """

    min_ndim = 2

    def __init__(
        self,
        parts: str | tuple[str, ...] = ("hour", "weekday", "year"),
        unit: str = "s",
        offset: int = 0,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        several = (parts,) if isinstance(parts, str) else tuple(parts)
        if not several:
            raise ConfigError(at="TimeParts.parts", got=parts, expected=f"some of {', '.join(_PARTS)}")
        self.parts = tuple(one_of("TimeParts.parts", part, _PARTS) for part in several)
        self.unit = one_of("TimeParts.unit", unit, tuple(_PER_SECOND))
        if not isinstance(offset, int):
            raise ConfigError(at="TimeParts.offset", got=offset, expected="whole seconds")
        self.offset = offset

    def call(self, x: Tensor) -> Tensor:
        if x.is_floating_point() and x.dtype != torch.float64:
            raise ShapeError(
                at=self.label,
                got=str(x.dtype).removeprefix("torch."),
                expected="whole numbers or float64",
                fix='Give times as whole numbers: Input(shape, dtype="int64"). float32 is off by a minute today.',
            )
        count = (x.floor() if x.is_floating_point() else x).to(torch.int64)
        seconds = torch.div(count, _PER_SECOND[self.unit], rounding_mode="floor") + self.offset
        days = torch.div(seconds, _DAY, rounding_mode="floor")
        year, month = _calendar(days)
        phases: dict[str, tuple[Tensor, Tensor | int]] = {
            "hour": (seconds - days * _DAY, _DAY),
            "weekday": ((days + 3).remainder(7), 7),  # day 0 was a Thursday
            "month": month,
            "year": year,
        }
        angles = torch.stack([_share(*phases[part]) for part in self.parts], -1) * (2 * math.pi)
        waves = torch.stack((angles.sin(), angles.cos()), -1)
        return waves.flatten(-3)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        last = input_shape[-1]
        return (*input_shape[:-1], None if last is None else last * len(self.parts) * 2)


def _share(place: Tensor, length: Tensor | int) -> Tensor:
    return place.to(torch.float32) / length


def _calendar(days: Tensor) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Of days since 1970, (day of the year, days in the year) and (day of the month, days in the month), from 0.

    The Gregorian calendar in whole numbers, with years that begin in March, so that leap days come last.
    """

    def floor(value: Tensor, by: int) -> Tensor:
        return torch.div(value, by, rounding_mode="floor")

    shifted = days + 719_468  # days since 1 March of year 0
    era = floor(shifted, 146_097)  # of 400 years
    day = shifted - era * 146_097
    year = floor(day - floor(day, 1_460) + floor(day, 36_524) - floor(day, 146_096), 365)
    of_year = day - (365 * year + floor(year, 4) - floor(year, 100))
    month = floor(5 * of_year + 2, 153)  # 0 is March
    first = floor(153 * month + 2, 5)

    def leap(number: Tensor) -> Tensor:
        fourth, hundredth, last = (number.remainder(n) == 0 for n in (4, 100, 400))
        return ((fourth & ~hundredth) | last).to(torch.int64)

    after_new_year = (month >= 10).to(torch.int64)
    own = leap(year + after_new_year)  # an era has 400 years, so it does not matter which
    since_january = torch.where(after_new_year == 1, of_year - 306, of_year + 59 + own)
    following = floor(153 * (month + 1) + 2, 5)
    in_month = torch.where(month == 11, 28 + own, following - first)
    return (since_january, 365 + own), (of_year - first, in_month)
