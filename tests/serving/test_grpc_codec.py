"""Infer requests in gRPC's messages."""

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from lepton_ai.bundle import InferRequest, dtype_of, encode_tensor
from lepton_ai.core import DataError, LeptonError, RequestError, ShapeError
from lepton_ai.serving.grpc_codec import _CONTENTS, read_request, write_response
from lepton_ai.serving.grpc_messages import messages

X = np.array([[1, 2], [3, 4]], "float32")
PLAIN = ["?", "u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f4", "f8"]


def request(*, raw: bool = True, **tensors: Any) -> Any:
    made = messages()["ModelInferRequest"](model_name="m", id="7")
    for name, array in tensors.items():
        tensor = made.inputs.add(name=name, datatype=dtype_of(array), shape=array.shape)
        if raw:
            made.raw_input_contents.append(encode_tensor(array))
        else:
            getattr(tensor.contents, _CONTENTS[dtype_of(array)]).extend(array.ravel().tolist())
    return made


def refused(made: Any, said: str, kind: type[Exception] = LeptonError) -> None:
    with pytest.raises(kind, match=said):
        read_request(made)


@settings(max_examples=60, deadline=None)
@given(st.booleans(), npst.arrays(st.sampled_from(PLAIN), npst.array_shapes(min_side=0, max_dims=3, max_side=4)))
def test_arrays_arrive_as_they_were_sent(raw: bool, array: Any) -> None:
    found = read_request(request(raw=raw, x=array)).inputs["x"]
    assert found.dtype == array.dtype and np.array_equal(found, array, equal_nan=array.dtype.kind == "f")


def test_texts_and_halves() -> None:
    texts = np.array([b"\xff\x00", "ü".encode()], dtype=object)
    for raw in (True, False):
        assert read_request(request(raw=raw, x=texts)).inputs["x"].tolist() == texts.tolist()
    assert read_request(request(x=X.astype("float16"))).inputs["x"].dtype == np.float16


def test_what_is_asked_for() -> None:
    made = request(x=X)
    made.parameters["priority"].int64_param = 1
    made.parameters["timeout"].uint64_param = 5_000
    made.outputs.add(name="y")
    made.outputs.add(name="z").parameters["classification"].int64_param = 3
    found = read_request(made)
    assert msgspec.structs.replace(found, inputs={}) == InferRequest(
        {}, "7", {"y": True, "z": True}, True, {"z": 3}, 1, 5_000
    )


def test_what_cannot_be_is_said() -> None:
    refused(messages()["ModelInferRequest"](model_name="m"), "needs at least one input")
    twice = request(x=X)
    twice.inputs.add().CopyFrom(twice.inputs[0])
    twice.raw_input_contents.append(twice.raw_input_contents[0])
    refused(twice, "input 'x': is given twice")
    few = request(x=X, y=X)
    del few.raw_input_contents[1]
    refused(few, "raw_input_contents: got 1, expected 2, one for each input")
    both = request(x=X)
    both.inputs[0].contents.fp32_contents.extend([1, 2, 3, 4])
    refused(both, "input 'x': has both contents and raw contents. Give one of them.")
    short = request(x=X)
    short.raw_input_contents[0] = short.raw_input_contents[0][:-1]
    refused(short, "input 'x': got '15 bytes', expected 16 bytes", ShapeError)
    missing = request(raw=False, x=X)
    missing.inputs[0].contents.fp32_contents.pop()
    refused(missing, r"input 'x': got '3 elements', expected 4 for shape \[2, 2\]", ShapeError)
    other = request(raw=False, x=X)
    other.inputs[0].contents.int_contents.append(1)
    refused(other, "input 'x': has int_contents, expected fp32_contents for FP32", RequestError)
    wide = request(raw=False, x=np.array([1, 2], "int32"))
    wide.inputs[0].datatype = "INT8"
    wide.inputs[0].contents.int_contents[0] = 1000
    refused(wide, "input 'x': 1000 does not fit INT8", DataError)
    half = request(raw=False, x=X)
    half.inputs[0].datatype = "FP16"
    refused(half, "input 'x': FP16 data has no typed contents. Send it in raw_input_contents.")
    negative = request(x=X)
    negative.inputs[0].shape[0] = -1
    refused(negative, "sizes of 0 or more")
    unknown = request(x=X)
    unknown.inputs[0].datatype = "FP33"
    refused(unknown, "unknown dtype 'FP33'. Did you mean 'FP32'?")
    shared = request(x=X)
    shared.inputs[0].parameters["shared_memory_region"].string_param = "r"
    refused(shared, "input .x.: the parameter .shared_memory_region. is not supported here")
    reserved = request(x=X)
    reserved.parameters["triton_x"].bool_param = True
    refused(reserved, "the parameter 'triton_x' is reserved")
    empty = request(x=X)
    empty.parameters["a"].SetInParent()
    refused(empty, "parameter 'a': has no value")
    wanted = request(x=X)
    wanted.outputs.add(name="y")
    wanted.outputs.add(name="y")
    refused(wanted, "output 'y': is asked for twice")
    named = request(x=X)
    named.id = "a" * 300
    refused(named, "id: expected at most 256 printable characters")


@settings(max_examples=80, deadline=None)
@given(st.binary(max_size=60))
def test_whatever_comes_is_read_or_refused(content: bytes) -> None:
    known = messages()["ModelInferRequest"]
    made = request(x=X)
    try:
        made.MergeFromString(content)
    except Exception:
        made = known()
    try:
        assert read_request(made).inputs
    except LeptonError as error:
        assert str(error)


def test_answers_are_raw() -> None:
    found = write_response("m", "3", "7", {"y": X, "t": np.array(["a"], dtype=object)}, final=True)
    assert (found.model_name, found.model_version, found.id) == ("m", "3", "7")
    assert [(each.name, each.datatype, list(each.shape)) for each in found.outputs] == [
        ("y", "FP32", [2, 2]),
        ("t", "BYTES", [1]),
    ]
    assert found.raw_output_contents[0] == X.tobytes() and found.parameters["triton_final_response"].bool_param
