"""Metrics of areas: maps of class numbers `(N, H, W)`, or of any shape, answered and true.

For scores `(N, H, W, C)` pass `scores.argmax(axis=-1)`; for yes/no masks, `scores > 0.5`.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lepton_ai.core import ConfigError, DataError, ShapeError
from lepton_ai.evaluation.checks import Floats, Ints


class AreaScores(NamedTuple):
    """Of each class `(C,)`: `iou` and `dice`, NaN where it occurs in neither map; `elements` of it in the targets."""

    iou: Floats
    dice: Floats
    elements: Ints


def area_scores(
    predicted: npt.ArrayLike, targets: npt.ArrayLike, classes: int | None = None, *, ignore: int | None = None
) -> AreaScores:
    """Intersection over union and Dice of every class, over all elements of all maps together.

    `classes` is their number, or as many as are seen; elements whose target is `ignore` do not count.

    Raises: ShapeError for maps of two shapes; DataError for what is no class number, naming the first place.

    Example:
        >>> area_scores([[0, 0, 1, 1]], [[0, 1, 1, 1]]).iou.round(3).tolist()
        [0.5, 0.667]
    """
    matrix = _counts("area_scores", predicted, targets, classes, ignore)
    both = np.diag(matrix).astype(np.float64)
    sizes = matrix.sum(axis=0) + matrix.sum(axis=1)
    there = sizes > 0
    iou = np.where(there, both / np.where(there, sizes - both, 1), np.nan)
    return AreaScores(iou, np.where(there, 2 * both / np.where(there, sizes, 1), np.nan), matrix.sum(axis=1))


def mean_iou(
    predicted: npt.ArrayLike, targets: npt.ArrayLike, classes: int | None = None, *, ignore: int | None = None
) -> float:
    """The mean of `area_scores(...).iou` over the classes that occur.

    Example:
        >>> round(mean_iou([[0, 0, 1, 1]], [[0, 1, 1, 1]]), 4)
        0.5833
    """
    return float(np.nanmean(area_scores(predicted, targets, classes, ignore=ignore).iou))


def dice_score(
    predicted: npt.ArrayLike, targets: npt.ArrayLike, classes: int | None = None, *, ignore: int | None = None
) -> float:
    """The mean of `area_scores(...).dice` over the classes that occur.

    Example:
        >>> round(dice_score([[0, 0, 1, 1]], [[0, 1, 1, 1]]), 4)
        0.7333
    """
    return float(np.nanmean(area_scores(predicted, targets, classes, ignore=ignore).dice))


def pixel_accuracy(predicted: npt.ArrayLike, targets: npt.ArrayLike, *, ignore: int | None = None) -> float:
    """The share of all elements whose class is right. A large background makes it look good: see `mean_iou`.

    Example:
        >>> pixel_accuracy([[0, 0, 1, 1]], [[0, 1, 1, 1]])
        0.75
    """
    matrix = _counts("pixel_accuracy", predicted, targets, None, ignore)
    return float(np.trace(matrix) / matrix.sum())


def _counts(at: str, predicted: Any, targets: Any, classes: int | None, ignore: int | None) -> Ints:
    """Counts `(C, C)`: row the true class, column the answered one."""
    said, true = _map(predicted, f"{at}.predicted"), _map(targets, f"{at}.targets")
    if said.shape != true.shape:
        raise ShapeError(
            f"predicted has shape {said.shape}, targets {true.shape}",
            at=at,
            expected="maps of one shape",
            fix="For scores of classes pass scores.argmax(axis=-1).",
        )
    if classes is not None and (isinstance(classes, bool) or not isinstance(classes, int) or classes < 1):
        raise ConfigError(at=f"{at}.classes", got=classes, expected="an int of at least 1")
    said, true = said.reshape(-1), true.reshape(-1)
    if ignore is not None:
        kept = true != ignore
        said, true = said[kept], true[kept]
    if not len(true):
        raise DataError("there are no elements that count", at=at, expected="at least one")
    count = classes if classes is not None else int(max(said.max(), true.max(), 0)) + 1
    for name, values in (("predicted", said), ("targets", true)):
        wrong = (values < 0) | (values >= count)
        if wrong.any():
            raise DataError(
                f"{int(wrong.sum())} elements are of no class, the first is {int(values[wrong][0])}",
                at=f"{at}.{name}",
                expected=f"class numbers from 0 to {count - 1}",
                fix="Say which number not to count: ignore=255." if name == "targets" else "",
            )
    return np.bincount(true * count + said, minlength=count * count).reshape(count, count).astype(np.int64)


def _map(values: Any, at: str) -> Ints:
    array = np.asarray(values)
    if array.dtype.kind not in "fiub":
        raise DataError(at=at, got=str(array.dtype), expected="numbers")
    if array.ndim == 0:
        raise ShapeError(at=at, got=array.item(), expected="a map, or several")
    if array.dtype.kind == "f" and not (np.isfinite(array).all() and (array == np.floor(array)).all()):
        wrong = array[~np.isfinite(array) | (array != np.floor(array))]
        raise DataError(at=at, got=float(wrong.flat[0]), expected="whole numbers, the classes")
    return array.astype(np.int64)
