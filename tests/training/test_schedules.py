from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lepton_ai.core import ConfigError, UnknownNameError
from lepton_ai.training.schedules import (
    Constant,
    CosineDecay,
    CosineDecayRestarts,
    ExponentialDecay,
    InverseTimeDecay,
    LateDecay,
    OneCycle,
    PiecewiseConstantDecay,
    PolynomialDecay,
    Schedule,
    StepDecay,
    WarmUp,
    get_schedule,
)
from tests.contracts.schedule import ScheduleContract


class TestConstant(ScheduleContract):
    schedule = Constant(0.1)


class TestExponentialDecay(ScheduleContract):
    schedule = ExponentialDecay(0.1, 7, 0.9)


class TestStepDecay(ScheduleContract):
    schedule = StepDecay(0.1, 7)


class TestInverseTimeDecay(ScheduleContract):
    schedule = InverseTimeDecay(0.1, 7, 0.5, staircase=True)


class TestPiecewiseConstantDecay(ScheduleContract):
    schedule = PiecewiseConstantDecay([3, 9], [0.1, 0.05, 0.01])


class TestPolynomialDecay(ScheduleContract):
    schedule = PolynomialDecay(0.1, 20, 0.01, 2.0, cycle=True)
    opened = PolynomialDecay(0.1)


class TestCosineDecay(ScheduleContract):
    schedule = CosineDecay(0.0, 20, 0.1, warmup_target=0.1, warmup_steps=5)
    opened = CosineDecay(0.0, warmup_target=0.1, warmup_steps=5)


class TestCosineDecayRestarts(ScheduleContract):
    schedule = CosineDecayRestarts(0.1, 7, 1.5, 0.8, 0.05)


class TestOneCycle(ScheduleContract):
    schedule = OneCycle(0.1, 40)
    opened = OneCycle(0.1, pct_start=0.1)


class TestWarmUp(ScheduleContract):
    schedule = WarmUp(StepDecay(0.1, 3), 4)
    opened = WarmUp(CosineDecay(0.1), 4)


class TestLateDecay(ScheduleContract):
    schedule = LateDecay(0.1, 0.5, 0.0, 40)
    opened = LateDecay(WarmUp(0.1, 3))


def test_bound_schedules_end_with_the_run() -> None:
    for total in (1, 2, 10, 1000):
        last = total - 1
        assert LateDecay(1.0, 0.5, 0.25).bind(total)(last) == pytest.approx(0.25 if total > 1 else 1.0)
        assert LateDecay(1.0, 0.0).bind(total)(last) == 1.0
        warm = CosineDecay(0.0, warmup_target=1.0, warmup_steps=3).bind(total)
        assert warm(total) == pytest.approx(0.0 if total > 3 else warm(total))
        assert OneCycle(1.0).bind(total)(last) == pytest.approx(1 / 25 / 1e4)


def test_a_warm_up_leaves_the_rest_of_the_run_to_its_schedule() -> None:
    schedule = WarmUp(CosineDecay(1.0), 5).bind(25)
    assert schedule(5) == 1.0 and schedule(15) == pytest.approx(0.5) and schedule(25) == pytest.approx(0.0)


@given(
    total=st.integers(1, 400),
    fraction=st.floats(0, 1),
    final=st.floats(0, 1),
    rate=st.floats(1e-6, 10),
)
@settings(max_examples=80, deadline=None)
def test_a_late_decay_only_falls_and_stays_in_its_bounds(
    total: int, fraction: float, final: float, rate: float
) -> None:
    schedule = LateDecay(rate, fraction, final).bind(total)
    rates = [schedule(step) for step in range(total + 3)]
    assert rates[0] == rate
    assert all(a >= b - 1e-12 * rate for a, b in pairwise(rates))
    assert min(rates) >= rate * final * (1 - 1e-12)


@given(total=st.integers(1, 300), start=st.floats(0, 1))
@settings(max_examples=80, deadline=None)
def test_one_cycle_rises_to_its_maximum_and_falls(total: int, start: float) -> None:
    rates = [OneCycle(1.0, pct_start=start).bind(total)(step) for step in range(total)]
    top = rates.index(max(rates))
    assert max(rates) <= 1 + 1e-12
    assert rates[: top + 1] == sorted(rates[: top + 1]) and rates[top:] == sorted(rates[top:], reverse=True)


def test_settings_that_cannot_be_are_refused() -> None:
    def fails(text: str, make: type[Schedule], *arguments: object) -> None:
        with pytest.raises(ConfigError, match=text):
            make(*arguments)

    fails(r"ExponentialDecay.decay_steps: got 0, expected an int of at least 1", ExponentialDecay, 0.1, 0, 0.9)
    fails(r"StepDecay.decay_rate: got -1", StepDecay, 0.1, 3, -1)
    fails(r"values: got \[0.1\], expected 2 values, one more than boundaries", PiecewiseConstantDecay, [3], [0.1])
    fails("expected rising steps", PiecewiseConstantDecay, [3, 3], [0.1, 0.1, 0.1])
    fails(r"OneCycle.pct_start: got 2, expected a number in \[0, 1\]", OneCycle, 0.1, 10, 2)
    fails("learning_rate: got nan", Constant, float("nan"))
    fails("learning_rate: got True", Constant, True)
    with pytest.raises(UnknownNameError, match="unknown schedule 'CosinDecay'. Did you mean 'CosineDecay'"):
        get_schedule({"class": "CosinDecay"})
    with pytest.raises(UnknownNameError, match="unknown argument CosineDecay 'decaysteps'. Did you mean 'decay_steps'"):
        get_schedule({"class": "CosineDecay", "config": {"decaysteps": 3}})
