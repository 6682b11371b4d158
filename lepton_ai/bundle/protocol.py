"""Bodies of the Open Inference Protocol v2, read: infer requests and answers, in JSON and with the binary tensor
extension. `rendering` writes them.

Pure functions over bytes: the server answers with them, golden pairs are stored in them. A body with binary tensors
is JSON followed by raw data, and `header_length` says where the JSON ends (None: all of it is JSON).
"""

import functools
import json
import re
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np

from lepton_ai.bundle.codec import Array, decode_tensor, element_count, numpy_dtype
from lepton_ai.bundle.jsondata import parse_data
from lepton_ai.bundle.manifest import Signature
from lepton_ai.bundle.plain import has_known_keys, read_plain
from lepton_ai.core import RequestError

LENGTH_HEADER = "Inference-Header-Content-Length"
MAX_DEPTH = 100
MAX_NUMBERS = 2**20
_MAX_ID = 256
MAX_PRIORITY = 10
_MAX_TIMEOUT = 2**40  # microseconds: twelve days
_MAX_CLASSES = 10_000
_KEPT, _LONGEST_KEPT = 256, 2**12  # JSON parts that are remembered, and bytes of one
_SHARED_MEMORY = ("shared_memory_region", "shared_memory_byte_size", "shared_memory_offset")

Parameters = dict[str, bool | int | float | str]


class _Tensor(msgspec.Struct):
    name: str
    datatype: str
    shape: tuple[int, ...]
    parameters: Parameters = {}
    data: msgspec.Raw = msgspec.Raw()


class _Wanted(msgspec.Struct):
    name: str
    parameters: Parameters = {}


class _Request(msgspec.Struct):
    inputs: tuple[_Tensor, ...]
    id: str = ""
    parameters: Parameters = {}
    outputs: tuple[_Wanted, ...] = ()


class _Response(msgspec.Struct):
    model_name: str
    outputs: tuple[_Tensor, ...]
    model_version: str = ""
    id: str = ""


class InferRequest(msgspec.Struct, gc=False):
    """`outputs` maps each wanted output to whether it is wanted in binary; empty: all, in `binary`. `classes` says of
    which outputs only the so many largest values are wanted. `priority` is 1 (first) to 10, 0 the default; `timeout`
    counts microseconds, 0 is none.
    """

    inputs: dict[str, Array]
    id: str = ""
    outputs: dict[str, bool] = {}
    binary: bool = False
    classes: dict[str, int] = {}
    priority: int = 0
    timeout: int = 0


class InferResponse(msgspec.Struct, gc=False):
    """What a server answered."""

    model_name: str
    outputs: dict[str, Array]
    model_version: str = ""
    id: str = ""


_request_decoder = msgspec.json.Decoder(_Request)
_response_decoder = msgspec.json.Decoder(_Response)
# Possessive, and content with a missing end: linear in whatever is sent.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)


def parse_request(
    content: bytes | memoryview, header_length: int | None = None, *, signature: Signature | None = None
) -> InferRequest:
    """Read an infer request. `signature` is needed only for a raw body (`header_length` 0).

    Raises: RequestError, ShapeError, DataError or UnknownNameError; each says which tensor and why.

    Example:
        >>> parse_request(b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [2], "data": [1, 2]}]}').inputs
        {'x': array([1., 2.], dtype=float32)}
    """
    if header_length is None:
        content = bytes(content)
        plain = read_plain(content)
        if plain:
            return InferRequest(plain)
    elif header_length == 0:
        return _raw_request(content, signature)
    text, raw = _split(content, header_length)
    # Beside binary tensors JSON says only what they are: a client says the same again and again.
    message = _read_request(text) if raw is None or len(text) > _LONGEST_KEPT else _read_again(text)
    inputs = _tensors("input", message.inputs, raw)
    if not message.parameters and not message.outputs:
        return InferRequest(inputs, message.id)
    priority, timeout = read_parameters(message.parameters)
    binary = _flag(message.parameters, "binary_data_output", False, "parameters")
    outputs: dict[str, bool] = {}
    classes: dict[str, int] = {}
    for wanted in message.outputs:
        at = f"output {wanted.name!r}"
        if wanted.name in outputs:
            raise RequestError("is asked for twice", at=at)
        count = read_classes(wanted.parameters, at=at)
        if count:
            classes[wanted.name] = count
        outputs[wanted.name] = _flag(wanted.parameters, "binary_data", binary, at)
    return InferRequest(inputs, message.id, outputs, binary, classes, priority, timeout)


