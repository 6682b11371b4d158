"""Bodies of the Open Inference Protocol."""

import json
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lepton_ai.bundle import parse_request, parse_response, render_request, render_response
from lepton_ai.bundle.plain import read_plain
from lepton_ai.core import DataError, LeptonError, RequestError, ShapeError
from tests.contracts.bundles import signature, spec

TENSOR: dict[str, Any] = {"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]}
BINARY: dict[str, Any] = {"name": "x", "datatype": "FP32", "shape": [2], "parameters": {"binary_data_size": 8}}
TWO_FLOATS = np.array([1, 2], "<f4").tobytes()


def body(**fields: Any) -> bytes:
    return json.dumps({"inputs": [TENSOR], **fields}).encode()


def test_request_in_json() -> None:
    request = parse_request(
        body(
            id="7",
            parameters={"sequence_id": 3, "timeout": 1000, "binary_data_output": True},
            outputs=[{"name": "y"}, {"name": "z", "parameters": {"binary_data": False}}],
            unknown={"kept": "for later versions"},
        )
    )
    assert request.inputs["x"].tolist() == [[1, 2]] and request.inputs["x"].dtype == np.float32
    assert (request.id, request.outputs, request.binary) == ("7", {"y": True, "z": False}, True)


def test_mixed_binary_and_json_tensors_round_trip() -> None:
    tensors = {"a": np.arange(4, dtype="int16").reshape(2, 2), "b": np.array([1.5]), "c": np.array(["é"], dtype=object)}
    content, length = render_response(
        "m", tensors, model_version="2", id="9", binary={"a": True, "b": False, "c": True}
    )
    answer = parse_response(content, length)
    assert (answer.model_name, answer.model_version, answer.id) == ("m", "2", "9")
    assert answer.outputs["a"].tolist() == [[0, 1], [2, 3]] and answer.outputs["b"].tolist() == [1.5]
    assert answer.outputs["c"].tolist() == ["é".encode()]
    assert length is not None and "data" not in json.loads(content[:length])["outputs"][0]


def test_no_header_length_without_binary_tensors() -> None:
    content, length = render_response("m", {"y": np.zeros(2, "float32")})
    assert length is None
    assert json.loads(content)["outputs"] == [{"name": "y", "datatype": "FP32", "shape": [2], "data": [0.0, 0.0]}]


def test_float32_is_printed_short() -> None:
    assert b"[0.1]" in render_response("m", {"y": np.array([0.1], "float32")}).content


def test_request_in_binary_asks_for_binary_outputs() -> None:
    request = parse_request(*render_request({"x": np.array([np.nan])}, binary=True, id="1"))
    assert request.binary and request.id == "1" and np.isnan(request.inputs["x"]).all()


def test_empty_binary_tensor() -> None:
    content, length = render_request({"x": np.zeros((0, 3), "float32")}, binary=True)
    assert parse_request(content, length).inputs["x"].shape == (0, 3)


def test_raw_body() -> None:
    request = parse_request(TWO_FLOATS * 3, 0, signature=signature())
    assert request.inputs["x"].tolist() == [[1, 2]] * 3 and request.binary
    text = parse_request(b"any \xff bytes", 0, signature=signature((spec("s", "BYTES", (-1, 1)),)))
    assert text.inputs["s"].tolist() == [[b"any \xff bytes"]]


@pytest.mark.parametrize(
    ("content", "sign", "message"),
    [
        (b"12345", signature(), "got '5 bytes', expected 0 bytes (FP32 of shape [0, 2])"),
        (b"", signature((spec("a"), spec("b"))), "a raw body needs a model with exactly one input"),
        (b"", None, "a raw body needs a model with exactly one input"),
        (b"", signature((spec("a", shape=(-1, -1)),)), "leaves the sizes of shape [-1, -1] open"),
        (b"", signature((spec("a", "BYTES", (-1, 2)),)), "a raw body holds one element"),
    ],
)
def test_raw_body_refusals(content: bytes, sign: Any, message: str) -> None:
    with pytest.raises(LeptonError) as caught:
        parse_request(content, 0, signature=sign)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "body: not valid JSON"),
        (b"{", "body: not valid JSON"),
        (b"\xff\xfe", "body: not valid JSON"),
        (b"[]", "body: Expected `object`, got `array`"),
        (b"{}", "Object missing required field `inputs`"),
        (body(inputs=[]), "inputs: a request needs at least one input"),
        (body(inputs=[{**TENSOR, "shape": ["a"]}]), "Expected `int`, got `str` - at `$.inputs[0].shape[0]`"),
        (body(inputs=[{**TENSOR, "shape": [-1, 2]}]), "input 'x': got [-1, 2], expected sizes of 0 or more"),
        (body(inputs=[{**TENSOR, "shape": [2**70]}]), "at most 1099511627776 elements"),
        (body(inputs=[{**TENSOR, "datatype": "FLOAT"}]), "unknown dtype 'FLOAT'"),
        (body(inputs=[TENSOR, TENSOR]), "input 'x': is given twice"),
        (body(inputs=[{"name": "x", "datatype": "FP32", "shape": [1]}]), "has neither data nor binary_data_size"),
        (body(inputs=[BINARY]), "Send the header Inference-Header-Content-Length."),
        (body(inputs=[{**TENSOR, "parameters": {"binary_data_size": 8}}]), "has both data and binary_data_size"),
        (body(inputs=[{**TENSOR, "parameters": {"shared_memory_region": "r"}}]), "'shared_memory_region' is not supp"),
        (body(id="x" * 257), "id: expected at most 256 printable characters"),
        (body(id="a\nb"), "id: expected at most 256 printable characters"),
        (body(id=7), "Expected `str`, got `int` - at `$.id`"),
        (body(parameters={"a": []}), "Expected `bool | int | float | str`, got `array`"),
        (body(parameters={"binary_data_output": 1}), "parameters.binary_data_output: got 1, expected true or false"),
        (body(outputs=[{"name": "y"}, {"name": "y"}]), "output 'y': is asked for twice"),
        (body(outputs=[{"name": "y", "parameters": {"classification": -3}}]), "got -3, expected a whole number from 0"),
        (body(parameters={"priority": 11}), "parameters.priority: got 11, expected a whole number from 0 to 10"),
        (body(parameters={"timeout": "1"}), "parameters.timeout: got '1', expected a whole number from 0 to"),
        (body(parameters={"triton_final_response": True}), "the parameter 'triton_final_response' is reserved"),
        (body(parameters={"headers": "x"}), "the parameter 'headers' is reserved"),
        (body(extra=json.loads("[" * 101 + "]" * 101)), "JSON nested more than 100 deep"),
        (b'{"extra":' + b"[" * 100_000, "JSON nested more than 100 deep"),
        (b"[" + b"1," * 2**21 + b"1]", "body: more than 1048576 values in JSON. Send them with the binary tensor"),
        (body()[:-1] + b',"id":"a","id":"b"}', "body: the key 'id' is given twice"),
        (body()[:-1] + b',"i\\u0064":"a","id":"b"}', "body: the key 'id' is given twice"),
        (b'{"inputs":[{"name":"x","name":"x","datatype":"FP32","shape":[1],"data":[1]}]}', "the key 'name' is given"),
        (b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1],"shape":[1],"data":[1]}]}', "the key 'shape' is give"),
    ],
)
def test_refusals(content: bytes, message: str) -> None:
    with pytest.raises(LeptonError) as caught:
        parse_request(content)
    assert message in str(caught.value)


