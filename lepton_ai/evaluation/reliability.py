"""Whether a model that says 90 % is right nine times in ten."""

import msgspec
import numpy as np
import numpy.typing as npt

from lepton_ai.core import ConfigError, DataError
from lepton_ai.evaluation.checks import class_indices, column, probabilities, same_length
from lepton_ai.evaluation.intervals import wilson_interval


class CalibrationBin(msgspec.Struct, frozen=True, kw_only=True):
    """Answers whose probability fell into one bin: their mean `confidence`, the share `observed` to be so, and the
    Wilson interval of that share. An empty bin has its middle as confidence, and the interval from 0 to 1."""

    count: int
    confidence: float
    observed: float
    low: float
    high: float


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """`bins` between `edges` (one more); `error` is the expected calibration error, `largest` that of the worst bin.

    `meaning` says what was compared: "top" the probability of the answer given, "positive" that of class 1.
    """

    edges: tuple[float, ...]
    bins: tuple[CalibrationBin, ...]
    error: float
    largest: float
    meaning: str = "top"


def calibration(
    confidence: npt.ArrayLike, happened: npt.ArrayLike, *, bins: int = 10, meaning: str = "top"
) -> Calibration:
    """Compare stated probabilities `(N,)` with what happened `(N,)` (0 or 1) in bins of equal width.

    A probability on a border belongs to the lower bin.

    Raises: DataError unless the first are probabilities.

    Example:
        >>> round(calibration([0.9, 0.9, 0.9, 0.9], [1, 1, 1, 0]).error, 4)
        0.15

    Source: Naeini, Cooper, Hauskrecht (2015), Obtaining well calibrated probabilities using Bayesian binning.
    """
    at = "calibration"
    if bins < 1:
        raise ConfigError(at=f"{at}.bins", got=bins, expected="a positive int", fix="Write bins=10.")
    stated, truth = column(confidence, at=f"{at}.confidence"), class_indices(happened, 2, at=f"{at}.happened")
    same_length(at, confidence=stated, happened=truth)
    if stated.min() < 0 or stated.max() > 1:
        raise DataError(at=f"{at}.confidence", got=f"{stated.min():.4g} to {stated.max():.4g}", expected="0 to 1")
    edges = np.linspace(0.0, 1.0, bins + 1)
    place = np.searchsorted(edges[1:-1], stated)
    counts = np.bincount(place, minlength=bins)
    sums, hits = np.bincount(place, stated, bins), np.bincount(place, truth, bins)
    made = tuple(_bin(int(n), float(s), int(h), (a + b) / 2) for n, s, h, a, b in zip(
        counts, sums, hits, edges, edges[1:], strict=False
    ))  # fmt: skip
    gaps = [abs(one.confidence - one.observed) if one.count else 0.0 for one in made]
    return Calibration(
        edges=tuple(float(edge) for edge in edges),
        bins=made,
        error=float(np.dot(gaps, counts) / len(stated)),
        largest=max(gaps),
        meaning=meaning,
    )


def _bin(count: int, confidence: float, hits: int, middle: float) -> CalibrationBin:
    if not count:
        return CalibrationBin(count=0, confidence=float(middle), observed=0.0, low=0.0, high=1.0)
    interval = wilson_interval(hits, count)
    return CalibrationBin(
        count=count, confidence=confidence / count, observed=hits / count, low=interval.low, high=interval.high
    )


def brier_score(scores: npt.ArrayLike, targets: npt.ArrayLike) -> float:
    """The mean squared distance of probabilities from what happened: over class 1 for two classes (0 to 1), summed over
    the classes for more (0 to 2).

    Example:
        >>> round(brier_score([0.9, 0.2], [1, 0]), 4)
        0.025
    """
    chances = probabilities(scores, at="scores")
    true = class_indices(targets, chances.shape[1], at="targets")
    same_length("brier_score", scores=chances, targets=true)
    wanted = np.eye(chances.shape[1])[true]
    scale = 0.5 if chances.shape[1] == 2 else 1.0
    return float(((chances - wanted) ** 2).sum(axis=1).mean() * scale)
