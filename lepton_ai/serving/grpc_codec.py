"""Infer requests and answers between gRPC's messages and arrays."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from lepton_ai.bundle import (
    Array,
    InferRequest,
    check_id,
    decode_tensor,
    dtype_of,
    element_count,
    encode_tensor,
    numpy_dtype,
    read_classes,
    read_parameters,
)
from lepton_ai.core import DataError, RequestError, ShapeError
from lepton_ai.serving.grpc_messages import messages

FINAL = "triton_enable_empty_final_response"  # asks streams to mark the last answer to a request

# The field that holds the elements of a dtype, where they do not come raw.
_CONTENTS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
# What these fields hold is wider than some of their dtypes.
_FIELDS = {"int_contents": np.dtype("i4"), "uint_contents": np.dtype("u4")}


def read_request(message: Any) -> InferRequest:
    """A `ModelInferRequest`. Arrays of raw tensors are read-only views.

    Raises: RequestError, ShapeError, DataError or UnknownNameError; each says which tensor and why.
    """
    parameters = _parameters(message.parameters)
    parameters.pop(FINAL, None)
    priority, timeout = read_parameters(parameters)
    if not message.inputs:
        raise RequestError("a request needs at least one input", at="inputs")
    raw = message.raw_input_contents
    if raw and len(raw) != len(message.inputs):
        raise RequestError(at="raw_input_contents", got=len(raw), expected=f"{len(message.inputs)}, one for each input")
    inputs: dict[str, Array] = {}
    for index, tensor in enumerate(message.inputs):
        at = f"input {tensor.name!r}"
        if tensor.name in inputs:
            raise RequestError("is given twice", at=at)
        if tensor.parameters:
            read_classes(_parameters(tensor.parameters), at=at)  # refuses shared memory
        if raw:
            if tensor.HasField("contents"):
                raise RequestError("has both contents and raw contents", at=at, fix="Give one of them.")
            inputs[tensor.name] = decode_tensor(raw[index], tensor.datatype, tuple(tensor.shape), at=at)
        else:
            inputs[tensor.name] = _typed(tensor, at)
    outputs: dict[str, bool] = {}
    classes: dict[str, int] = {}
    for wanted in message.outputs:
        at = f"output {wanted.name!r}"
        if wanted.name in outputs:
            raise RequestError("is asked for twice", at=at)
        outputs[wanted.name] = True
        count = read_classes(_parameters(wanted.parameters), at=at)
        if count:
            classes[wanted.name] = count
    return InferRequest(inputs, check_id(message.id), outputs, True, classes, priority, timeout)


def write_response(
    model_name: str, model_version: str, id: str, outputs: Mapping[str, Array], *, final: bool = False
) -> Any:
    """A `ModelInferResponse`; its tensors are raw. `final` marks it as the last to its request."""
    known = messages()
    response = known["ModelInferResponse"](model_name=model_name, model_version=model_version, id=id)
    for name, array in outputs.items():
        response.outputs.add(name=name, datatype=dtype_of(array), shape=array.shape)
        response.raw_output_contents.append(encode_tensor(array))
    if final:
        response.parameters["triton_final_response"].bool_param = True
    return response


def _parameters(fields: Mapping[str, Any]) -> dict[str, bool | int | float | str]:
    found: dict[str, bool | int | float | str] = {}
    for name, value in fields.items():
        kind = value.WhichOneof("choice")
        if kind is None:
            raise RequestError("has no value", at=f"parameter {name!r}")
        found[name] = getattr(value, kind)
    return found


def _typed(tensor: Any, at: str) -> Array:
    """The elements in the field for their dtype."""
    dtype, shape = tensor.datatype, tuple(tensor.shape)
    numpy = numpy_dtype(dtype)
    count = element_count(shape, at=at)
    field = _CONTENTS.get(dtype)
    if field is None:
        raise RequestError(f"{dtype} data has no typed contents", at=at, fix="Send it in raw_input_contents.")
    for other, _ in tensor.contents.ListFields():
        if other.name != field:
            raise RequestError(f"has {other.name}", at=at, expected=f"{field} for {dtype}")
    values = getattr(tensor.contents, field)
    if len(values) != count:
        raise ShapeError(at=at, got=f"{len(values)} elements", expected=f"{count} for shape {list(shape)}")
    if dtype == "BYTES":
        texts = np.empty(count, dtype=object)
        texts[:] = list(values)
        return texts.reshape(shape)
    wide = np.array(values, dtype=_FIELDS.get(field, numpy))
    narrow = wide.astype(numpy, copy=False)
    if narrow is not wide and (narrow != wide).any():
        raise DataError(f"{wide[narrow != wide][0]} does not fit {dtype}", at=at)
    return narrow.reshape(shape)
