"""Where to draw the line: the threshold that costs least, or that keeps a promise."""

from typing import Literal

import msgspec
import numpy as np
import numpy.typing as npt

from lepton_ai.core import ConfigError, DataError, unknown_name
from lepton_ai.evaluation.checks import Floats, class_indices, column, same_length
from lepton_ai.evaluation.curves import roc_curve

Goal = Literal["precision", "recall", "false_positive_rate"]


class Threshold(msgspec.Struct, frozen=True, kw_only=True):
    """Rows that score `threshold` or more are called positive; what that gave on the rows at hand.

    `cost` is the mean cost of a row, where costs were given; `precision` is 0 if nothing is called positive.
    """

    threshold: float
    true_positives: int
    false_positives: int
    false_negatives: int
    true_negatives: int
    cost: float | None = None

    @property
    def precision(self) -> float:
        return self.true_positives / max(1, self.true_positives + self.false_positives)

    @property
    def recall(self) -> float:
        return self.true_positives / max(1, self.true_positives + self.false_negatives)

    @property
    def false_positive_rate(self) -> float:
        return self.false_positives / max(1, self.false_positives + self.true_negatives)


def cheapest_threshold(
    scores: npt.ArrayLike,
    targets: npt.ArrayLike,
    *,
    false_positive: float = 1.0,
    false_negative: float = 1.0,
    true_positive: float = 0.0,
    true_negative: float = 0.0,
) -> Threshold:
    """The threshold of the lowest mean cost, from the cost of each kind of answer; gains are negative costs.

    Choose it on rows that the model was not trained on, and judge it on rows that it was not chosen on. Of thresholds
    that cost the same, the strictest. It may be infinity: calling nothing positive is cheapest.

    Args:
        scores: `(N,)`, higher for class 1.
        targets: `(N,)` of 0 and 1, both among them.

    Raises: ConfigError for costs under which a mistake costs no more than a right answer; DataError for one class only.

    Example:
        >>> cheapest_threshold([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1], false_negative=5).threshold
        0.35
    """
    if not (false_positive > true_negative and false_negative > true_positive):
        raise ConfigError(
            at="cheapest_threshold",
            got={"false_positive": false_positive, "false_negative": false_negative},
            expected="mistakes that cost more than right answers",
        )
    thresholds, counts = _counts(scores, targets)
    costs = counts @ np.array([true_positive, false_positive, false_negative, true_negative], np.float64)
    best = int(costs.argmin())
    return _threshold(thresholds[best], counts[best], float(costs[best] / counts[best].sum()))


def threshold_for(scores: npt.ArrayLike, targets: npt.ArrayLike, goal: Goal, value: float) -> Threshold:
    """The threshold that keeps a promise: "recall" or "precision" at least `value`, "false_positive_rate" at most.

    Of those that keep it, the one with the highest precision (for "recall"), or the highest recall.

    Raises: DataError if none keeps it, with the nearest that can be had; ConfigError for a value outside [0, 1].

    Example:
        >>> threshold_for([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1], "recall", 0.9).threshold
        0.35
    """
    if goal not in ("precision", "recall", "false_positive_rate"):
        raise unknown_name("goal", goal, ["precision", "recall", "false_positive_rate"], at="threshold_for")
    if not 0 <= value <= 1:
        raise ConfigError(at=f"threshold_for({goal!r})", got=value, expected="a share from 0 to 1")
    thresholds, counts = _counts(scores, targets)
    hits, alarms, missed, passed = counts.T.astype(np.float64)
    precision = hits / np.maximum(hits + alarms, 1)
    recall, rate = hits / (hits + missed), alarms / (alarms + passed)
    reached = {"precision": precision, "recall": recall, "false_positive_rate": -rate}[goal]
    wanted = -value if goal == "false_positive_rate" else value
    kept = np.flatnonzero(reached >= wanted - 1e-12)
    if not len(kept):
        best = abs(float(reached.max()))
        raise DataError(
            f"no threshold gives a {goal.replace('_', ' ')} of {value:g}",
            at="threshold_for",
            expected=f"at most {best:.4g} on these rows",
        )
    second = precision if goal == "recall" else recall
    best_index = int(kept[np.lexsort((np.arange(len(kept)), -second[kept]))[0]])
    return _threshold(thresholds[best_index], counts[best_index], None)


def _counts(scores: npt.ArrayLike, targets: npt.ArrayLike) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Every threshold, the strictest first, with its true and false positives, false and true negatives."""
    numbers, true = column(scores, at="scores"), class_indices(targets, 2, at="targets")
    same_length("thresholds", scores=numbers, targets=true)
    curve = roc_curve(numbers, true)
    positives, negatives = int(true.sum()), int((true == 0).sum())
    hits = np.rint(curve.true_positive_rate * positives).astype(np.int64)
    alarms = np.rint(curve.false_positive_rate * negatives).astype(np.int64)
    return curve.thresholds, np.stack([hits, alarms, positives - hits, negatives - alarms], axis=1)


def _threshold(value: float, counts: npt.NDArray[np.int64], cost: float | None) -> Threshold:
    hits, alarms, missed, passed = (int(each) for each in counts)
    return Threshold(
        threshold=float(value),
        true_positives=hits,
        false_positives=alarms,
        false_negatives=missed,
        true_negatives=passed,
        cost=cost,
    )
