"""One call from answers to everything that is worth knowing about them. Results are plain, and can be stored."""

from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from lepton_ai.core import ShapeError
from lepton_ai.evaluation import regression
from lepton_ai.evaluation.checks import Floats, Ints, class_indices, probabilities, same_length
from lepton_ai.evaluation.classification import ClassScores, average_scores, class_scores, confusion_matrix, log_loss
from lepton_ai.evaluation.curves import average_precision, precision_recall_curve, roc_auc, roc_curve
from lepton_ai.evaluation.intervals import Interval, bootstrap_interval, wilson_interval
from lepton_ai.evaluation.reliability import Calibration, brier_score, calibration

CURVE_POINTS = 200
HISTOGRAM_BINS = 24


class Mistake(msgspec.Struct, frozen=True, kw_only=True):
    """A sample, by its `index`, whose `target` class was taken for `predicted` with the probability `confidence`."""

    index: int
    target: int
    predicted: int
    confidence: float


class Curve(msgspec.Struct, frozen=True, kw_only=True):
    """Points for a chart: at most 200 of them."""

    x: tuple[float, ...]
    y: tuple[float, ...]


class ClassificationResult(msgspec.Struct, frozen=True, kw_only=True):
    """`confusion[i][j]` counts samples of class i taken for j; `worst` are the mistakes of the highest confidence.

    Intervals are at 95 %. The fields after `worst` are of two classes only, and None where one class is missing.
    """

    labels: tuple[str, ...]
    count: int
    accuracy: float
    interval: Interval
    log_loss: float
    brier: float
    confusion: tuple[tuple[int, ...], ...]
    per_class: tuple[ClassScores, ...]
    macro: ClassScores
    weighted: ClassScores
    calibration: Calibration
    worst: tuple[Mistake, ...]
    auc: float | None = None
    average_precision: float | None = None
    roc: Curve | None = None
    precision_recall: Curve | None = None


class RegressionResult(msgspec.Struct, frozen=True, kw_only=True):
    """Figures in the targets' unit (`mse` in its square); `bias` is the mean of predicted minus target.

    `mape` is None where a target is 0, `r2` for a single sample. `residual_counts` lie between `residual_edges`.
    `worst` are the indices with the largest absolute difference, the worst first. The interval of `mae` is a
    bootstrap's, at 95 %.
    """

    count: int
    mse: float
    rmse: float
    mae: float
    interval: Interval
    r2: float | None
    mape: float | None
    bias: float
    residual_counts: tuple[int, ...]
    residual_edges: tuple[float, ...]
    worst: tuple[int, ...]


def evaluate_classification(
    scores: npt.ArrayLike,
    targets: npt.ArrayLike,
    labels: Sequence[str] | None = None,
    *,
    bins: int = 10,
    worst: int = 24,
) -> ClassificationResult:
    """Judge probabilities `(N, C)`, or `(N,)` / `(N, 1)` of class 1 of two, by targets `(N,)` or one-hot `(N, C)`.

    The answer is the class of the highest probability, the lower of equal ones; for `(N,)` class 1 above a half.
    `bins` are those of the calibration, `worst` the most mistakes that are kept.

    Raises: ShapeError if lengths or the number of labels do not fit; DataError for logits, NaN, or targets outside
    the classes.

    Example:
        >>> result = evaluate_classification([[0.9, 0.1], [0.3, 0.7], [0.8, 0.2]], [0, 1, 1], ["cat", "dog"])
        >>> round(result.accuracy, 4), result.confusion, result.worst[0].index
        (0.6667, ((1, 0), (1, 1)), 2)
    """
    at = "evaluate_classification"
    chances = probabilities(scores, at=f"{at}.scores")
    classes = chances.shape[1]
    names = tuple(str(label) for label in labels) if labels is not None else tuple(str(i) for i in range(classes))
    if len(names) != classes:
        raise ShapeError(at=f"{at}.labels", got=len(names), expected=f"{classes}, one for each class of the scores")
    true = class_indices(targets, classes, at=f"{at}.targets")
    same_length(at, scores=chances, targets=true)

    said = chances.argmax(axis=1)
    right = said == true
    confusion = confusion_matrix(said, true, classes)
    two = classes == 2
    compared = calibration(chances[:, 1], true, bins=bins, meaning="positive") if two else None
    result = ClassificationResult(
        labels=names,
        count=len(true),
        accuracy=float(right.mean()),
        interval=wilson_interval(int(right.sum()), len(true)),
        log_loss=log_loss(scores, true),
        brier=brier_score(chances, true),
        confusion=tuple(tuple(int(value) for value in row) for row in confusion),
        per_class=class_scores(confusion, names),
        macro=average_scores(confusion, "macro"),
        weighted=average_scores(confusion, "weighted"),
        calibration=compared or calibration(chances.max(axis=1), right, bins=bins),
        worst=_worst(chances, said, true, worst),
    )
    return _with_curves(result, chances[:, 1], true) if two and true.min() != true.max() else result


