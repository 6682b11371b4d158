"""Schedules: the learning rate as a function of the step, counted from 0 at the first update of the run.

They are plain arithmetic on floats, without state, so a resumed run continues where it was. Where a length is left
open (None), `bind(total_steps)` fills it in; the loop does so as soon as it knows how long the run is.
"""

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence

from lepton_ai.core import ConfigError, Registry, snake_case
from lepton_ai.training.component import number, resolve, whole
from lepton_ai.training.schedule import Schedule, rate, steps

__all__ = [
    "SCHEDULES",
    "Constant",
    "CosineDecay",
    "CosineDecayRestarts",
    "ExponentialDecay",
    "InverseTimeDecay",
    "LateDecay",
    "OneCycle",
    "PiecewiseConstantDecay",
    "PolynomialDecay",
    "Schedule",
    "StepDecay",
    "WarmUp",
    "get_schedule",
]


class Constant(Schedule):
    """Always the same rate."""

    def __init__(self, learning_rate: float) -> None:
        self.learning_rate = rate("Constant.learning_rate", learning_rate)

    def __call__(self, step: int) -> float:
        return self.learning_rate


class ExponentialDecay(Schedule):
    """`initial * decay_rate ** (step / decay_steps)`; `staircase` uses whole quotients.

    Example:
        >>> ExponentialDecay(1.0, decay_steps=10, decay_rate=0.5)(20)
        0.25
    """

    def __init__(
        self, initial_learning_rate: float, decay_steps: int, decay_rate: float, staircase: bool = False
    ) -> None:
        at = type(self).__name__
        self.initial_learning_rate = rate(f"{at}.initial_learning_rate", initial_learning_rate)
        self.decay_steps = whole(f"{at}.decay_steps", decay_steps, 1)
        self.decay_rate = number(f"{at}.decay_rate", decay_rate, "(0, inf)")
        self.staircase = staircase

    def __call__(self, step: int) -> float:
        return float(self.initial_learning_rate * self.decay_rate ** _quotient(step, self.decay_steps, self.staircase))


class StepDecay(ExponentialDecay):
    """`initial * decay_rate ** (step // decay_steps)`: a drop by a factor every `decay_steps`.

    Example:
        >>> [StepDecay(1.0, decay_steps=2, decay_rate=0.5)(step) for step in range(5)]
        [1.0, 1.0, 0.5, 0.5, 0.25]
    """

    def __init__(self, initial_learning_rate: float, decay_steps: int, decay_rate: float = 0.1) -> None:
        super().__init__(initial_learning_rate, decay_steps, decay_rate, staircase=True)


class InverseTimeDecay(Schedule):
    """`initial / (1 + decay_rate * step / decay_steps)`; `staircase` uses whole quotients."""

    def __init__(
        self, initial_learning_rate: float, decay_steps: int, decay_rate: float, staircase: bool = False
    ) -> None:
        self.initial_learning_rate = rate("InverseTimeDecay.initial_learning_rate", initial_learning_rate)
        self.decay_steps = whole("InverseTimeDecay.decay_steps", decay_steps, 1)
        self.decay_rate = rate("InverseTimeDecay.decay_rate", decay_rate)
        self.staircase = staircase

    def __call__(self, step: int) -> float:
        return self.initial_learning_rate / (1 + self.decay_rate * _quotient(step, self.decay_steps, self.staircase))


def _quotient(step: int, steps: int, staircase: bool) -> float:
    return step // steps if staircase else step / steps


