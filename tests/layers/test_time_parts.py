import calendar
import datetime as dt
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lepton_ai import layers
from lepton_ai.core import ConfigError, ShapeError
from lepton_ai.layers import Layer
from tests.contracts.layer import Inputs, LayerContract

ALL = ("hour", "weekday", "month", "year")
EPOCH = dt.datetime(1970, 1, 1)


class TestTimeParts(LayerContract):
    differentiable = False

    def make(self) -> Layer:
        return layers.TimeParts(ALL, unit="ms")

    def example(self) -> Inputs:
        return (torch.arange(14).view(7, 2) * 123_456_789_012,)


def phases(time: dt.datetime) -> list[float]:
    """Where a time lies in the day, the week, the month and the year, by Python's calendar."""
    seconds = time.hour * 3600 + time.minute * 60 + time.second
    days = calendar.monthrange(time.year, time.month)[1]
    in_year = 365 + calendar.isleap(time.year)
    return [
        seconds / 86400,
        time.weekday() / 7,
        (time.day - 1) / days,
        (time.timetuple().tm_yday - 1) / in_year,
    ]


@given(st.datetimes(dt.datetime(1, 1, 2), dt.datetime(9999, 12, 30)))
@settings(max_examples=80, deadline=None)
def test_any_time_is_where_the_calendar_says(time: dt.datetime) -> None:
    time = time.replace(microsecond=0)
    seconds = int((time - EPOCH).total_seconds())
    wanted = [wave(2 * math.pi * phase) for phase in phases(time) for wave in (math.sin, math.cos)]
    got = layers.TimeParts(ALL)(torch.tensor([[seconds]]))
    torch.testing.assert_close(got, torch.tensor([wanted]), rtol=0, atol=1e-5)


def test_every_day_around_leap_years() -> None:
    for year in (1900, 1999, 2000, 2023, 2024):
        days = [dt.datetime(year, 1, 1) + dt.timedelta(days=day) for day in range(366)]
        seconds = torch.tensor([[int((day - EPOCH).total_seconds())] for day in days])
        wanted = torch.tensor(
            [[wave(2 * math.pi * p) for p in phases(day) for wave in (math.sin, math.cos)] for day in days]
        )
        torch.testing.assert_close(layers.TimeParts(ALL)(seconds), wanted, rtol=0, atol=1e-5)


def test_units_and_offsets() -> None:
    parts = layers.TimeParts("hour")
    wanted = parts(torch.tensor([[3600, 7200]]))
    assert wanted.shape == (1, 4)
    assert torch.equal(layers.TimeParts("hour", unit="ns")(torch.tensor([[3600, 7200]]) * 10**9), wanted)
    assert torch.equal(layers.TimeParts("hour", offset=3600)(torch.tensor([[0, 3600]])), wanted)
    assert torch.equal(parts(torch.tensor([[3600.9, 7200.0]], dtype=torch.float64)), wanted)


def test_refused_arguments() -> None:
    with pytest.raises(
        ShapeError, match=r"'when': got 'float32', expected whole numbers or float64\. Give times as whole numbers"
    ):
        layers.TimeParts(name="when")(torch.ones(2, 1))
    with pytest.raises(ConfigError, match=r"TimeParts\.parts: unknown parts 'hours'. Did you mean 'hour'"):
        layers.TimeParts(("hours",))
    with pytest.raises(ConfigError, match=r"TimeParts\.unit: unknown unit 'min'"):
        layers.TimeParts(unit="min")
    with pytest.raises(ConfigError, match=r"TimeParts\.parts: got \(\), expected some of hour, weekday, month, year"):
        layers.TimeParts(())
    with pytest.raises(ConfigError, match=r"TimeParts\.offset: got 0\.5, expected whole seconds"):
        layers.TimeParts(offset=0.5)  # type: ignore[arg-type]
