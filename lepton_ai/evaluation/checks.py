"""Answers and targets, checked once at the door: what comes in further is finite, of one length, within the classes."""

from typing import Any

import numpy as np
import numpy.typing as npt

from lepton_ai.core import DataError, ShapeError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

SUM_TOLERANCE = 0.05  # quantised softmax misses 1 by a few hundredths


def same_length(at: str, **arrays: npt.NDArray[Any]) -> None:
    """Raises: ShapeError unless all have one length; DataError if that is 0."""
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise ShapeError(
            ", ".join(f"{name} has {length} rows" for name, length in lengths.items()),
            at=at,
            expected="one row for each sample in all of them",
        )
    if 0 in lengths.values():
        raise DataError("there are no samples", at=at, expected="at least one")


def finite(values: npt.ArrayLike, *, at: str) -> Floats:
    """Numbers as float64.

    Raises: ShapeError for a single number; DataError for text, and for NaN or infinity, naming the first row.
    """
    array = np.asarray(values)
    if array.dtype.kind not in "fiub":
        raise DataError(at=at, got=str(array.dtype), expected="numbers")
    if array.ndim == 0:
        raise ShapeError(at=at, got=array.item(), expected="an array with a row for each sample")
    numbers = array.astype(np.float64)
    bad = ~np.isfinite(numbers).all(axis=tuple(range(1, numbers.ndim)))
    if bad.any():
        raise DataError(
            f"{int(bad.sum())} of {bad.size} rows hold NaN or infinity, the first is row {int(np.argmax(bad))}",
            at=at,
            fix="A model whose answers are not finite has diverged or got bad inputs: look there first.",
        )
    return numbers


def column(values: npt.ArrayLike, *, at: str) -> Floats:
    """One finite number for each sample: `(N,)` or `(N, 1)`.

    Raises: ShapeError for another shape; DataError as `finite`.
    """
    numbers = finite(values, at=at)
    if numbers.ndim == 2 and numbers.shape[1] == 1:
        numbers = numbers[:, 0]
    if numbers.ndim != 1:
        raise ShapeError(at=at, got=numbers.shape, expected="(N,) or (N, 1)")
    return numbers


def probabilities(scores: npt.ArrayLike, *, at: str) -> Floats:
    """Probabilities `(N, C)`; `(N,)` and `(N, 1)` are the second class's of two. Rows are scaled to sum to 1.

    Raises: ShapeError for another rank; DataError unless they are probabilities.
    """
    numbers = finite(scores, at=at)
    if numbers.ndim not in (1, 2) or 0 in numbers.shape[1:]:
        raise ShapeError(
            at=at, got=numbers.shape, expected="(N, C), one probability for each class, or (N,) for two classes"
        )
    slack = 1e-3
    if numbers.size and (numbers.min() < -slack or numbers.max() > 1 + slack):
        raise DataError(
            f"scores from {numbers.min():.4g} to {numbers.max():.4g} are not probabilities",
            at=at,
            fix="If these are logits, apply softmax (or sigmoid for two classes) first.",
        )
    numbers = np.clip(numbers, 0.0, 1.0)
    if numbers.ndim == 1 or numbers.shape[1] == 1:
        second = numbers.reshape(-1)
        return np.stack([1 - second, second], axis=1)
    sums = numbers.sum(axis=1, keepdims=True)
    off = np.abs(sums - 1) > SUM_TOLERANCE
    if off.any():
        row = int(np.argmax(off))
        raise DataError(
            f"row {row} sums to {float(sums[row, 0]):.4g}",
            at=at,
            expected="probabilities that sum to 1",
            fix="Answers with several labels each have no single class: evaluate each label on its own, as (N,).",
        )
    scaled: Floats = numbers / sums
    return scaled


def class_indices(targets: npt.ArrayLike, classes: int | None, *, at: str) -> Ints:
    """Class indices `(N,)` from `(N,)`, `(N, 1)` or one-hot `(N, C)`.

    Raises: ShapeError for another shape; DataError for text, fractions, rows that are not one-hot, and indices
    outside the classes.
    """
    array = np.asarray(targets)
    if array.dtype.kind in "USO":
        raise DataError(
            f"targets are text ({array.reshape(-1)[:1].tolist()})",
            at=at,
            expected="class indices",
            fix="Write numpy.array([labels.index(target) for target in targets]).",
        )
    numbers = finite(array, at=at)
    if numbers.ndim == 2 and numbers.shape[1] > 1:
        if classes is not None and numbers.shape[1] != classes:
            raise ShapeError(at=at, got=numbers.shape, expected=f"one-hot rows of {classes} classes, or (N,) indices")
        if not (np.isin(numbers, (0.0, 1.0)).all() and (numbers.sum(axis=1) == 1).all()):
            raise DataError(
                "rows with several columns must be one-hot: a single 1 among zeros",
                at=at,
                fix="For targets that are probabilities, pass targets.argmax(axis=1).",
            )
        return np.asarray(numbers.argmax(axis=1), np.int64)
    if numbers.ndim == 2:
        numbers = numbers[:, 0]
    if numbers.ndim != 1:
        raise ShapeError(at=at, got=numbers.shape, expected="(N,) class indices or (N, C) one-hot rows")
    indices = numbers.astype(np.int64)
    if (indices != numbers).any():
        raise DataError(at=at, got=float(numbers[indices != numbers][0]), expected="whole numbers, the class indices")
    wrong = (indices < 0) | (indices >= classes) if classes is not None else indices < 0
    if wrong.any():
        row = int(np.argmax(wrong))
        among = f"from 0 to {classes - 1}, there are {classes} classes" if classes is not None else "0 or more"
        raise DataError(
            f"row {row} has class {int(indices[row])}", at=at, expected=f"class indices {among}",
            fix="Classes are counted from 0." if classes is not None and int(indices.max()) == classes else "",
        )  # fmt: skip
    return indices
