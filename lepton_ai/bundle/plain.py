"""The request that nearly everybody sends, read in one pass: JSON, FP32 tensors with flat data, and nothing else.

What is not exactly this is left to `protocol`, which reads everything, and says what is wrong with it.
"""

from math import prod

import msgspec
import numpy as np

from lepton_ai.bundle.codec import MAX_RANK, Array, numpy_dtype
from lepton_ai.bundle.jsondata import FP32

_LONGEST = 2**20  # bytes: too few for more values than a request may have
_DTYPE = numpy_dtype("FP32")


class _Tensor(msgspec.Struct, gc=False):
    name: str
    datatype: str
    shape: tuple[int, ...]
    data: list[FP32]


class _Request(msgspec.Struct, gc=False):
    inputs: tuple[_Tensor, ...]


_decoder = msgspec.json.Decoder(_Request)


def read_plain(content: bytes) -> dict[str, Array] | None:
    """The inputs; None for a request that is not plain.

    Example:
        >>> read_plain(b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [2], "data": [1, 2]}]}')
        {'x': array([1., 2.], dtype=float32)}
        >>> read_plain(b'{"inputs": [], "id": "7"}')
    """
    if len(content) > _LONGEST:
        return None
    try:
        tensors = _decoder.decode(content).inputs
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if not has_known_keys(content, len(tensors)):
        return None
    found: dict[str, Array] = {}
    for tensor in tensors:
        shape, data = tensor.shape, tensor.data
        if tensor.datatype != "FP32" or not data or not 0 < len(shape) <= MAX_RANK or min(shape) < 0:
            return None
        if prod(shape) != len(data):
            return None
        found[tensor.name] = np.array(data, _DTYPE).reshape(shape)
    return found if len(found) == len(tensors) else None


def has_known_keys(text: bytes, tensors: int) -> bool:
    """Whether a request, which has so many inputs with data, has nothing else, and no key twice: by its quotes.

    Its own key has two of them, and each tensor twelve: four keys, two of whose values are strings.
    """
    return text.count(b'"') == 2 + 12 * tensors
