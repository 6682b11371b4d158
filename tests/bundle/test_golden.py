"""Golden pairs as files."""

import json

import numpy as np
import pytest

from lepton_ai.bundle import decode_request, decode_response, encode_request, encode_response
from lepton_ai.bundle.codec import Array
from lepton_ai.core import RequestError


def test_small_tensors_are_plain_json() -> None:
    content = encode_response("digits", {"y": np.array([[0.25]], "float32")})
    assert json.loads(content)["outputs"][0]["data"] == [0.25]
    assert decode_response(content).outputs["y"].dtype == np.float32


@pytest.mark.parametrize(
    "array",
    [
        np.array([np.nan, np.inf]),
        np.zeros((3, 2000), "uint8"),
        np.ones(3, "float16"),
        np.array([b"\xff", b"a"], dtype=object),
    ],
)
def test_others_are_framed_and_exact(array: Array) -> None:
    content = encode_request({"x": array})
    assert content.startswith(b"Inference-Header-Content-Length: ")
    back = decode_request(content).inputs["x"]
    assert back.dtype == array.dtype and np.array_equal(back, array, equal_nan=array.dtype.kind == "f")


def test_text_comes_back_as_text() -> None:
    assert decode_request(encode_request({"s": np.array(["é", b"b"], dtype=object)})).inputs["s"].tolist() == ["é", "b"]


def test_broken_frames_are_refused() -> None:
    content = encode_request({"x": np.array([np.nan])})
    for broken in (content[:-1], content + b"1", content[5:], content.replace(b": ", b": -", 1)):
        with pytest.raises(RequestError):
            decode_request(broken)
