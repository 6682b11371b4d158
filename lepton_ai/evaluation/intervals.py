"""How far a figure measured on a sample may lie from the truth."""

from collections.abc import Callable
from statistics import NormalDist
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from lepton_ai.core import ConfigError, DataError
from lepton_ai.evaluation.checks import same_length


class Interval(msgspec.Struct, frozen=True, kw_only=True):
    """From `low` to `high`, with the confidence `level`."""

    low: float
    high: float
    level: float = 0.95


def wilson_interval(successes: int, trials: int, *, level: float = 0.95) -> Interval:
    """Wilson's score interval for a share, such as an accuracy. It holds near 0 and 1 and for few trials.

    Raises: DataError unless `0 <= successes <= trials` and there is a trial.

    Example:
        >>> interval = wilson_interval(975, 1000)
        >>> round(interval.low, 4), round(interval.high, 4)
        (0.9634, 0.983)

    Source: Wilson (1927), Probable inference, the law of succession, and statistical inference.
    """
    if trials < 1 or not 0 <= successes <= trials:
        raise DataError(
            at="wilson_interval", got=(successes, trials), expected="0 <= successes <= trials and at least one trial"
        )
    z = NormalDist().inv_cdf(0.5 + _checked(level, "wilson_interval") / 2)
    share = successes / trials
    middle = share + z * z / (2 * trials)
    reach = z * (share * (1 - share) / trials + z * z / (4 * trials * trials)) ** 0.5
    scale = 1 + z * z / trials
    low, high = (middle - reach) / scale, (middle + reach) / scale
    return Interval(low=0.0 if successes == 0 else low, high=1.0 if successes == trials else high, level=level)


def bootstrap_interval(
    statistic: Callable[..., float], *arrays: npt.ArrayLike, level: float = 0.95, resamples: int = 1000, seed: int = 0
) -> Interval:
    """The percentile bootstrap interval of any `statistic(*arrays)`: rows are drawn again, together, with replacement.

    Resamples in which the statistic cannot be computed (it raises DataError, or is not finite) are left out.

    Raises: DataError if half of the resamples or more must be left out; ShapeError if the lengths differ.

    Example:
        >>> values = np.arange(100.0)
        >>> interval = bootstrap_interval(lambda x: float(x.mean()), values)
        >>> interval.low < 49.5 < interval.high
        True
    """
    at = "bootstrap_interval"
    rows: list[npt.NDArray[Any]] = [np.asarray(array) for array in arrays]
    if not rows or resamples < 1:
        raise ConfigError("needs at least one array and one resample", at=at)
    same_length(at, **{f"array {index}": array for index, array in enumerate(rows)})
    random = np.random.default_rng(seed)
    found = []
    for _ in range(resamples):
        drawn = random.integers(0, len(rows[0]), len(rows[0]))
        try:
            found.append(float(statistic(*(array[drawn] for array in rows))))
        except DataError:
            continue
    values = np.array([value for value in found if np.isfinite(value)])
    if 2 * len(values) <= resamples:
        raise DataError(
            f"the statistic could be computed in {len(values)} of {resamples} resamples",
            at=at,
            fix="Give more rows, of each class if the statistic needs several.",
        )
    tail = (1 - _checked(level, at)) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return Interval(low=float(low), high=float(high), level=level)


def _checked(level: float, at: str) -> float:
    if not 0 < level < 1:
        raise ConfigError(at=f"{at}.level", got=level, expected="a share between 0 and 1", fix="Write level=0.95.")
    return level
