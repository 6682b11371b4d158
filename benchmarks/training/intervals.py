"""Medians, their intervals by bootstrap, geometric means; and which rounds count."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

DRAWS = 10_000
MOST_STOLEN = 0.05


@dataclass(frozen=True)
class Estimate:
    """A median, or a geometric mean of medians, with its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.2f} ({self.low:.2f} to {self.high:.2f})"


def median(values: Sequence[float]) -> Estimate:
    """The median and its interval.

    Example:
        >>> median([1.0, 1.0, 1.0])
        Estimate(value=1.0, low=1.0, high=1.0)
    """
    return _estimate(float(np.median(values)), _medians(values, 0))


def geometric_mean(groups: Sequence[Sequence[float]]) -> Estimate:
    """Of the medians of several groups, each drawn anew by itself.

    Example:
        >>> geometric_mean([[1.0, 1.0], [4.0, 4.0]]).value
        2.0
    """
    logs = sum(np.log(_medians(group, seed)) for seed, group in enumerate(groups)) / len(groups)
    value = math.exp(sum(math.log(float(np.median(group))) for group in groups) / len(groups))
    return _estimate(value, np.exp(logs))


def counts(stolen: float) -> bool:
    """Whether a round counts, or is repeated because the host gave the processor to others.

    Example:
        >>> counts(0.05), counts(0.051)
        (True, False)
    """
    return stolen <= MOST_STOLEN


@dataclass(frozen=True)
class Ticks:
    """The machine's processor time since it started, in ticks: what the host stole, what was used, and all."""

    stolen: int
    busy: int
    total: int

    def share_since(self, before: "Ticks") -> float:
        """What share of the time since `before` was stolen; 0 if no time went by."""
        total = self.total - before.total
        return (self.stolen - before.stolen) / total if total > 0 else 0.0

    def others_since(self, before: "Ticks", ours: float) -> float:
        """What share of the time since `before` other programs used, where we used `ours` ticks."""
        total = self.total - before.total
        return max(0.0, (self.busy - before.busy - ours) / total) if total > 0 else 0.0


def ticks(path: Path = Path("/proc/stat")) -> Ticks:
    """Now; zeros where the system does not say."""
    try:
        fields = path.read_text().splitlines()[0].split()[1:9]  # guest time, behind these, is within user time
    except OSError:
        return Ticks(0, 0, 0)
    user, nice, system, idle, waiting, irq, soft_irq, stolen = (int(field) for field in fields)
    busy = user + nice + system + irq + soft_irq
    return Ticks(stolen, busy, busy + idle + waiting + stolen)


def _medians(values: Sequence[float], seed: int) -> npt.NDArray[np.float64]:
    draws = np.random.default_rng(seed).choice(np.asarray(values, np.float64), (DRAWS, len(values)))
    medians: npt.NDArray[np.float64] = np.median(draws, axis=1)
    return medians


def _estimate(value: float, draws: npt.NDArray[np.float64]) -> Estimate:
    low, high = np.quantile(draws, (0.025, 0.975))
    return Estimate(value, float(low), float(high))
