"""Metrics of numbers. Answers and targets are `(N,)`, `(N, 1)` or `(N, K)`; K outputs count equally."""

import numpy as np
import numpy.typing as npt

from lepton_ai.core import DataError, ShapeError
from lepton_ai.evaluation.checks import Floats, finite, same_length


def mean_squared_error(predicted: npt.ArrayLike, targets: npt.ArrayLike) -> float:
    """The mean of the squared differences.

    Example:
        >>> mean_squared_error([1.0, 2.0], [1.0, 4.0])
        2.0
    """
    said, true = pair(predicted, targets, at="mean_squared_error")
    return float(((said - true) ** 2).mean())


def mean_absolute_error(predicted: npt.ArrayLike, targets: npt.ArrayLike) -> float:
    """The mean of the absolute differences, in the targets' unit."""
    said, true = pair(predicted, targets, at="mean_absolute_error")
    return float(np.abs(said - true).mean())


def root_mean_squared_error(predicted: npt.ArrayLike, targets: npt.ArrayLike) -> float:
    """The square root of the mean squared error of each output, averaged; in the targets' unit."""
    said, true = pair(predicted, targets, at="root_mean_squared_error")
    return float(np.sqrt(((said - true) ** 2).mean(axis=0)).mean())


def r2_score(predicted: npt.ArrayLike, targets: npt.ArrayLike) -> float:
    """The share of the targets' variance that is explained: 1 is perfect, 0 no better than their mean.

    An output whose targets are all equal counts 1 if it is met exactly, else 0.

    Raises: DataError for fewer than two samples.

    Example:
        >>> r2_score([1.0, 2.0, 3.0], [1.0, 2.0, 3.0])
        1.0
    """
    said, true = pair(predicted, targets, at="r2_score")
    if len(true) < 2:
        raise DataError("a variance needs two samples", at="r2_score", got=len(true), expected="at least 2")
    residual = ((said - true) ** 2).sum(axis=0)
    total = ((true - true.mean(axis=0)) ** 2).sum(axis=0)
    varies = total > 0
    each = np.where(varies, 1 - residual / np.where(varies, total, 1.0), np.where(residual == 0, 1.0, 0.0))
    return float(each.mean())


def mean_absolute_percentage_error(predicted: npt.ArrayLike, targets: npt.ArrayLike) -> float:
    """The mean of the absolute differences as shares of the targets (0.1 is 10 %).

    Raises: DataError if a target is 0, where there is no such share.
    """
    said, true = pair(predicted, targets, at="mean_absolute_percentage_error")
    if (true == 0).any():
        raise DataError(
            f"{int((true == 0).any(axis=1).sum())} targets are 0",
            at="mean_absolute_percentage_error",
            expected="targets that are not 0",
            fix="Use mean_absolute_error, or leave those rows out.",
        )
    return float((np.abs(said - true) / np.abs(true)).mean())


def pair(predicted: npt.ArrayLike, targets: npt.ArrayLike, *, at: str) -> tuple[Floats, Floats]:
    """Both as finite `(N, K)`.

    Raises: ShapeError if lengths or the number of outputs differ; DataError as `checks.finite`.
    """
    said, true = finite(predicted, at=f"{at}.predicted"), finite(targets, at=f"{at}.targets")
    said, true = (array[:, None] if array.ndim == 1 else array for array in (said, true))
    if said.ndim != 2 or true.ndim != 2:
        raise ShapeError(at=at, got=(said.shape, true.shape), expected="(N,) or (N, K) each")
    same_length(at, predicted=said, targets=true)
    if said.shape != true.shape:
        raise ShapeError(
            f"predicted has {said.shape[1]} outputs, targets {true.shape[1]}",
            at=at,
            expected="the same number",
            fix="Broadcasting one against the other would give a wrong figure without a word.",
        )
    return said, true