def _worst(chances: Floats, said: npt.NDArray[np.intp], true: Ints, most: int) -> tuple[Mistake, ...]:
    wrong = np.flatnonzero(said != true)
    sure = chances[wrong, said[wrong]]
    order = np.argsort(-sure, kind="stable")[:most]
    return tuple(
        Mistake(index=int(i), target=int(true[i]), predicted=int(said[i]), confidence=float(c))
        for i, c in zip(wrong[order], sure[order], strict=True)
    )


def _with_curves(result: ClassificationResult, scores: Floats, true: Ints) -> ClassificationResult:
    roc, precision_recall = roc_curve(scores, true), precision_recall_curve(scores, true)
    return msgspec.structs.replace(
        result,
        auc=roc_auc(scores, true),
        average_precision=average_precision(scores, true),
        roc=_thinned(roc.false_positive_rate, roc.true_positive_rate),
        precision_recall=_thinned(precision_recall.recall[::-1], precision_recall.precision[::-1]),
    )


def _thinned(x: Floats, y: Floats) -> Curve:
    kept = np.unique(np.linspace(0, len(x) - 1, min(len(x), CURVE_POINTS)).round().astype(int))
    return Curve(x=tuple(x[kept].tolist()), y=tuple(y[kept].tolist()))


def evaluate_regression(predicted: npt.ArrayLike, targets: npt.ArrayLike, *, worst: int = 24) -> RegressionResult:
    """Judge numbers `(N,)`, `(N, 1)` or `(N, K)` by targets of the same shape.

    Raises: ShapeError if lengths or outputs differ; DataError for NaN.

    Example:
        >>> result = evaluate_regression([1.0, 2.0, 3.5], [1.0, 2.0, 3.0])
        >>> round(result.mae, 4), result.worst[0]
        (0.1667, 2)
    """
    said, true = regression.pair(predicted, targets, at="evaluate_regression")
    residual = said - true
    distance = np.abs(residual).mean(axis=1)
    counts, edges = np.histogram(residual, bins=HISTOGRAM_BINS)
    return RegressionResult(
        count=len(true),
        mse=regression.mean_squared_error(said, true),
        rmse=regression.root_mean_squared_error(said, true),
        mae=regression.mean_absolute_error(said, true),
        interval=bootstrap_interval(lambda rows: float(rows.mean()), distance),
        r2=regression.r2_score(said, true) if len(true) > 1 else None,
        mape=regression.mean_absolute_percentage_error(said, true) if (true != 0).all() else None,
        bias=float(residual.mean()),
        residual_counts=tuple(int(value) for value in counts),
        residual_edges=tuple(float(value) for value in edges),
        worst=tuple(int(index) for index in np.argsort(-distance, kind="stable")[:worst]),
    )
