"""Whatever holds numbers becomes an array or a tensor, without a copy where that can be; what does not is named."""

import numbers
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lepton_ai.core import DataError, ShapeError
from lepton_ai.data.frame import frame_numbers, is_frame

_STRINGS = (
    "If they are numbers written as text, convert them: np.asarray(values, dtype='float32'). "
    "If they are classes, number them: lepton_ai.data.encode_labels(values)."
)
_TO_FLOAT32 = (torch.float16, torch.float64)
_DATES = "Turn them into numbers first, for example days since a date: (t - t.min()) / np.timedelta64(1, 'D')."


def as_array(value: Any, at: str) -> npt.NDArray[Any] | Tensor:
    """`value` as a numpy array or tensor of numbers or booleans, rank 1 or more.

    Raises: DataError for strings, dates, objects and sparse matrices; ShapeError for a scalar or ragged lists.

    Example:
        >>> as_array([[1, 2], [3]], "x")
        Traceback (most recent call last):
        lepton_ai.core.errors.ShapeError: x: rows of different lengths: row 0 has 2, row 1 has 1. Pad or cut them \
to one length: lepton_ai.data.pad_sequences(rows).
    """
    if isinstance(value, Tensor):
        array: npt.NDArray[Any] | Tensor = value.detach()
    elif is_frame(value):
        array = frame_numbers(value, at)
    else:
        array = _numbers(_plain(value, at), at)
    if array.ndim == 0:
        raise ShapeError(f"one single number ({value!r})", at=at, expected="an array with one row per sample")
    return array


def to_tensor(value: Any, at: str) -> Tensor:
    """`value` as a tensor: float64 and float16 become float32; bfloat16, integers, uint8 and bool keep their dtype.

    Memory is shared with `value` where its dtype stays. uint16 becomes int32, uint32 and uint64 become int64, since
    torch has few operations on those.

    Raises: as `as_array`; DataError for numbers too large for the new dtype.
    """
    array = as_array(value, at)
    if isinstance(array, Tensor):
        if array.is_complex():
            raise _complex(at)
        return _float32(array, at) if array.dtype in _TO_FLOAT32 else array
    if array.dtype.kind == "u" and array.dtype.itemsize > 1:
        if array.dtype.itemsize == 8 and array.size and array.max() > np.iinfo(np.int64).max:
            raise DataError("integers too large for int64", at=at, got=int(array.max()))
        array = array.astype(np.int32 if array.dtype.itemsize == 2 else np.int64)
    tensor = share(array)
    return _float32(tensor, at) if tensor.dtype in _TO_FLOAT32 else tensor


def to_rows(value: Any, at: str) -> Tensor | npt.NDArray[Any]:
    """As `to_tensor`, but texts pass: as an array of `object`, neither read nor checked.

    Raises: as `to_tensor`, for what is neither.
    """
    return as_objects(value) if holds_texts(value) else to_tensor(value, at)


def holds_texts(value: Any) -> bool:
    """Whether the first thing in `value` that is not missing is a text, or bytes."""
    if isinstance(value, Tensor):
        return False
    dtype = getattr(value, "dtype", None)
    if isinstance(dtype, np.dtype) and dtype.kind not in "OUST":
        return False
    rows = value.tolist() if isinstance(value, np.ndarray) and value.ndim == 0 else value
    if isinstance(rows, np.ndarray):
        rows = rows.reshape(-1)
    if isinstance(rows, list | tuple | np.ndarray) or is_frame(rows):
        there = (each for each in rows if each is not None and not isinstance(each, float))
        first = next(there, None)
        return isinstance(first, str | bytes) or (isinstance(first, list | np.ndarray) and holds_texts(first))
    return False


def as_objects(value: Any) -> npt.NDArray[np.object_]:
    """Rows of texts as an array of `object`, without the room that numpy's own strings take."""
    if isinstance(value, list | tuple) and not isinstance(value[0], list | tuple | np.ndarray):
        array = np.empty(len(value), dtype=object)
        array[:] = value
        return array
    return np.asarray(value.to_numpy(dtype=object) if is_frame(value) else value, dtype=object)