class PiecewiseConstantDecay(Schedule):
    """`values[i]` up to and including step `boundaries[i]`, and `values[-1]` after the last, as in Keras.

    Example:
        >>> [PiecewiseConstantDecay([2], [0.1, 0.01])(step) for step in range(4)]
        [0.1, 0.1, 0.1, 0.01]
    """

    def __init__(self, boundaries: Sequence[int], values: Sequence[float]) -> None:
        self.boundaries = [
            whole(f"PiecewiseConstantDecay.boundaries[{i}]", each, 0) for i, each in enumerate(boundaries)
        ]
        self.values = [rate(f"PiecewiseConstantDecay.values[{i}]", each) for i, each in enumerate(values)]
        if len(self.values) != len(self.boundaries) + 1:
            raise ConfigError(
                at="PiecewiseConstantDecay.values",
                got=self.values,
                expected=f"{len(self.boundaries) + 1} values, one more than boundaries",
            )
        if self.boundaries != sorted(set(self.boundaries)):
            raise ConfigError(at="PiecewiseConstantDecay.boundaries", got=self.boundaries, expected="rising steps")

    def __call__(self, step: int) -> float:
        return self.values[bisect_left(self.boundaries, step)]


class PolynomialDecay(Schedule):
    """`(initial - end) * (1 - step / decay_steps) ** power + end`, then `end`.

    With `cycle`, it starts again over a doubled, tripled, ... length each time it reaches the end.
    `decay_steps` None is the length of the run.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int | None = None,
        end_learning_rate: float = 0.0001,
        power: float = 1.0,
        cycle: bool = False,
    ) -> None:
        self.initial_learning_rate = rate("PolynomialDecay.initial_learning_rate", initial_learning_rate)
        self.decay_steps = steps("PolynomialDecay.decay_steps", decay_steps)
        self.end_learning_rate = rate("PolynomialDecay.end_learning_rate", end_learning_rate)
        self.power = number("PolynomialDecay.power", power, "(0, inf)")
        self.cycle = cycle

    def __call__(self, step: int) -> float:
        length = self.length("decay_steps")
        if self.cycle:
            length *= max(1, math.ceil(step / length))
        left = 1 - min(step, length) / length
        return float((self.initial_learning_rate - self.end_learning_rate) * left**self.power + self.end_learning_rate)

    def bind(self, total_steps: int) -> Schedule:
        if self.decay_steps is not None:
            return self
        return PolynomialDecay(
            self.initial_learning_rate, max(1, total_steps), self.end_learning_rate, self.power, self.cycle
        )


class CosineDecay(Schedule):
    """Half a cosine from the initial rate down to `alpha` times it over `decay_steps`, after a linear warm-up.

    With `warmup_target`, the rate first climbs from the initial one to the target over `warmup_steps`, and the cosine
    falls from the target; the decay comes after the warm-up, as in Keras. `decay_steps` None is the rest of the run.

    Source: Loshchilov & Hutter 2017, https://arxiv.org/abs/1608.03983.

    Example:
        >>> round(CosineDecay(1.0, decay_steps=10)(5), 9)
        0.5
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int | None = None,
        alpha: float = 0.0,
        *,
        warmup_target: float | None = None,
        warmup_steps: int = 0,
    ) -> None:
        self.initial_learning_rate = rate("CosineDecay.initial_learning_rate", initial_learning_rate)
        self.decay_steps = steps("CosineDecay.decay_steps", decay_steps)
        self.alpha = number("CosineDecay.alpha", alpha, "[0, 1]")
        self.warmup_target = None if warmup_target is None else rate("CosineDecay.warmup_target", warmup_target)
        self.warmup_steps = whole("CosineDecay.warmup_steps", warmup_steps, 0)

    def __call__(self, step: int) -> float:
        length, top = self.length("decay_steps"), self.initial_learning_rate
        if self.warmup_target is not None:
            if step < self.warmup_steps:
                return top + (self.warmup_target - top) * step / self.warmup_steps
            step, top = step - self.warmup_steps, self.warmup_target
        return top * ((1 - self.alpha) * _half_cosine(min(step, length) / length) + self.alpha)

    def bind(self, total_steps: int) -> Schedule:
        if self.decay_steps is not None:
            return self
        warmup = 0 if self.warmup_target is None else self.warmup_steps
        return CosineDecay(
            self.initial_learning_rate,
            max(1, total_steps - warmup),
            self.alpha,
            warmup_target=self.warmup_target,
            warmup_steps=self.warmup_steps,
        )


