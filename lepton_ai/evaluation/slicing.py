"""Accuracy by parts of the data: where a model is weak."""

from collections.abc import Hashable
from itertools import pairwise

import msgspec
import numpy as np
import numpy.typing as npt

from lepton_ai.core import ConfigError, ShapeError
from lepton_ai.evaluation.checks import class_indices, same_length
from lepton_ai.evaluation.intervals import Interval, wilson_interval
from lepton_ai.web import significant


class Slice(msgspec.Struct, frozen=True, kw_only=True):
    """The samples with one value, or with values in one range: how many, and the share that was right."""

    name: str
    count: int
    accuracy: float
    interval: Interval


def slices(values: npt.ArrayLike, correct: npt.ArrayLike, *, bins: int = 4) -> tuple[Slice, ...]:
    """Accuracy for each value of a feature `(N,)`, the weakest first; `correct` `(N,)` says which answers were right.

    Numbers with more than `2 * bins` different values are cut into `bins` ranges of about equal count. Missing
    values (NaN, None) are a slice of their own.

    Raises: ShapeError if the lengths differ.

    Example:
        >>> [(part.name, part.accuracy) for part in slices(["day", "night", "day", "night"], [1, 0, 1, 1])]
        [('night', 0.5), ('day', 1.0)]
    """
    if bins < 1:
        raise ConfigError(at="slices.bins", got=bins, expected="a positive int", fix="Write bins=4.")
    array = np.asarray(values)
    right = class_indices(correct, 2, at="slices.correct")
    if array.ndim != 1:
        raise ShapeError(at="slices.values", got=array.shape, expected="(N,), one value for each sample")
    same_length("slices", values=array, correct=right)
    names = _ranges(array, bins) if _many_numbers(array, bins) else [_name(value) for value in array.tolist()]
    order = list(dict.fromkeys(names))
    made = []
    for name in order:
        mine = right[np.array([each == name for each in names])]
        hits = int(mine.sum())
        made.append(
            Slice(name=name, count=len(mine), accuracy=hits / len(mine), interval=wilson_interval(hits, len(mine)))
        )
    return tuple(sorted(made, key=lambda part: part.accuracy))


def _many_numbers(array: npt.NDArray[np.generic], bins: int) -> bool:
    return array.dtype.kind in "fiu" and len(np.unique(array)) > 2 * bins


def _name(value: Hashable) -> str:
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return "missing"
    return significant(value, 4) if isinstance(value, float) else str(value)


def _ranges(array: npt.NDArray[np.generic], bins: int) -> list[str]:
    numbers = array.astype(np.float64)
    known = ~np.isnan(numbers)
    edges = np.unique(np.quantile(numbers[known], np.linspace(0, 1, bins + 1)))
    place = np.searchsorted(edges[1:-1], numbers, side="right")
    texts = [f"{significant(a, 4)} to {significant(b, 4)}" for a, b in pairwise(edges)]
    return [texts[index] if there else "missing" for index, there in zip(place, known, strict=True)]
