"""Data frames, recognised and read without importing pandas: whoever made one has imported it already."""

import numbers
from typing import Any

import numpy as np
import numpy.typing as npt

from lepton_ai.core import DataError


def is_frame(value: Any) -> bool:
    """Whether `value` is a pandas DataFrame or Series."""
    kinds = {f"{kind.__module__.partition('.')[0]}.{kind.__name__}" for kind in type(value).__mro__}
    return bool(kinds & {"pandas.DataFrame", "pandas.Series"})


def is_numeric(series: Any) -> bool:
    """Whether a Series holds numbers or booleans, by its dtype."""
    return getattr(series.dtype, "kind", "O") in "biuf"


def frame_numbers(frame: Any, at: str) -> npt.NDArray[Any]:
    """A DataFrame (N, columns) or Series (N,) of numbers; missing ones become NaN.

    Whole numbers stay integers (int64) where every column holds them and none is missing; all else is float32.

    Raises: DataError naming the columns that hold no numbers, and the first value.
    """
    columns = [frame] if frame.ndim == 1 else [frame.iloc[:, index] for index in range(frame.shape[1])]
    wrong = [column for column in columns if not is_numeric(column)]
    if wrong:
        raise _not_numeric(wrong, at, single=frame.ndim == 1)
    whole = columns and all(column.dtype.kind in "biu" and not column.hasnans for column in columns)
    if not whole:
        return np.asarray(frame.to_numpy(dtype=np.float32, na_value=np.nan))
    boolean = all(column.dtype.kind == "b" for column in columns)
    return np.asarray(frame.to_numpy(dtype=np.bool_ if boolean else np.int64))


def first_odd(series: Any) -> tuple[int, Any]:
    """The row and value of the first entry that is not a number; row -1 if all are numbers or missing."""
    for row, value in enumerate(series.array):
        if not isinstance(value, numbers.Real) and not _missing(value):
            return row, value
    return -1, None


def _missing(value: Any) -> bool:
    return value is None or type(value).__name__ in ("NAType", "NaTType")


def _not_numeric(columns: list[Any], at: str, *, single: bool) -> DataError:
    row, value = first_odd(columns[0])
    names = ", ".join(repr(column.name) for column in columns[:5]) + (", ..." if len(columns) > 5 else "")
    what = f"column{'s' if len(columns) > 1 else ''} {names} hold{'' if len(columns) > 1 else 's'}"
    if single:
        what, fix = f"the series {columns[0].name!r} holds", "Number the classes: lepton_ai.data.encode_labels(y)."
    else:
        fix = "Encode them: lepton_ai.data.Table.from_frame(frame).features(). Or drop those columns."
    if row < 0:
        return DataError(f"{what} numbers stored as objects", at=at, fix="Convert: frame.astype('float32').")
    return DataError(f"{what} no numbers, the first {value!r} in row {row}", at=at, fix=fix)