def _half_cosine(done: float) -> float:
    """From 1 down to 0 as `done` goes from 0 to 1."""
    return 0.5 * (1 + math.cos(math.pi * done))


class CosineDecayRestarts(Schedule):
    """Half a cosine down to `alpha` times the rate, again and again: each `t_mul` as long, from `m_mul` as high.

    Source: Loshchilov & Hutter 2017, https://arxiv.org/abs/1608.03983.

    Example:
        >>> schedule = CosineDecayRestarts(1.0, first_decay_steps=2, m_mul=0.5)
        >>> [round(schedule(step), 3) for step in range(7)]
        [1.0, 0.5, 0.5, 0.427, 0.25, 0.073, 0.25]
    """

    def __init__(
        self,
        initial_learning_rate: float,
        first_decay_steps: int,
        t_mul: float = 2.0,
        m_mul: float = 1.0,
        alpha: float = 0.0,
    ) -> None:
        self.initial_learning_rate = rate("CosineDecayRestarts.initial_learning_rate", initial_learning_rate)
        self.first_decay_steps = whole("CosineDecayRestarts.first_decay_steps", first_decay_steps, 1)
        self.t_mul = number("CosineDecayRestarts.t_mul", t_mul, "[1, inf)")
        self.m_mul = number("CosineDecayRestarts.m_mul", m_mul, "[0, 1]")
        self.alpha = number("CosineDecayRestarts.alpha", alpha, "[0, 1]")

    def __call__(self, step: int) -> float:
        begin, length, period = 0.0, float(self.first_decay_steps), 0
        if self.t_mul == 1:
            period = step // self.first_decay_steps
            begin = period * length
        # By adding lengths up, not by a logarithm: that lands a period early or late where it is whole.
        while self.t_mul > 1 and step >= begin + length:
            begin, length, period = begin + length, length * self.t_mul, period + 1
        height = self.m_mul**period * _half_cosine((step - begin) / length)
        return self.initial_learning_rate * ((1 - self.alpha) * height + self.alpha)


class OneCycle(Schedule):
    """Up along a half cosine to `max_learning_rate` for `pct_start` of the run, then down to almost nothing.

    It begins at `max / div_factor` and ends at that divided by `final_div_factor`, with the defaults of torch's
    `OneCycleLR`. Momentum is not cycled. `total_steps` None is the length of the run.

    Source: Smith & Topin 2018, https://arxiv.org/abs/1708.07120.
    """

    def __init__(
        self,
        max_learning_rate: float,
        total_steps: int | None = None,
        pct_start: float = 0.3,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
    ) -> None:
        self.max_learning_rate = rate("OneCycle.max_learning_rate", max_learning_rate)
        self.total_steps = steps("OneCycle.total_steps", total_steps)
        self.pct_start = number("OneCycle.pct_start", pct_start, "[0, 1]")
        self.div_factor = number("OneCycle.div_factor", div_factor, "(0, inf)")
        self.final_div_factor = number("OneCycle.final_div_factor", final_div_factor, "(0, inf)")

    def __call__(self, step: int) -> float:
        last = self.length("total_steps") - 1
        peak = self.pct_start * (last + 1) - 1
        start = self.max_learning_rate / self.div_factor
        end = start / self.final_div_factor
        if step <= peak and peak > 0:
            return self.max_learning_rate + (start - self.max_learning_rate) * _half_cosine(step / peak)
        peak = max(0.0, peak)
        done = min(1.0, (step - peak) / (last - peak)) if last > peak else 1.0
        return end + (self.max_learning_rate - end) * _half_cosine(done)

    def bind(self, total_steps: int) -> Schedule:
        if self.total_steps is not None:
            return self
        return OneCycle(
            self.max_learning_rate, max(1, total_steps), self.pct_start, self.div_factor, self.final_div_factor
        )


