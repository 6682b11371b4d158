"""Folds: every row is held out once, or, in time, every row after the first part."""

from typing import Any, TypeAlias

import numpy as np

from lepton_ai.core import ConfigError
from lepton_ai.data.split import Indices, split_indices

Fold: TypeAlias = tuple[Indices, Indices]
"""The rows to train on and the rows held out."""


def fold_indices(
    rows: int, folds: int = 5, *, seed: int = 0, stratify: Any = None, groups: Any = None, time: Any = None
) -> tuple[Fold, ...]:
    """`folds` pairs of int64 indices: rows to train on, rows held out.

    At most one of: `stratify` (N,), classes that each part gets in equal proportion; `groups` (N,), each of which is
    held out as a whole; `time` (N,), where a fold trains on all rows before those that it holds out, so that the first
    of `folds + 1` parts is never held out. The same arguments give the same folds.

    Raises: ConfigError for fewer than two folds; DataError as `split_indices`.

    Example:
        >>> [held_out.tolist() for _, held_out in fold_indices(8, 3, time=[7, 6, 5, 4, 3, 2, 1, 0])]
        [[5, 4], [3, 2], [1, 0]]
    """
    if isinstance(folds, bool) or not isinstance(folds, int) or folds < 2:
        raise ConfigError(at="fold_indices.folds", got=folds, expected="a whole number, 2 or more")
    count = folds if time is None else folds + 1
    parts = split_indices(rows, fractions=[1 / count] * count, seed=seed, stratify=stratify, groups=groups, time=time)
    first = 0 if time is None else 1
    return tuple((_others(parts, held_out, time is not None), parts[held_out]) for held_out in range(first, count))


def _others(parts: tuple[Indices, ...], held_out: int, earlier: bool) -> Indices:
    return np.concatenate([part for at, part in enumerate(parts) if (at < held_out if earlier else at != held_out)])
