"""What every threshold of a two-class score would give."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from lepton_ai.core import DataError
from lepton_ai.evaluation.checks import Floats, class_indices, column, same_length


class RocCurve(NamedTuple):
    """Arrays `(T,)`, from the strictest threshold (infinity: nothing is called positive) to the loosest."""

    false_positive_rate: Floats
    true_positive_rate: Floats
    thresholds: Floats


class PrecisionRecallCurve(NamedTuple):
    """`precision` and `recall` `(T + 1,)` by rising `thresholds` `(T,)`; the last point is (1, 0), of no threshold."""

    precision: Floats
    recall: Floats
    thresholds: Floats


def roc_curve(scores: npt.ArrayLike, targets: npt.ArrayLike) -> RocCurve:
    """The receiver operating characteristic of scores `(N,)`, higher for class 1, and targets `(N,)` of 0 and 1.

    Raises: DataError if there is only one class among the targets.

    Example:
        >>> curve = roc_curve([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1])
        >>> curve.true_positive_rate.tolist()
        [0.0, 0.5, 0.5, 1.0, 1.0]
    """
    thresholds, hits, alarms = _cumulated(scores, targets, "roc_curve")
    return RocCurve(
        np.concatenate([[0.0], alarms / alarms[-1]]),
        np.concatenate([[0.0], hits / hits[-1]]),
        np.concatenate([[np.inf], thresholds]),
    )


def roc_auc(scores: npt.ArrayLike, targets: npt.ArrayLike) -> float:
    """The area under the ROC curve: how often a random sample of class 1 scores above one of class 0 (ties count half).

    Raises: DataError if there is only one class among the targets.

    Example:
        >>> roc_auc([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1])
        0.75
    """
    curve = roc_curve(scores, targets)
    return float(np.trapezoid(curve.true_positive_rate, curve.false_positive_rate))


def precision_recall_curve(scores: npt.ArrayLike, targets: npt.ArrayLike) -> PrecisionRecallCurve:
    """Precision against recall of scores `(N,)` for targets `(N,)` of 0 and 1.

    Raises: DataError if there is only one class among the targets.
    """
    thresholds, hits, alarms = _cumulated(scores, targets, "precision_recall_curve")
    precision, recall = hits / (hits + alarms), hits / hits[-1]
    return PrecisionRecallCurve(
        np.concatenate([precision[::-1], [1.0]]), np.concatenate([recall[::-1], [0.0]]), thresholds[::-1]
    )


def average_precision(scores: npt.ArrayLike, targets: npt.ArrayLike) -> float:
    """The mean of precision over the steps of recall, without interpolation.

    Example:
        >>> round(average_precision([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1]), 4)
        0.8333
    """
    curve = precision_recall_curve(scores, targets)
    return float(-np.sum(np.diff(curve.recall) * curve.precision[:-1]))


def _cumulated(scores: npt.ArrayLike, targets: npt.ArrayLike, at: str) -> tuple[Floats, Floats, Floats]:
    """Distinct thresholds, falling, with the true and the false positives at or above each."""
    numbers = column(scores, at=f"{at}.scores")
    true = class_indices(targets, 2, at=f"{at}.targets")
    same_length(at, scores=numbers, targets=true)
    if true.min() == true.max():
        raise DataError(
            f"all {len(true)} targets are of class {int(true[0])}",
            at=at,
            expected="samples of both classes",
            fix="Evaluate on a split that holds both: split with stratify, or take more rows.",
        )
    order = np.argsort(-numbers, kind="stable")
    numbers, true = numbers[order], true[order]
    ends = np.append(np.flatnonzero(np.diff(numbers)), len(true) - 1)
    hits = np.cumsum(true)[ends].astype(np.float64)
    return numbers[ends], hits, 1.0 + ends - hits
