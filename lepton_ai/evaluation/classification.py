"""Metrics of classes: how often the answer was right, and which class is taken for which."""

from collections.abc import Sequence
from typing import Literal

import msgspec
import numpy as np
import numpy.typing as npt

from lepton_ai.core import ConfigError, ShapeError, unknown_name
from lepton_ai.evaluation.checks import Floats, Ints, class_indices, finite, probabilities, same_length


class ClassScores(msgspec.Struct, frozen=True, kw_only=True):
    """Of one class, or an average: `precision`, `recall` and `f1` (0 where they are 0/0); `support` counts samples."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int


def accuracy(predicted: npt.ArrayLike, targets: npt.ArrayLike) -> float:
    """The share of samples whose class `(N,)` was predicted.

    Example:
        >>> accuracy([0, 1, 2, 2], [0, 1, 1, 2])
        0.75
    """
    said, true = class_indices(predicted, None, at="predicted"), class_indices(targets, None, at="targets")
    same_length("accuracy", predicted=said, targets=true)
    return float((said == true).mean())


def top_k_accuracy(scores: npt.ArrayLike, targets: npt.ArrayLike, k: int = 5) -> float:
    """The share of samples whose class is among the `k` best scores `(N, C)`. Of equal scores the lower class wins.

    Raises: ConfigError unless `1 <= k <= C`.

    Example:
        >>> top_k_accuracy([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]], [1, 0], k=2)
        0.5
    """
    numbers = finite(scores, at="scores")
    if numbers.ndim != 2:
        raise ShapeError(at="top_k_accuracy.scores", got=numbers.shape, expected="(N, C), one score for each class")
    if not 1 <= k <= numbers.shape[1]:
        raise ConfigError(at="top_k_accuracy.k", got=k, expected=f"from 1 to {numbers.shape[1]}, the number of classes")
    true = class_indices(targets, numbers.shape[1], at="targets")
    same_length("top_k_accuracy", scores=numbers, targets=true)
    own = numbers[np.arange(len(true)), true][:, None]
    before = np.arange(numbers.shape[1])[None, :] < true[:, None]
    rank = ((numbers > own) | ((numbers == own) & before)).sum(axis=1)
    return float((rank < k).mean())


def confusion_matrix(predicted: npt.ArrayLike, targets: npt.ArrayLike, classes: int | None = None) -> Ints:
    """Counts `(C, C)`: row the true class, column the predicted one. C is `classes`, or as many as are seen.

    Example:
        >>> confusion_matrix([0, 1, 1], [0, 1, 0]).tolist()
        [[1, 1], [0, 1]]
    """
    said, true = class_indices(predicted, classes, at="predicted"), class_indices(targets, classes, at="targets")
    same_length("confusion_matrix", predicted=said, targets=true)
    size = classes if classes is not None else int(max(said.max(), true.max())) + 1
    return np.bincount(true * size + said, minlength=size * size).reshape(size, size).astype(np.int64)


def class_scores(confusion: npt.ArrayLike, labels: Sequence[str] | None = None) -> tuple[ClassScores, ...]:
    """Precision, recall, F1 and support of each class, from a confusion matrix `(C, C)`.

    Example:
        >>> class_scores([[8, 2], [0, 10]], ["cat", "dog"])[0].recall
        0.8
    """
    matrix = _matrix(confusion)
    names = labels if labels is not None else [str(index) for index in range(len(matrix))]
    if len(names) != len(matrix):
        raise ShapeError(at="class_scores.labels", got=len(names), expected=f"{len(matrix)}, one for each class")
    hits = np.diag(matrix).astype(np.float64)
    precision, recall = _ratio(hits, matrix.sum(axis=0)), _ratio(hits, matrix.sum(axis=1))
    f1 = _ratio(2 * hits, matrix.sum(axis=0) + matrix.sum(axis=1))
    return tuple(
        ClassScores(label=name, precision=float(p), recall=float(r), f1=float(f), support=int(support))
        for name, p, r, f, support in zip(names, precision, recall, f1, matrix.sum(axis=1), strict=True)
    )


def average_scores(confusion: npt.ArrayLike, average: Literal["macro", "weighted", "micro"] = "macro") -> ClassScores:
    """One figure for all classes: their plain mean, their mean weighted by support, or computed over all samples.

    Classes that occur neither among targets nor answers are left out.

    Raises: UnknownNameError for another average.
    """
    matrix = _matrix(confusion)
    seen = matrix.sum(axis=0) + matrix.sum(axis=1) > 0
    if seen.any():
        matrix = matrix[np.ix_(seen, seen)]
    support = matrix.sum(axis=1)
    total = int(support.sum())
    if average == "micro":
        share = float(np.trace(matrix)) / max(total, 1)
        return ClassScores(label=average, precision=share, recall=share, f1=share, support=total)
    if average not in ("macro", "weighted"):
        raise unknown_name("average", average, ["macro", "micro", "weighted"], at="average_scores")
    each = class_scores(matrix)
    weights = support if average == "weighted" and total else np.ones(len(matrix))
    precision, recall, f1 = (
        float(np.average([getattr(one, name) for one in each], weights=weights))
        for name in ("precision", "recall", "f1")
    )
    return ClassScores(label=average, precision=precision, recall=recall, f1=f1, support=total)


def log_loss(scores: npt.ArrayLike, targets: npt.ArrayLike) -> float:
    """The mean negative logarithm, in nats, of the probability `(N, C)` or `(N,)` given to the true class.

    Probabilities are kept off 0 by the smallest step of their dtype.

    Example:
        >>> round(log_loss([[0.5, 0.5], [0.25, 0.75]], [0, 1]), 4)
        0.4904
    """
    given = np.asarray(scores)
    chances = probabilities(given, at="scores")
    true = class_indices(targets, chances.shape[1], at="targets")
    same_length("log_loss", scores=chances, targets=true)
    least = float(np.finfo(given.dtype if given.dtype.kind == "f" else np.float64).eps)
    return float(-np.log(np.clip(chances[np.arange(len(true)), true], least, 1 - least)).mean())


def fbeta_scores(confusion: npt.ArrayLike, beta: float) -> Floats:
    """Of each class `(C,)`, precision and recall in one figure in which recall counts `beta` times as much.

    Raises: ConfigError unless `beta` is above 0.

    Source: van Rijsbergen 1979, Information Retrieval, chapter 7.

    Example:
        >>> fbeta_scores([[8, 2], [0, 10]], beta=2).round(4).tolist()
        [0.8333, 0.9615]
    """
    if isinstance(beta, bool) or not beta > 0:
        raise ConfigError(at="fbeta_scores.beta", got=beta, expected="a number above 0")
    matrix = _matrix(confusion)
    hits, weight = np.diag(matrix).astype(np.float64), beta * beta
    return _ratio((1 + weight) * hits, weight * matrix.sum(axis=1) + matrix.sum(axis=0))


def balanced_accuracy(confusion: npt.ArrayLike) -> float:
    """The mean recall of the classes that occur among the targets: each class counts as much as any other.

    Example:
        >>> round(balanced_accuracy([[8, 2], [0, 10]]), 4)
        0.9
    """
    matrix = _matrix(confusion)
    support = matrix.sum(axis=1)
    recall = _ratio(np.diag(matrix).astype(np.float64), support)
    return float(recall[support > 0].mean()) if support.any() else 0.0


def matthews_correlation(confusion: npt.ArrayLike) -> float:
    """The correlation of truth and answer, from -1 to 1; 0 is chance, and where either is always one class.

    Source: Matthews 1975, https://doi.org/10.1016/0005-2795(75)90109-9; Gorodkin 2004 for several classes,
    https://doi.org/10.1016/j.compbiolchem.2004.09.006.

    Example:
        >>> round(matthews_correlation([[8, 2], [0, 10]]), 4)
        0.8165
    """
    matrix = _matrix(confusion).astype(np.float64)
    total, true, said = matrix.sum(), matrix.sum(axis=1), matrix.sum(axis=0)
    spread = (total**2 - said @ said) * (total**2 - true @ true)
    return float((np.trace(matrix) * total - true @ said) / np.sqrt(spread)) if spread > 0 else 0.0


def cohen_kappa(confusion: npt.ArrayLike, weighting: Literal["linear", "quadratic"] | None = None) -> float:
    """Agreement of truth and answer beyond chance: 1 is full, 0 is chance's, also where there is only one class.

    `weighting` counts an error by how far the numbers of the classes are apart, or by its square; None counts all
    alike.

    Source: Cohen 1960, https://doi.org/10.1177/001316446002000104; 1968 for weights, https://doi.org/10.1037/h0026256.

    Raises: UnknownNameError for another weighting.

    Example:
        >>> cohen_kappa([[8, 2], [0, 10]])
        0.8
    """
    if weighting not in (None, "linear", "quadratic"):
        raise unknown_name("weighting", weighting, ["linear", "quadratic"], at="cohen_kappa")
    matrix = _matrix(confusion).astype(np.float64)
    place = np.arange(len(matrix))
    apart = np.abs(place[:, None] - place)
    cost = apart**2 if weighting == "quadratic" else apart if weighting == "linear" else (apart > 0).astype(np.int64)
    expected = float((cost * np.outer(matrix.sum(axis=1), matrix.sum(axis=0))).sum())
    return float(1 - (cost * matrix).sum() * matrix.sum() / expected) if expected > 0 else 0.0


def _matrix(confusion: npt.ArrayLike) -> Ints:
    matrix = np.asarray(confusion, dtype=np.int64)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not matrix.size:
        raise ShapeError(at="confusion", got=matrix.shape, expected="a square matrix (C, C)")
    return matrix


def _ratio(above: Floats, below: npt.NDArray[np.generic]) -> Floats:
    result: Floats = np.divide(above, below, out=np.zeros_like(above), where=np.asarray(below) > 0)
    return result
