"""Tensors as bytes: the protocol's dtypes in numpy's terms, raw little-endian data, and BYTES elements."""

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from lepton_ai.core import DataError, ShapeError, unknown_name

Array = npt.NDArray[Any]

MAX_RANK = 8
_MAX_ELEMENTS = 2**40

_NUMPY: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype("?"),
    "UINT8": np.dtype("<u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype("<i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
    "BYTES": np.dtype("O"),
    # numpy has no bfloat16: its bits travel as they are, in a type that nothing computes with by mistake.
    "BF16": np.dtype([("bf16", "<u2")]),
}
_NAMES = {dtype: name for name, dtype in _NUMPY.items()}

DTYPES = tuple(_NUMPY)


def numpy_dtype(name: str) -> np.dtype[Any]:
    """The numpy dtype of a protocol dtype. BYTES is `object`, whose elements are `bytes` or `str`; BF16, which numpy
    does not have, is a record of its 16 bits (`array["bf16"]` are they).

    Raises: UnknownNameError for a name outside the protocol.

    Example:
        >>> numpy_dtype("FP32")
        dtype('float32')
    """
    found = _NUMPY.get(name)
    if found is not None:
        return found
    raise unknown_name("dtype", name, list(DTYPES))


def dtype_of(array: Array) -> str:
    """The protocol dtype of an array; strings of any numpy kind are BYTES, `ml_dtypes.bfloat16` is BF16.

    Raises: ShapeError for a dtype that the protocol does not have.

    Example:
        >>> dtype_of(np.zeros(3, "int64")), dtype_of(np.array(["a"]))
        ('INT64', 'BYTES')
    """
    name = _NAMES.get(array.dtype) or _NAMES.get(array.dtype.newbyteorder("<"))
    if name is not None:
        return name
    if array.dtype.kind in "SU":
        return "BYTES"
    if array.dtype.name == "bfloat16":
        return "BF16"
    raise ShapeError(
        f"an array of {array.dtype} has no counterpart in the protocol", expected=f"one of {', '.join(_NUMPY)}"
    )


def element_count(shape: Sequence[int], *, at: str = "shape") -> int:
    """The number of elements of a shape whose sizes are all known.

    Raises: ShapeError for a negative size, more than 8 dimensions, or a product no memory could hold.
    """
    if len(shape) > MAX_RANK:
        raise ShapeError(at=at, got=f"{len(shape)} dimensions", expected=f"at most {MAX_RANK}")
    count = bound = 1
    for size in shape:
        if size < 0:
            raise ShapeError(at=at, got=list(shape), expected="sizes of 0 or more; free sizes must be filled in")
        count *= size
        bound *= size or 1
    if bound > _MAX_ELEMENTS:
        raise ShapeError(at=at, got=list(shape), expected=f"at most {_MAX_ELEMENTS} elements")
    return count


def encode_tensor(array: Array) -> bytes:
    """An array as the protocol's raw data: row-major, little-endian, BOOL one byte, BYTES length-prefixed.

    Raises: ShapeError, DataError for what the protocol cannot carry.
    """
    name = dtype_of(array)
    if name == "BYTES":
        return _encode_bytes(array)
    if name == "BF16":
        return np.ascontiguousarray(array).tobytes()
    return np.ascontiguousarray(array, dtype=_NUMPY[name]).tobytes()


def decode_tensor(raw: bytes | memoryview, dtype: str, shape: Sequence[int], *, at: str = "tensor") -> Array:
    """The array in `raw`; read-only and without a copy where the data allows it. BYTES elements come as `bytes`.

    Raises: ShapeError if the length of `raw` is not exactly what dtype and shape need; DataError for broken content.

    Example:
        >>> decode_tensor(b"\\x01\\x00\\x02\\x00", "INT16", [2])
        array([1, 2], dtype=int16)
    """
    numpy = numpy_dtype(dtype)
    count = element_count(shape, at=at)
    if dtype == "BYTES":
        return _decode_bytes(raw, count, at).reshape(shape)
    if len(raw) != count * numpy.itemsize:
        raise ShapeError(
            at=at,
            got=f"{len(raw)} bytes",
            expected=f"{count * numpy.itemsize} bytes ({dtype} of shape {list(shape)})",
        )
    if dtype == "BOOL" and count and np.frombuffer(raw, np.uint8).max() > 1:
        raise DataError(at=at, expected="every byte of a BOOL tensor to be 0 or 1")
    return np.frombuffer(raw, numpy).reshape(shape)


def _encode_bytes(array: Array) -> bytes:
    parts: list[bytes] = []
    for element in array.ravel().tolist():
        content = element.encode() if isinstance(element, str) else element
        if not isinstance(content, bytes):
            raise DataError(at="BYTES tensor", got=element, expected="elements of type str or bytes")
        parts += (struct.pack("<I", len(content)), content)
    return b"".join(parts)


def _decode_bytes(raw: bytes | memoryview, count: int, at: str) -> Array:
    view, position = memoryview(raw), 0
    if count * 4 > len(view):
        raise ShapeError(at=at, got=f"{len(view)} bytes", expected=f"at least {count * 4} for {count} BYTES elements")
    elements = np.empty(count, dtype=object)
    for index in range(count):
        if position + 4 > len(view):
            raise DataError(f"BYTES element {index} lies beyond the end of the data", at=at)
        (length,) = struct.unpack_from("<I", view, position)
        position += 4
        if position + length > len(view):
            raise DataError(
                f"BYTES element {index} claims {length} bytes, {len(view) - position} are left",
                at=at,
                fix="Write each element as its length (4 bytes, little-endian) and its bytes.",
            )
        elements[index] = bytes(view[position : position + length])
        position += length
    if position != len(view):
        raise ShapeError(f"{len(view) - position} bytes are left over after {count} BYTES elements", at=at)
    return elements