def _read_request(text: bytes) -> _Request:
    message: _Request = _decode(_request_decoder, text)
    check_id(message.id)
    if not message.inputs:
        raise RequestError("a request needs at least one input", at="inputs")
    _check_keys(text, message)
    return message


_read_again = functools.lru_cache(_KEPT)(_read_request)


def check_id(id: str) -> str:
    """A request's `id` itself, if it is at most 256 printable characters.

    Raises: RequestError.
    """
    if len(id) > _MAX_ID or not id.isprintable():
        raise RequestError(at="id", expected=f"at most {_MAX_ID} printable characters")
    return id


def read_parameters(parameters: Mapping[str, bool | int | float | str]) -> tuple[int, int]:
    """A request's priority and timeout (microseconds), out of its own parameters.

    Those of sequences are passed over, as every model that keeps no state does.

    Raises: RequestError for a value that cannot be, and for reserved names.
    """
    for name in parameters:
        if name == "headers" or name.startswith("triton_"):
            raise RequestError(f"the parameter {name!r} is reserved")
    return (
        _whole(parameters, "priority", MAX_PRIORITY, "parameters"),
        _whole(parameters, "timeout", _MAX_TIMEOUT, "parameters"),
    )


def read_classes(parameters: Mapping[str, bool | int | float | str], *, at: str) -> int:
    """How many classes are asked of an output by the classification extension; 0 if none are.

    Raises: RequestError for a value that cannot be, and for shared memory.
    """
    _refuse_shared_memory(parameters, at)
    return _whole(parameters, "classification", _MAX_CLASSES, at)


def parse_response(content: bytes, header_length: int | None = None) -> InferResponse:
    """Read an answer.

    Raises: RequestError, ShapeError or DataError if it is not one.
    """
    text, raw = _split(content, header_length)
    message = _decode(_response_decoder, text)
    outputs = _tensors("output", message.outputs, raw)
    return InferResponse(message.model_name, outputs, message.model_version, message.id)


def _split(content: bytes | memoryview, header_length: int | None) -> tuple[bytes, memoryview | None]:
    """The JSON part, and the raw part if there may be one."""
    if header_length is None:
        return bytes(content), None
    if not 0 < header_length <= len(content):
        raise RequestError(
            at=LENGTH_HEADER, got=header_length, expected=f"at most the body's length, {len(content)} bytes"
        )
    return bytes(content[:header_length]), memoryview(content)[header_length:]


def _decode(decoder: msgspec.json.Decoder[Any], text: bytes) -> Any:
    _check_text(text)
    try:
        return decoder.decode(text)
    except msgspec.ValidationError as error:
        raise RequestError(str(error), at="body") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RequestError(f"not valid JSON ({error})", at="body") from error
    except RecursionError as error:
        raise RequestError("JSON nested too deeply", at="body") from error


def _check_text(text: bytes) -> None:
    """Most bodies have too few brackets to be deep, and too few bytes to hold too many numbers; only the others are
    looked at closely.
    """
    if len(text) > 2 * MAX_NUMBERS and text.count(b",") > MAX_NUMBERS:
        raise RequestError(
            f"more than {MAX_NUMBERS} values in JSON", at="body", fix="Send them with the binary tensor extension."
        )
    if text.count(b"[") + text.count(b"{") <= MAX_DEPTH:
        return
    marks = np.frombuffer(_STRING.sub(b"", text), np.uint8)
    marks = marks[(marks == 0x5B) | (marks == 0x7B) | (marks == 0x5D) | (marks == 0x7D)]
    depth = np.cumsum(np.where((marks == 0x5B) | (marks == 0x7B), 1, -1))
    if depth.size and depth.max() > MAX_DEPTH:
        raise RequestError(f"JSON nested more than {MAX_DEPTH} deep", at="body")


def _check_keys(text: bytes, message: _Request) -> None:
    """No key may come twice: two readers would understand such a request in two ways.

    Keys that come as often as they should, written without escapes, settle it for nearly every request.
    """
    tensors = len(message.inputs)
    if has_known_keys(text, tensors) and all(tensor.data for tensor in message.inputs):
        return
    if (
        text.count(b'"name"') == tensors + len(message.outputs)
        and text.count(b'"shape"') == text.count(b'"datatype"') == tensors
        and text.count(b'"data"') <= tensors
        and text.count(b'"inputs"') == 1
        and text.count(b'"outputs"') <= 1
        and text.count(b'"id"') <= 1
        and not message.parameters
        and b'"parameters"' not in text
        and b"\\" not in text
    ):
        return
    try:
        json.loads(text, object_pairs_hook=_once, parse_int=len, parse_float=len)  # numbers of any length
    except (UnicodeDecodeError, json.JSONDecodeError) as error:  # in a key that nobody reads, which was passed over
        raise RequestError(f"not valid JSON ({error})", at="body") from error


