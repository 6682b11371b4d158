"""Tensor data in JSON: the `data` of the protocol's tensors, parsed straight from its text, and printed."""

import types
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
import numpy as np

from lepton_ai.bundle.codec import MAX_RANK, Array, dtype_of, element_count, numpy_dtype
from lepton_ai.core import DataError, RequestError, ShapeError

_FP32_END = 2.0**128 - 2.0**103  # from here on a number would be rounded to infinity


def _decoders(kind: Any) -> list[msgspec.json.Decoder[Any]]:
    """One decoder for each depth of nesting."""
    decoders: list[msgspec.json.Decoder[Any]] = []
    for _ in range(MAX_RANK):
        kind = types.GenericAlias(list, (kind,))
        decoders.append(msgspec.json.Decoder(kind))
    return decoders


FP32 = Annotated[float, msgspec.Meta(gt=-_FP32_END, lt=_FP32_END)]
_INTS = _decoders(int)
_DECODERS = {
    "FP32": _decoders(FP32),
    "FP64": _decoders(float),
    "BOOL": _decoders(bool),
    "BYTES": _decoders(str),
    **{f"{sign}INT{bits}": _INTS for sign in ("", "U") for bits in (8, 16, 32, 64)},
}
_WITH_GAPS = {"FP32": _decoders(FP32 | None), "FP64": _decoders(float | None)}


def _depth(text: bytes | memoryview) -> int:
    depth = 0
    for byte in text[:64]:
        if byte == 0x5B:  # [
            depth += 1
        elif byte not in b" \t\r\n":
            break
    return depth


def parse_data(text: bytes | memoryview, dtype: str, shape: Sequence[int], *, at: str = "data") -> Array:
    """The array in a JSON list, flat or nested like `shape`, in row-major order. BYTES elements come as `str`.

    `null` is a gap in FP32 and FP64 data and comes as NaN. FP16 and BF16 are refused, as the protocol says.

    Raises: RequestError for broken JSON, wrong types and numbers beyond FP32; ShapeError for a count or nesting that
    does not fit; DataError for a whole number out of the dtype's range.

    Example:
        >>> parse_data(b"[[1, 2], [3, null]]", "FP32", [2, 2])
        array([[ 1.,  2.],
               [ 3., nan]], dtype=float32)
    """
    if dtype in ("FP16", "BF16"):
        raise RequestError(
            f"{dtype} data cannot travel as JSON", at=at, fix="Send it with the binary tensor extension."
        )
    numpy = numpy_dtype(dtype)
    count = element_count(shape, at=at)
    depth = _depth(text)
    if depth not in (1, len(shape)):
        raise ShapeError(
            at=at, got=f"a list nested {depth} deep", expected=f"a flat list, or one nested like shape {list(shape)}"
        )
    values = _parse(text, dtype, depth, at)
    try:
        array = np.array(values, dtype=numpy)
    except OverflowError as error:
        raise DataError(f"a number does not fit {dtype}", at=at) from error
    except ValueError as error:
        raise ShapeError("the nested lists have different lengths", at=at, expected=f"shape {list(shape)}") from error
    if depth > 1 and array.shape != tuple(shape):
        raise ShapeError(at=at, got=f"nested lists of shape {list(array.shape)}", expected=f"shape {list(shape)}")
    if array.size != count:
        raise ShapeError(at=at, got=f"{array.size} elements", expected=f"{count} for shape {list(shape)}")
    return array.reshape(shape)


def _parse(text: bytes | memoryview, dtype: str, depth: int, at: str) -> Any:
    try:
        return _DECODERS[dtype][depth - 1].decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass
    try:
        return (_WITH_GAPS.get(dtype) or _DECODERS[dtype])[depth - 1].decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        hint = "JSON has no NaN: write null, or send the tensor in binary." if b"NaN" in bytes(text) else ""
        raise RequestError(str(error), at=at, fix=hint) from error


def json_data(array: Array, *, at: str = "data") -> Any:
    """The flat list of an array's elements in a form that orjson prints (with OPT_SERIALIZE_NUMPY). What is not finite
    it prints as null: see `check_finite`.

    Raises: RequestError for what JSON cannot carry: FP16, BF16, BYTES that are not UTF-8.
    """
    dtype = dtype_of(array)
    if dtype == "BYTES":
        try:
            return [x if isinstance(x, str) else x.decode() for x in array.ravel().tolist()]
        except UnicodeDecodeError as error:
            raise RequestError("BYTES that are not UTF-8 cannot travel as JSON", at=at, fix=_ASK) from error
    if dtype in ("FP16", "BF16"):
        raise RequestError(f"{dtype} data cannot travel as JSON", at=at, fix=_ASK)
    return np.ascontiguousarray(array).ravel()


def check_finite(array: Array, *, at: str = "data") -> None:
    """Raises: RequestError if a number is NaN or infinite, which JSON cannot carry."""
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise RequestError("the answer holds NaN or infinity, which JSON cannot carry", at=at, fix=_ASK)


_ASK = 'Ask for binary data: "parameters": {"binary_data_output": true}.'
