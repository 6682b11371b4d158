"""Metrics of rankings: how far up the right items stand.

Scores are `(N, C)`, one row for each query and one column for each item, higher for better. Relevance has that shape
too: 0 for items that are not wanted, 1 for those that are, or a degree. Of equal scores the lower column stands first.
A query for which nothing is relevant counts 0 and is counted; leave such rows out where they say nothing.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from lepton_ai.core import ConfigError, DataError, ShapeError
from lepton_ai.evaluation.checks import Floats, finite, same_length


def ndcg(scores: npt.ArrayLike, relevance: npt.ArrayLike, k: int | None = None) -> float:
    """Normalised discounted cumulative gain: relevance over log2(place + 1), added up, over the best order's sum.

    `k` looks at the first k places only. Degrees count as they are (linear gain, as in scikit-learn).

    Source: Järvelin & Kekäläinen 2002, https://doi.org/10.1145/582415.582418.

    Raises: ShapeError, DataError unless both are (N, C), finite, and relevance is not negative; ConfigError for `k`.

    Example:
        >>> round(ndcg([[0.9, 0.1, 0.5]], [[1, 3, 0]]), 4)
        0.6885
    """
    ordered, relevant = _ordered("ndcg", scores, relevance, k)
    ideal = -np.sort(-relevant, axis=1)[:, : ordered.shape[1]]
    discount = 1 / np.log2(np.arange(ordered.shape[1]) + 2)
    return float(_share(ordered @ discount, ideal @ discount).mean())


def mean_reciprocal_rank(scores: npt.ArrayLike, relevance: npt.ArrayLike, k: int | None = None) -> float:
    """The mean over queries of 1 over the place of the first relevant item; 0 if none is among the first `k`.

    Example:
        >>> mean_reciprocal_rank([[0.9, 0.1, 0.5], [0.2, 0.1, 0.0]], [[0, 0, 1], [1, 0, 0]])
        0.75
    """
    ordered, _ = _ordered("mean_reciprocal_rank", scores, relevance, k)
    hit = ordered > 0
    return float(np.where(hit.any(axis=1), 1 / (hit.argmax(axis=1) + 1), 0.0).mean())


def mean_average_precision(scores: npt.ArrayLike, relevance: npt.ArrayLike, k: int | None = None) -> float:
    """The mean over queries of average precision: of the precision at each relevant item's place, averaged.

    With `k`, places behind it count nothing and the average is over as many relevant items as could stand before it.

    Example:
        >>> round(mean_average_precision([[0.9, 0.1, 0.5]], [[1, 1, 0]]), 4)
        0.8333
    """
    ordered, relevant = _ordered("mean_average_precision", scores, relevance, k)
    hit = ordered > 0
    precision = hit.cumsum(axis=1) / np.arange(1, hit.shape[1] + 1)
    could = np.minimum((relevant > 0).sum(axis=1), hit.shape[1])
    return float(_share((precision * hit).sum(axis=1), could).mean())


def hit_rate(scores: npt.ArrayLike, relevance: npt.ArrayLike, k: int) -> float:
    """The share of queries that have a relevant item among the first `k`.

    Example:
        >>> hit_rate([[0.9, 0.1, 0.5], [0.2, 0.1, 0.0]], [[0, 0, 1], [1, 0, 0]], k=1)
        0.5
    """
    ordered, _ = _ordered("hit_rate", scores, relevance, k)
    return float((ordered > 0).any(axis=1).mean())


def precision_at_k(scores: npt.ArrayLike, relevance: npt.ArrayLike, k: int) -> float:
    """The share of the first `k` items that are relevant, averaged over queries.

    Example:
        >>> precision_at_k([[0.9, 0.1, 0.5]], [[1, 1, 0]], k=2)
        0.5
    """
    ordered, _ = _ordered("precision_at_k", scores, relevance, k)
    return float((ordered > 0).mean(axis=1).mean())


def recall_at_k(scores: npt.ArrayLike, relevance: npt.ArrayLike, k: int) -> float:
    """The share of the relevant items that are among the first `k`, averaged over queries.

    Example:
        >>> recall_at_k([[0.9, 0.1, 0.5]], [[1, 1, 1]], k=2)
        0.6666666666666666
    """
    ordered, relevant = _ordered("recall_at_k", scores, relevance, k)
    return float(_share((ordered > 0).sum(axis=1), (relevant > 0).sum(axis=1)).mean())


def _ordered(at: str, scores: npt.ArrayLike, relevance: npt.ArrayLike, k: int | None) -> tuple[Floats, Floats]:
    """The relevance of the first k items by score, `(N, k)`, and of all, `(N, C)`."""
    numbers, relevant = finite(scores, at=f"{at}.scores"), finite(relevance, at=f"{at}.relevance")
    same_length(at, scores=numbers, relevance=relevant)
    if numbers.ndim != 2 or numbers.shape != relevant.shape or not numbers.shape[1]:
        raise ShapeError(
            f"scores have shape {numbers.shape}, relevance {relevant.shape}",
            at=at,
            expected="(N, C) each, a column for each item",
            fix="For one right item per row write numpy.eye(C)[items].",
        )
    if (relevant < 0).any():
        row = int(np.argmax((relevant < 0).any(axis=1)))
        raise DataError(f"row {row} has the relevance {relevant[row].min():g}", at=at, expected="0 or more")
    if k is not None and (isinstance(k, bool) or not isinstance(k, int | np.integer) or not 1 <= k <= numbers.shape[1]):
        raise ConfigError(at=f"{at}.k", got=k, expected=f"from 1 to {numbers.shape[1]}, the number of items")
    order = np.argsort(-numbers, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(relevant, order, axis=1), relevant


def _share(above: npt.NDArray[Any], below: npt.NDArray[Any]) -> Floats:
    result: Floats = np.divide(above, below, out=np.zeros(len(above)), where=below > 0)
    return result