def _once(pairs: list[tuple[str, Any]]) -> None:
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            raise RequestError(f"the key {key[:40]!r} is given twice", at="body")
        seen.add(key)


def _tensors(kind: str, tensors: tuple[_Tensor, ...], raw: memoryview | None) -> dict[str, Array]:
    found: dict[str, Array] = {}
    position = 0
    for tensor in tensors:
        at = f"{kind} {tensor.name!r}"
        if tensor.name in found:
            raise RequestError("is given twice", at=at)
        size: object = None
        if tensor.parameters:
            _refuse_shared_memory(tensor.parameters, at)
            size = tensor.parameters.get("binary_data_size")
        if size is None:
            if not tensor.data:
                raise RequestError("has neither data nor binary_data_size", at=at)
            found[tensor.name] = parse_data(memoryview(tensor.data), tensor.datatype, tensor.shape, at=at)
            continue
        if tensor.data:
            raise RequestError("has both data and binary_data_size", at=at, fix="Give one of them.")
        if type(size) is not int or size < 0:
            raise RequestError(at=f"{at}.binary_data_size", got=size, expected="a number of bytes")
        if raw is None:
            raise RequestError("has binary data, but the JSON's length is not known", at=at, fix=_SEND_LENGTH)
        if position + size > len(raw):
            raise RequestError(f"needs {size} bytes of binary data, {len(raw) - position} are left", at=at)
        found[tensor.name] = decode_tensor(raw[position : position + size], tensor.datatype, tensor.shape, at=at)
        position += size
    if raw is not None and position != len(raw):
        raise RequestError(
            f"{len(raw) - position} bytes are left over after the binary tensors",
            at="body",
            fix="The sum of binary_data_size and the JSON's length must be the body's length.",
        )
    return found


_SEND_LENGTH = f"Send the header {LENGTH_HEADER}."


def _refuse_shared_memory(parameters: Mapping[str, bool | int | float | str], at: str) -> None:
    for name in _SHARED_MEMORY:
        if name in parameters:
            raise RequestError(f"the parameter {name!r} is not supported here", at=at)


def _whole(parameters: Mapping[str, bool | int | float | str], name: str, most: int, at: str) -> int:
    value = parameters.get(name, 0)
    if type(value) is not int or not 0 <= value <= most:
        raise RequestError(at=f"{at}.{name}", got=value, expected=f"a whole number from 0 to {most}")
    return value


def _flag(parameters: Parameters, name: str, default: bool, at: str) -> bool:
    value = parameters.get(name, default)
    if not isinstance(value, bool):
        raise RequestError(at=f"{at}.{name}", got=value, expected="true or false")
    return value


def _raw_request(content: bytes | memoryview, signature: Signature | None) -> InferRequest:
    """A body that is nothing but the one input's data: its shape follows from its length."""
    if signature is None or len(signature.inputs) != 1:
        raise RequestError("a raw body needs a model with exactly one input", at=f"{LENGTH_HEADER}: 0")
    spec = signature.inputs[0]
    at = f"input {spec.name!r}"
    if spec.dtype == "BYTES":
        if any(size not in (-1, 1) for size in spec.shape):
            raise RequestError(f"a raw body holds one element, the input has shape {list(spec.shape)}", at=at)
        array = np.empty((1,) * len(spec.shape), dtype=object)
        array[...] = bytes(content)
        return InferRequest({spec.name: array}, binary=True)
    free = [index for index, size in enumerate(spec.shape) if size == -1]
    if len(free) > 1:
        raise RequestError(f"a raw body leaves the sizes of shape {list(spec.shape)} open", at=at, fix=_SEND_LENGTH)
    shape = [1 if size == -1 else size for size in spec.shape]
    row = element_count(shape, at=at) * numpy_dtype(spec.dtype).itemsize
    if free and row:
        shape[free[0]] = len(content) // row
    return InferRequest({spec.name: decode_tensor(content, spec.dtype, shape, at=at)}, binary=True)