class WarmUp(Schedule):
    """A straight climb from `initial_learning_rate` over `warmup_steps` to where `schedule` begins; then `schedule`.

    Example:
        >>> [WarmUp(0.4, warmup_steps=4)(step) for step in range(6)]
        [0.0, 0.1, 0.2, 0.30000000000000004, 0.4, 0.4]
    """

    def __init__(
        self,
        schedule: "float | Schedule | Mapping[str, object]",
        warmup_steps: int,
        initial_learning_rate: float = 0.0,
    ) -> None:
        self.schedule = get_schedule(schedule)
        self.warmup_steps = whole("WarmUp.warmup_steps", warmup_steps, 1)
        self.initial_learning_rate = rate("WarmUp.initial_learning_rate", initial_learning_rate)

    def __call__(self, step: int) -> float:
        if step >= self.warmup_steps:
            return self.schedule(step - self.warmup_steps)
        first = self.initial_learning_rate
        return first + (self.schedule(0) - first) * step / self.warmup_steps

    def bind(self, total_steps: int) -> Schedule:
        return WarmUp(
            self.schedule.bind(max(1, total_steps - self.warmup_steps)), self.warmup_steps, self.initial_learning_rate
        )


class LateDecay(Schedule):
    """`schedule`, and over the last `decay_fraction` of the run a half cosine from 1 to `final_fraction` times it.

    `total_steps` None is the length of the run. The channel-adaptive optimiser brings this along.

    Example:
        >>> late = LateDecay(1.0, decay_fraction=0.5, final_fraction=0.0, total_steps=9)
        >>> [round(late(step), 3) for step in range(9)]
        [1.0, 1.0, 1.0, 1.0, 1.0, 0.854, 0.5, 0.146, 0.0]
    """

    def __init__(
        self,
        schedule: "float | Schedule | Mapping[str, object]",
        decay_fraction: float = 0.3,
        final_fraction: float = 0.01,
        total_steps: int | None = None,
    ) -> None:
        self.schedule = get_schedule(schedule)
        self.decay_fraction = number("LateDecay.decay_fraction", decay_fraction, "[0, 1]")
        self.final_fraction = number("LateDecay.final_fraction", final_fraction, "[0, 1]")
        self.total_steps = steps("LateDecay.total_steps", total_steps)

    def __call__(self, step: int) -> float:
        last = self.length("total_steps") - 1
        begin = (1 - self.decay_fraction) * last
        if step <= begin:
            return self.schedule(step)
        done = min(1.0, (step - begin) / (last - begin)) if last > begin else 1.0
        return self.schedule(step) * (self.final_fraction + (1 - self.final_fraction) * _half_cosine(done))

    def bind(self, total_steps: int) -> Schedule:
        length = self.total_steps or max(1, total_steps)
        return LateDecay(self.schedule.bind(length), self.decay_fraction, self.final_fraction, length)


SCHEDULES = Registry[type[Schedule]]("schedule")
"""Every schedule by its class name and its spelled name; add your own to load models that use it."""

for _class in (
    Constant,
    CosineDecay,
    CosineDecayRestarts,
    ExponentialDecay,
    InverseTimeDecay,
    LateDecay,
    OneCycle,
    PiecewiseConstantDecay,
    PolynomialDecay,
    StepDecay,
    WarmUp,
):
    SCHEDULES.add(_class.__name__, _class, snake_case(_class.__name__))


def get_schedule(schedule: float | Schedule | Mapping[str, object]) -> Schedule:
    """A schedule from a rate, itself, or its stored `config()`.

    Raises: ConfigError, UnknownNameError.

    Example:
        >>> get_schedule(0.1)
        Constant(learning_rate=0.1)
    """
    if isinstance(schedule, Schedule | Mapping):
        return resolve(SCHEDULES, schedule, Schedule, at="learning_rate")  # type: ignore[type-abstract]
    return Constant(number("learning_rate", schedule, "[0, inf)"))
