"""Metrics of numbers. Answers and targets are `(N,)`, `(N, 1)` or `(N, K)`; K outputs count equally."""

import numpy as np
import numpy.typing as npt

from lepton_ai.core import ConfigError, DataError, ShapeError
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


def mean_squared_logarithmic_error(predicted: npt.ArrayLike, targets: npt.ArrayLike) -> float:
    """The mean of `(log(1 + answer) - log(1 + target))²`: of quantities whose ratio matters, such as prices.

    Raises: DataError if an answer or a target is negative.

    Example:
        >>> round(mean_squared_logarithmic_error([1.0, 3.0], [1.0, 7.0]), 4)
        0.2402
    """
    said, true = pair(predicted, targets, at="mean_squared_logarithmic_error")
    for name, values in (("predicted", said), ("targets", true)):
        if (values < 0).any():
            raise DataError(
                f"{int((values < 0).any(axis=1).sum())} rows are negative",
                at=f"mean_squared_logarithmic_error.{name}",
                expected="numbers from 0 on",
                fix="Use mean_squared_error, or clip the answers at 0.",
            )
    return float(((np.log1p(said) - np.log1p(true)) ** 2).mean())


def pinball_loss(predicted: npt.ArrayLike, targets: npt.ArrayLike, quantile: float = 0.5) -> float:
    """How good answers are as a quantile of the target: `quantile` times what the target exceeds, else 1 less it.

    Raises: ConfigError unless `quantile` is between 0 and 1.

    Source: Koenker & Bassett 1978, https://doi.org/10.2307/1913643.

    Example:
        >>> round(pinball_loss([2.0, 4.0], [3.0, 3.0], quantile=0.9), 4)
        0.5
    """
    if isinstance(quantile, bool) or not 0 < quantile < 1:
        raise ConfigError(at="pinball_loss.quantile", got=quantile, expected="a number in (0, 1)")
    said, true = pair(predicted, targets, at="pinball_loss")
    return float(np.maximum(quantile * (true - said), (quantile - 1) * (true - said)).mean())


def pearson_correlation(predicted: npt.ArrayLike, targets: npt.ArrayLike) -> float:
    """The linear correlation of answers and targets over the rows, from -1 to 1, averaged over outputs.

    An output that is constant in answers or targets counts 0.

    Raises: DataError for fewer than two samples.

    Example:
        >>> round(pearson_correlation([1.0, 2.0, 3.0], [10.0, 20.0, 30.0]), 4)
        1.0
    """
    covariance, a, b, _ = _moments(predicted, targets, at="pearson_correlation")
    spread = np.sqrt(a * b)
    return float(np.where(spread > 0, covariance / np.where(spread > 0, spread, 1.0), 0.0).mean())


def concordance_correlation(predicted: npt.ArrayLike, targets: npt.ArrayLike) -> float:
    """Like `pearson_correlation`, less for what answers are off in level and scale: 1 means equal.

    An output that is the same constant in both counts 1.

    Raises: DataError for fewer than two samples.

    Source: Lin 1989, https://doi.org/10.2307/2532051.

    Example:
        >>> round(concordance_correlation([1.0, 2.0, 3.0], [2.0, 3.0, 4.0]), 4)
        0.5714
    """
    covariance, a, b, shift = _moments(predicted, targets, at="concordance_correlation")
    below = a + b + shift**2
    return float(np.where(below > 0, 2 * covariance / np.where(below > 0, below, 1.0), 1.0).mean())


def _moments(predicted: npt.ArrayLike, targets: npt.ArrayLike, *, at: str) -> tuple[Floats, Floats, Floats, Floats]:
    """Of each output: covariance, both variances, difference of the means."""
    said, true = pair(predicted, targets, at=at)
    if len(true) < 2:
        raise DataError("a correlation needs two samples", at=at, got=len(true), expected="at least 2")
    left, right = said - said.mean(axis=0), true - true.mean(axis=0)
    shift: Floats = said.mean(axis=0) - true.mean(axis=0)
    return (left * right).mean(axis=0), (left**2).mean(axis=0), (right**2).mean(axis=0), shift


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
