"""Infer requests and answers of the Open Inference Protocol v2, written: the other half of `protocol`.

An answer is nearly the same as the one before it. So what repeats, the names and the shapes, is printed once and kept;
only the numbers are printed anew.
"""

import functools
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import orjson

from lepton_ai.bundle.codec import Array, dtype_of, encode_tensor
from lepton_ai.bundle.jsondata import check_finite, json_data

_KEPT = 1024  # printed beginnings
_NUMPY = orjson.OPT_SERIALIZE_NUMPY
_PRINTED = frozenset(("FP32", "FP64", "INT32", "INT64", "BOOL"))  # by orjson, as they are


class Body(NamedTuple):
    """A body and the length of its JSON part; None if it is JSON altogether."""

    content: bytes
    header_length: int | None


def render_request(
    inputs: Mapping[str, Array],
    *,
    binary: bool = False,
    id: str = "",
    outputs: Iterable[str] = (),
    top: int = 0,
    parameters: Mapping[str, bool | int | float | str] | None = None,
) -> Body:
    """Write an infer request that asks for `outputs`, or else for all, in binary too if `binary`.

    `top` asks of each of `outputs` only for so many best classes.

    Raises: RequestError for what JSON cannot carry.

    Example:
        >>> import numpy as np
        >>> render_request({"x": np.array([1, 2])}).content
        b'{"inputs":[{"name":"x","datatype":"INT64","shape":[2],"data":[1,2]}]}'
    """
    message: dict[str, Any] = {"id": id} if id else {}
    flags: dict[str, Any] = {"binary_data_output": True} if binary else {}
    if flags or parameters:
        message["parameters"] = {**flags, **(parameters or {})}
    classes = {"parameters": {"classification": top}} if top else {}
    wanted = [{"name": name, **classes} for name in outputs]
    if wanted:
        message["outputs"] = wanted
    opening = orjson.dumps(message)[:-1]
    flags = dict.fromkeys(inputs, binary)
    return _render(opening + b',"inputs":[' if message else opening + b'"inputs":[', inputs, flags, "input")


def render_response(
    model_name: str,
    outputs: Mapping[str, Array],
    *,
    model_version: str = "",
    id: str = "",
    binary: Mapping[str, bool] | bool = False,
) -> Body:
    """Write an answer; `binary` says which outputs go as raw data.

    Raises: RequestError for what JSON cannot carry (FP16, NaN, infinity, text that is not UTF-8).
    """
    opening = _opening(model_name, model_version)
    opening += b'"id":%b,"outputs":[' % orjson.dumps(id) if id else b'"outputs":['
    return _render(opening, outputs, binary, "output")


@functools.lru_cache(_KEPT)
def _opening(model_name: str, model_version: str) -> bytes:
    message = {"model_name": model_name}
    if model_version:
        message["model_version"] = model_version
    return orjson.dumps(message)[:-1] + b","


@functools.lru_cache(_KEPT)
def _heading(name: str, datatype: str, shape: tuple[int, ...]) -> bytes:
    return orjson.dumps({"name": name, "datatype": datatype, "shape": shape})[:-1]


def _render(opening: bytes, tensors: Mapping[str, Array], binary: Mapping[str, bool] | bool, kind: str) -> Body:
    parts, blobs = [opening], []
    between = b""
    for name, array in tensors.items():
        datatype = dtype_of(array)
        parts += (between, _heading(name, datatype, array.shape))
        between = b","
        if binary and (binary is True or binary[name]):
            blobs.append(encode_tensor(array))
            parts.append(b',"parameters":{"binary_data_size":%d}}' % len(blobs[-1]))
            continue
        data = array.ravel() if datatype in _PRINTED else json_data(array, at=f"{kind} {name!r}")
        text = orjson.dumps(data, option=_NUMPY)
        if b"null" in text:  # as orjson prints what is not finite; and texts may hold it
            check_finite(array, at=f"{kind} {name!r}")
        parts += (b',"data":', text, b"}")
    parts.append(b"]}")
    if not blobs:
        return Body(b"".join(parts), None)
    text = b"".join(parts)
    return Body(b"".join((text, *blobs)), len(text))
