"""Golden pairs: requests with their answers, as protocol bodies in files `golden/NNN.request` and `.response`.

A plain JSON body is stored as it is. A body with binary tensors is preceded by the header that HTTP would carry,
`Inference-Header-Content-Length: N`, and an empty line.
"""

import re
from collections.abc import Mapping

import numpy as np

from lepton_ai.bundle.codec import Array, dtype_of
from lepton_ai.bundle.protocol import (
    LENGTH_HEADER,
    InferRequest,
    InferResponse,
    parse_request,
    parse_response,
)
from lepton_ai.bundle.rendering import Body, render_request, render_response

_FRAME = re.compile(rb"%s: ([0-9]{1,12})\r\n\r\n" % LENGTH_HEADER.encode())
_LARGE = 4096

FOLDER = "golden"


def encode_request(inputs: Mapping[str, Array]) -> bytes:
    """A golden request. JSON where people may want to read it; binary for more than 4096 elements and what JSON lacks.

    Example:
        >>> encode_request({"x": np.array([1.5], "float32")})
        b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1],"data":[1.5]}]}'
    """
    return _pack(render_request(inputs, binary=_needs_binary(inputs)))


def encode_response(model_name: str, outputs: Mapping[str, Array]) -> bytes:
    """The golden answer to a golden request."""
    return _pack(render_response(model_name, outputs, binary=_needs_binary(outputs)))


def decode_request(content: bytes) -> InferRequest:
    """Read a golden request.

    Raises: RequestError, ShapeError or DataError if it is broken.
    """
    return parse_request(*_unpack(content))


def decode_response(content: bytes) -> InferResponse:
    """Read a golden answer.

    Raises: RequestError, ShapeError or DataError if it is broken.
    """
    return parse_response(*_unpack(content))


def _needs_binary(tensors: Mapping[str, Array]) -> bool:
    return any(_not_json(array) for array in tensors.values())


def _not_json(array: Array) -> bool:
    if array.size > _LARGE or dtype_of(array) in ("FP16", "BF16"):
        return True
    if array.dtype.kind == "f":
        return not np.isfinite(array).all()
    if dtype_of(array) == "BYTES":
        return any(isinstance(element, bytes) and not _is_text(element) for element in array.ravel().tolist())
    return False


def _is_text(element: bytes) -> bool:
    try:
        element.decode()
    except UnicodeDecodeError:
        return False
    return True


def _pack(body: Body) -> bytes:
    if body.header_length is None:
        return body.content
    return b"%s: %d\r\n\r\n%s" % (LENGTH_HEADER.encode(), body.header_length, body.content)


def _unpack(content: bytes) -> Body:
    frame = _FRAME.match(content)
    return Body(content[frame.end() :], int(frame[1])) if frame else Body(content, None)
