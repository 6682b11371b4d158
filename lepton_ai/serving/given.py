"""What a caller gives for a model's inputs, as the arrays that are sent: checked here, before anything is."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from lepton_ai.bundle import Array, Signature, TensorSpec, numpy_dtype
from lepton_ai.core import DataError, ShapeError
from lepton_ai.runtime import check_feed

_WIDER = {"b": "b", "i": "iuf", "u": "iuf", "f": "f"}  # kinds of Python numbers, and those they may become


def as_feed(signature: Signature, given: Mapping[str, Any]) -> dict[str, Array]:
    """Arrays for exactly the inputs of `signature`.

    What has a dtype (an array, a tensor, a column) keeps it: a wrong one is a mistake somewhere, and a cast would hide
    it. Python's own numbers and lists have none, and take the model's where that loses nothing.

    Raises: UnknownNameError for an input that the model does not have; ShapeError for a wrong shape or dtype, and for
    a missing input; DataError for numbers that the model's dtype cannot hold.

    Example:
        >>> x = TensorSpec(name="x", dtype="FP32", shape=(-1, 2))
        >>> as_feed(Signature(inputs=(x,), outputs=()), {"x": [[1, 2]]})
        {'x': array([[1., 2.]], dtype=float32)}
    """
    specs = {spec.name: spec for spec in signature.inputs}
    feed = {name: _as_array(value, specs.get(name), f"input {name!r}") for name, value in given.items()}
    check_feed(signature, feed)
    return feed


def _as_array(value: Any, spec: TensorSpec | None, at: str) -> Array:
    if isinstance(value, np.ndarray | np.generic) or hasattr(value, "__array__"):
        array = np.asarray(value)
        if array.dtype.name == "bfloat16":  # as ml_dtypes has it; numpy itself does not
            return array.view(numpy_dtype("BF16"))
        return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))
    if spec is not None and spec.dtype == "BYTES":
        return np.array(value, dtype=object)
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ShapeError("the nested lists have different lengths", at=at) from error
    if spec is None or spec.dtype == "BF16":
        return array
    return _fitted(array, numpy_dtype(spec.dtype), spec.dtype, at)


def _fitted(array: Array, wanted: np.dtype[Any], word: str, at: str) -> Array:
    """Python's numbers in the model's dtype, if they fit; whole numbers exactly, others as near as it goes."""
    if array.size and wanted.kind not in _WIDER.get(array.dtype.kind, ""):
        return array  # the check of the feed says what is wrong
    with np.errstate(over="ignore"):
        fitted = array.astype(wanted)
    whole = wanted.kind in "iu"
    lost = (fitted != array) if whole else (~np.isfinite(fitted) & np.isfinite(array))
    if lost.any():
        raise DataError(f"{array[lost].flat[0]} does not fit {word}", at=at)
    return fitted