def share(array: npt.NDArray[Any]) -> Tensor:
    """A tensor over the memory of `array`; a copy only for strides or dtypes that torch has not."""
    if array.dtype.kind == "f" and array.dtype.itemsize > 8:
        array = array.astype(np.float64)
    if not array.dtype.isnative or any(stride < 0 for stride in array.strides):
        array = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))
    with warnings.catch_warnings():
        # torch warns that writing to a read-only array is undefined; sources are never written to.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)


def _float32(tensor: Tensor, at: str) -> Tensor:
    smaller = tensor.to(torch.float32)
    # A finite sum proves that all is finite, without a second array.
    if not bool(torch.isfinite(smaller.sum())):
        lost = torch.isinf(smaller) & torch.isfinite(tensor)
        if bool(lost.any()):
            first = float(tensor[lost][0])
            raise DataError(f"numbers too large for float32, such as {first:g}", at=at, fix="Scale them down.")
    return smaller


def _plain(value: Any, at: str) -> npt.NDArray[Any]:
    """`value` as a numpy array of any dtype."""
    if isinstance(value, np.ma.MaskedArray):
        hidden = np.ma.getmaskarray(value)
        return np.where(hidden, np.nan, value.data) if hidden.any() else np.asarray(value.data)
    if isinstance(value, np.ndarray):
        return value
    if hasattr(value, "toarray"):
        raise DataError(f"a sparse matrix ({type(value).__name__})", at=at, fix="Make it dense: x.toarray().")
    if isinstance(value, set | frozenset):
        raise DataError("a set has no order", at=at, fix="Give a list or an array.")
    try:
        return np.asarray(value)
    except (ValueError, TypeError, RuntimeError) as error:
        raise _ragged(value, at) from error


def _numbers(array: npt.NDArray[Any], at: str) -> npt.NDArray[Any]:
    kind = array.dtype.kind
    if kind in "biuf":
        return array
    if kind == "c":
        raise _complex(at)
    if kind in "Mm":
        raise DataError(f"dates or durations ({array.dtype}) where numbers belong", at=at, fix=_DATES)
    if kind == "O":
        return _from_objects(array, at)
    if kind not in "US":
        raise DataError(f"values of dtype {array.dtype} where numbers belong", at=at)
    first = array.reshape(-1)[0] if array.size else ""
    raise DataError(
        f"strings where numbers belong, the first {str(first)!r} at {_place(array, 0)}", at=at, fix=_STRINGS
    )


def _from_objects(array: npt.NDArray[Any], at: str) -> npt.NDArray[Any]:
    """Python numbers; None is a missing one."""
    for index, item in enumerate(array.reshape(-1)):
        if item is None or isinstance(item, numbers.Real | np.bool_):
            continue
        if isinstance(item, list | tuple | np.ndarray):
            raise _ragged(list(array), at)
        what = "strings" if isinstance(item, str) else f"{type(item).__name__} objects"
        raise DataError(
            f"{what} where numbers belong, the first {item!r} at {_place(array, index)}", at=at, fix=_STRINGS
        )
    return array.astype(np.float64)


def _place(array: npt.NDArray[Any], flat: int) -> str:
    if array.size == 0:
        return "no row"
    index = [int(i) for i in np.unravel_index(flat, array.shape)] if array.ndim else [0]
    return f"row {index[0]}" + (
        f", column {index[1]}" if len(index) == 2 else f", {tuple(index[1:])}" * (len(index) > 2)
    )


def _ragged(value: Any, at: str) -> ShapeError:
    lengths = [len(row) if hasattr(row, "__len__") else 0 for row in value] if hasattr(value, "__iter__") else []
    other = next((index for index, length in enumerate(lengths) if length != lengths[0]), None)
    fix = "Pad or cut them to one length: lepton_ai.data.pad_sequences(rows)."
    if other is None:
        return ShapeError("rows of different shapes", at=at, fix=fix)
    first, second = f"row 0 has {lengths[0]}", f"row {other} has {lengths[other]}"
    return ShapeError(f"rows of different lengths: {first}, {second}", at=at, fix=fix)


def _complex(at: str) -> DataError:
    return DataError("complex numbers", at=at, fix="Give real and imaginary parts as columns of their own.")