def test_repeated_words_that_are_no_keys_are_let_be() -> None:
    texts = {"name": "x", "datatype": "BYTES", "shape": [3], "data": ['"name"', "\\", '"shape"']}
    request = body(inputs=[texts])[:-1] + b',"unknown":1' + b"0" * 5000 + b"}"
    assert parse_request(request).inputs["x"].tolist() == texts["data"]


def test_priority_timeout_and_classes() -> None:
    request = parse_request(
        body(
            parameters={"priority": 2, "timeout": 1500},
            outputs=[{"name": "y", "parameters": {"classification": 3}}, {"name": "z"}],
        )
    )
    assert (request.priority, request.timeout, request.classes) == (2, 1500, {"y": 3})


def test_hostile_strings_take_linear_time() -> None:
    started = time.perf_counter()
    for tail in (b'"\\' * 200_000, b'"' + b'\\"' * 200_000, b'"' + b'\\"' * 200_000 + b"\\"):
        with pytest.raises(RequestError, match="nested more than 100 deep"):
            parse_request(b"[" * 101 + tail)
    assert time.perf_counter() - started < 5


def test_brackets_in_strings_are_not_depth() -> None:
    text = {"name": "x", "datatype": "BYTES", "shape": [1], "data": ["[" * 300 + '\\"[']}
    assert parse_request(body(inputs=[text])).inputs["x"].tolist() == text["data"]


