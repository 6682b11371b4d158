"""Two models on the same rows: is the difference more than chance?"""

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from lepton_ai.core import DataError
from lepton_ai.evaluation.checks import Floats, class_indices, column, same_length
from lepton_ai.evaluation.intervals import Interval, bootstrap_interval
from lepton_ai.evaluation.measures import Measure, get_measure


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """`difference` is first minus second in the measure; `interval` its paired bootstrap's; `p_value` two-sided.

    `test` names how the p-value came about.
    """

    measure: str
    first: float
    second: float
    difference: float
    interval: Interval
    p_value: float
    test: str
    rows: int

    @property
    def significant(self) -> bool:
        """Whether the p-value is below what the interval's level leaves."""
        return self.p_value < 1 - self.interval.level


def compare(
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    targets: npt.ArrayLike,
    measure: str | Measure = "accuracy",
    *,
    parts: npt.ArrayLike | None = None,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> Comparison:
    """Compare the answers of two models to the same rows, row by row.

    The p-value is McNemar's exact test for `accuracy`, DeLong's for `roc_auc`, and for any other measure that of a
    permutation test, in which the two answers to a row change places at random.

    Args:
        parts: (N,) the fold of each row, for answers out of cross-validation: the measure is then the mean over folds.

    Raises: ShapeError if lengths differ; DataError for what the measure cannot take.

    Example:
        >>> targets = np.tile([0, 1], 50)
        >>> good, poor = np.where(targets == 1, 0.8, 0.2), np.tile([0.4, 0.6, 0.6, 0.4], 25)
        >>> result = compare(good, poor, targets)
        >>> result.first, result.second, result.test, result.significant
        (1.0, 0.5, "McNemar's exact test", True)

    Sources: McNemar (1947); DeLong, DeLong and Clarke-Pearson (1988), by the algorithm of Sun and Xu (2014); Fisher
    (1935) for permutation; Efron (1979) for the bootstrap.
    """
    judged = get_measure(measure)
    one, two, true = np.asarray(first), np.asarray(second), np.asarray(targets)
    folds = np.zeros(len(true), np.int64) if parts is None else np.asarray(parts)
    same_length("compare", first=one, second=two, targets=true, parts=folds)

    def figure(answers: npt.NDArray[Any], targets_: npt.NDArray[Any], folds_: npt.NDArray[Any]) -> float:
        return float(np.mean([judged(answers[folds_ == f], targets_[folds_ == f]) for f in np.unique(folds_)]))

    own, other = figure(one, true, folds), figure(two, true, folds)
    interval = bootstrap_interval(
        lambda a, b, t, f: figure(a, t, f) - figure(b, t, f),
        one, two, true, folds, level=level, resamples=resamples, seed=seed,
    )  # fmt: skip
    if judged.name == "accuracy":
        test, p_value = "McNemar's exact test", _mcnemar(one, two, true)
    elif judged.name == "roc_auc" and len(np.unique(folds)) == 1:
        test, p_value = "DeLong's test", _delong(one, two, true)
    else:
        test, swapped = f"permutation test of {resamples} draws", np.random.default_rng(seed)
        reached = 1  # the observed one is one of the possible assignments
        for _ in range(resamples):
            mask = swapped.random(len(true)) < 0.5
            shaped = mask.reshape(-1, *[1] * (one.ndim - 1))
            a, b = np.where(shaped, two, one), np.where(shaped, one, two)
            reached += abs(figure(a, true, folds) - figure(b, true, folds)) >= abs(own - other) - 1e-12
        p_value = reached / (resamples + 1)
    return Comparison(
        measure=judged.name,
        first=own,
        second=other,
        difference=own - other,
        interval=interval,
        p_value=float(p_value),
        test=test,
        rows=len(true),
    )


def _mcnemar(one: Floats, two: Floats, true: Floats) -> float:
    """Of the rows that only one model gets right, as uneven a share as this or more, if each were a fair coin."""
    right = [_right(answers, true) for answers in (one, two)]
    only = [int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())]
    total, fewer = sum(only), min(only)
    tail, ways = 0, 1  # whole numbers: no rounding, however many rows
    for k in range(fewer + 1):
        tail += ways
        ways = ways * (total - k) // (k + 1)
    return float(min(1.0, 2 * tail / 2**total))


def _right(answers: Floats, true: Floats) -> npt.NDArray[np.bool_]:
    # As the measure `accuracy` has it: the class of the highest probability, class 1 above a half.
    if answers.ndim == 1 or answers.shape[1] == 1:
        said = (answers.reshape(-1) > 0.5).astype(np.int64)
        return np.asarray(said == class_indices(true, 2, at="targets"))
    return np.asarray(answers.argmax(axis=1) == class_indices(true, answers.shape[1], at="targets"))


def _delong(one: Floats, two: Floats, true: Floats) -> float:
    labels = class_indices(true, 2, at="targets")
    scores = [
        column(answers[:, 1] if answers.ndim == 2 and answers.shape[1] == 2 else answers, at="compare")
        for answers in (one, two)
    ]
    positive, negative = labels == 1, labels == 0
    m, n = int(positive.sum()), int(negative.sum())
    if m < 2 or n < 2:
        raise DataError("DeLong's test needs two rows of each class", at="compare", got=f"{n} and {m}")
    won, lost = [], []
    for values in scores:
        x, y, every = values[positive], values[negative], np.concatenate([values[positive], values[negative]])
        ranks = _midranks(every)
        won.append((ranks[:m] - _midranks(x)) / n)
        lost.append(1 - (ranks[m:] - _midranks(y)) / m)
    areas = [part.mean() for part in won]
    spread = np.cov(np.array(won)) / m + np.cov(np.array(lost)) / n
    variance = float(spread[0, 0] + spread[1, 1] - 2 * spread[0, 1])
    if variance <= 0:
        return 1.0 if areas[0] == areas[1] else 0.0
    z = abs(areas[0] - areas[1]) / math.sqrt(variance)
    return 2 * (1 - NormalDist().cdf(z))


def _midranks(values: Floats) -> Floats:
    """Ranks from 1, those of equal values averaged."""
    _, where, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    middle: Floats = ends - (counts - 1) / 2
    return middle[where]


def adjusted(p_values: Sequence[float]) -> tuple[float, ...]:
    """P-values corrected for how many were looked at, by Holm (1979).

    Example:
        >>> adjusted([0.01, 0.04, 0.03])
        (0.03, 0.06, 0.06)
    """
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    result = [0.0] * len(p_values)
    highest = 0.0
    for place, index in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - place) * p_values[index]))
        result[index] = highest
    return tuple(result)
