"""What every data set gives, and how a table in a package becomes it."""

from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from lepton_ai.core import DataError
from lepton_ai.data import split
from lepton_ai.datasets.packaged import find_file, read_numbers

Pair: TypeAlias = tuple[npt.NDArray[Any], npt.NDArray[Any]]
Parts: TypeAlias = tuple[Pair, Pair]
"""`(x_train, y_train), (x_test, y_test)`."""


def sklearn_file(name: str) -> Path:
    """A data file of scikit-learn."""
    return find_file("sklearn", f"datasets/data/{name}", purpose=name.partition(".")[0])


def classes(file: str, shape: tuple[int, int], *, test: float, seed: int, header: bool = True) -> Parts:
    """Features float32 (N, F) and classes int64 (N,) from a file whose last column is the class; split by class.

    Raises: DataError unless the file holds `shape` numbers.
    """
    path = sklearn_file(file)
    numbers = read_numbers(path, header=header)
    if numbers.shape != shape:
        raise DataError(at=str(path), got=numbers.shape, expected=f"numbers of shape {shape}")
    x, y = numbers[:, :-1].astype(np.float32), numbers[:, -1].astype(np.int64)
    train, held_out = split(x, y, test=test, seed=seed, stratify=y)
    return train, held_out