@pytest.mark.parametrize(
    ("tensors", "raw", "shift", "message"),
    [
        ([BINARY], TWO_FLOATS + b"1", 0, "1 bytes are left over after the binary tensors"),
        ([BINARY], TWO_FLOATS[:-1], 0, "needs 8 bytes of binary data, 7 are left"),
        ([{**BINARY, "shape": [3]}], TWO_FLOATS, 0, "got '8 bytes', expected 12 bytes (FP32 of shape [3])"),
        ([{**BINARY, "parameters": {"binary_data_size": -8}}], TWO_FLOATS, 0, "binary_data_size: got -8"),
        ([{**BINARY, "parameters": {"binary_data_size": True}}], TWO_FLOATS, 0, "binary_data_size: got True"),
        ([{**BINARY, "parameters": {"binary_data_size": 8.0}}], TWO_FLOATS, 0, "binary_data_size: got 8.0"),
        ([BINARY], TWO_FLOATS, 1000, "Inference-Header-Content-Length: got"),
        ([BINARY], TWO_FLOATS, -1, "not valid JSON"),
    ],
)
def test_binary_lengths_are_exact(tensors: list[Any], raw: bytes, shift: int, message: str) -> None:
    text = body(inputs=tensors)
    with pytest.raises((RequestError, ShapeError, DataError)) as caught:
        parse_request(text + raw, len(text) + shift)
    assert message in str(caught.value)


@given(content=st.binary(max_size=60), cut=st.integers(0, 200), at=st.integers(0, 200), length=st.integers(-2, 300))
@settings(max_examples=100, deadline=None)
def test_any_damage_is_a_request_or_a_clear_error(content: bytes, cut: int, at: int, length: int) -> None:
    whole, header_length = render_request(
        {"x": np.array([1, 2], "int8"), "s": np.array([b"a"], dtype=object)}, binary=True
    )
    if length % 2:
        whole, header_length = render_request({"s": np.array(["a", "é"], dtype=object), "y": np.array([1.5])})
    damaged = whole[:at] + content + whole[at + cut :]
    for claimed in (None, header_length, length):
        try:
            request = parse_request(damaged, claimed)
        except LeptonError:
            continue
        assert request.inputs


@given(
    shape=st.lists(st.integers(-1, 3), max_size=3),
    data=st.one_of(
        st.lists(st.one_of(st.integers(-3, 3), st.floats(width=32), st.none(), st.booleans()), max_size=6),
        st.just([[1, 2], [3, 4]]),
        st.just(10**40),
    ),
    datatype=st.sampled_from(["FP32", "FP64", "INT64", "BYTES", "FP16", "NONE"]),
    more=st.sampled_from(["", ', "id": "7"', ', "unknown": 1', ', "inputs": []', ', "outputs": []']),
    field=st.sampled_from(["", ', "name": "y"', ', "data": [1]', ', "unknown": [1]', ', "parameters": {}']),
)
@settings(deadline=None)
def test_plain_requests_are_read_as_all_others_are(
    shape: list[int], data: Any, datatype: str, more: str, field: str
) -> None:
    """The short way to read a request gives what the long way gives, or leaves it to that."""
    tensor = json.dumps({"name": "x", "datatype": datatype, "shape": shape, "data": data})
    content = f'{{"inputs": [{tensor[:-1]}{field}}}]{more}}}'.encode()
    plain = read_plain(content)
    if plain is None:
        return
    long = parse_request(content + b" " * 2**21).inputs  # longer than what is read the short way
    assert list(plain) == list(long) == ["x"] and not more and not field
    assert plain["x"].dtype == long["x"].dtype and plain["x"].shape == long["x"].shape
    assert plain["x"].tolist() == long["x"].tolist()


def test_plain_requests_are_read_the_short_way() -> None:
    plain = read_plain(body())
    assert plain is not None and plain["x"].tolist() == [[1, 2]]
    assert read_plain(body(id="7")) is None and read_plain(b"[" * 10_000) is None and read_plain(b"\xff") is None


def test_a_key_that_is_no_text_is_refused_even_if_nobody_reads_it() -> None:
    tensor = b'{"name":"x","datatype":"FP32","shape":[1],"data":[1],"parameters":{}}'
    with pytest.raises(RequestError, match="body: not valid JSON .*0xf2"):
        parse_request(b'{"p\xf2Z":{"binary_data_output":true},"inputs":[' + tensor + b"]}")
