"""The columns of whatever has them, as numbers and as names."""

import numbers
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from lepton_ai.core import DataError, ShapeError
from lepton_ai.data import Table, as_array, check_finite

Array = npt.NDArray[Any]


def columns_of(x: Any) -> dict[str, Any]:
    """Columns by name, as they are.

    Raises: DataError for what has none, or two of one name.
    """
    if isinstance(x, Table):
        return {name: x.column(name).values for name in x.names}
    if isinstance(x, Mapping):
        return {str(name): column for name, column in x.items()}
    if not (hasattr(x, "columns") and hasattr(x, "iloc")):
        fix = "Give a data frame, a Table, or a dict of arrays; or say Vector(size=...)."
        raise DataError(at="x", got=type(x).__name__, expected="columns with names", fix=fix)
    names = [str(name) for name in x.columns]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"two columns are called {twice!r}", at="x", fix="Rename one.")
    return {name: x.iloc[:, place] for place, name in enumerate(names)}


def numbers_of(column: Any, at: str) -> Array:
    """Numbers as float32 (N, 1), NaN where one is missing.

    Raises: DataError for what is no finite number; ShapeError for more than one column.
    """
    try:
        values = np.asarray(as_array(column, at), np.float32)
    except DataError as error:
        entries = enumerate(column.tolist() if hasattr(column, "tolist") else column)
        row, text = next(((row, each) for row, each in entries if isinstance(each, str)), (-1, ""))
        if row < 0:
            raise
        fix = "If they are names, declare them: Columns(categories=...). If it means missing, make it NaN."
        raise DataError(f"the text {text!r} in row {row}", at=at, expected="a number, as specified", fix=fix) from error
    check_finite(values, at, allow_nan=True)
    return _one_column(values, at)


def category_names(column: Any, at: str) -> Array:
    """Names as strings (N, 1), "" where one is missing.

    A whole number is called by its digits, so 2 and 2.0 are one: a column of integers becomes one of floats where a
    value is missing.

    Raises: DataError for what is neither a text nor a number; ShapeError for more than one column.
    """
    values = column.to_numpy(dtype=object) if hasattr(column, "to_numpy") else np.asarray(column, dtype=object)
    texts = np.empty(values.shape, dtype=object)
    texts.reshape(-1)[:] = [_name(each, at, row) for row, each in enumerate(values.reshape(-1).tolist())]
    return _one_column(texts, at)


def _name(value: Any, at: str, row: int) -> str:
    if isinstance(value, str):
        return value
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return ""
    if isinstance(value, float):  # numpy's own too: they are Python's after tolist()
        return "" if np.isnan(value) else str(int(value)) if value.is_integer() else str(value)
    if not isinstance(value, numbers.Real):
        raise DataError(f"a {type(value).__name__} in row {row}", at=at, expected="a text or a number")
    return str(value)


def _one_column(values: Array, at: str) -> Array:
    column = values[:, None] if values.ndim == 1 else values
    if column.ndim != 2 or column.shape[1] != 1:
        raise ShapeError(at=at, got=values.shape, expected="(N,), one value for each row")
    return column
