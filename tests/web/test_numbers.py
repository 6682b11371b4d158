import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lepton_ai.web import compact, count, duration, percent, significant
from lepton_ai.web.numbers import tick_labels, ticks

finite = st.floats(-1e12, 1e12, allow_nan=False)


@settings(max_examples=100, deadline=None)
@given(finite, finite, st.booleans())
def test_ticks_enclose_the_range_in_equal_round_steps(a: float, b: float, whole: bool) -> None:
    low, high = min(a, b), max(a, b)
    made = ticks(low, high, whole=whole)
    span = max(abs(low), abs(high), 1.0)
    assert made[0] <= low + 1e-6 * span and made[-1] >= high - 1e-6 * span
    assert 2 <= len(made) <= 12
    assert made == sorted(set(made))
    if whole and high > low:
        assert all(float(tick).is_integer() for tick in made)


@settings(max_examples=100, deadline=None)
@given(finite, finite)
def test_tick_labels_tell_ticks_apart(a: float, b: float) -> None:
    low, high = sorted((a, b))
    if high - low > 1e-3 * max(abs(low), abs(high), 1e-9):
        labels = tick_labels(ticks(low, high))
        assert len(set(labels)) == len(labels)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (0.98765, "0.988"),
        (12.0, "12"),
        (-3.14159, "-3.14"),
        (1e12, "1e12"),
        (math.nan, "n/a"),
        (1e-7, "1e-7"),
    ],
)
def test_significant(value: float, text: str) -> None:
    assert significant(value) == text


@settings(max_examples=100, deadline=None)
@given(st.floats(1e-4, 1e8))
def test_significant_stays_close(value: float) -> None:
    assert float(significant(value).replace(",", "")) == pytest.approx(value, rel=0.006)


def test_others() -> None:
    assert count(1234567) == "1,234,567"
    assert percent(0.98449).replace("\u202f", " ") == "98.4 %"
    assert percent(math.nan) == "n/a"
    assert compact(math.nan) == "n/a"
    assert compact(-1500) == "-1.5k"
    assert [duration(s).replace("\u202f", " ") for s in (0, 59.99, 3600, 7260)] == [
        "0 ms",
        "1 min 0 s",
        "1 h 0 min",
        "2 h 1 min",
    ]
