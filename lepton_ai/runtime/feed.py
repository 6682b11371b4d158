"""The check of inputs against a signature: the same for a server's requests and for calls in the process."""

from collections.abc import Mapping

from lepton_ai.bundle import Array, Signature, TensorSpec, dtype_of, numpy_dtype
from lepton_ai.core import LeptonError, ShapeError, unknown_name


def check_feed(signature: Signature, feed: Mapping[str, Array]) -> None:
    """Check that `feed` holds exactly the inputs of `signature`, each of its dtype and of a shape that fits.

    Nothing is cast: a wrong dtype is a mistake somewhere, and casting would hide it.

    Raises: UnknownNameError for an input that the model does not have; ShapeError for everything else.

    Example:
        >>> import numpy as np
        >>> x = TensorSpec(name="x", dtype="FP32", shape=(-1, 3))
        >>> check_feed(Signature(inputs=(x,), outputs=()), {"x": np.zeros((2, 4), "float32")})
        Traceback (most recent call last):
        lepton_ai.core.errors.ShapeError: input 'x': got shape [2, 4], expected [-1, 3] (-1 is any size)
    """
    if len(feed) != len(signature.inputs):
        raise _wrong_names(signature, feed)
    for spec in signature.inputs:
        array = feed.get(spec.name)
        if array is None:
            raise _wrong_names(signature, feed)
        _check_tensor(spec, array)
    if len(feed) > 1:
        _check_rows(signature, feed)


def describe(spec: TensorSpec) -> str:
    """A tensor's spec for people: `FP32[-1, 3]`."""
    return f"{spec.dtype}{list(spec.shape)}"


def _check_tensor(spec: TensorSpec, array: Array) -> None:
    if array.dtype != numpy_dtype(spec.dtype) and not (spec.dtype == "BYTES" and array.dtype.kind in "SU"):
        raise ShapeError(
            f"got {_dtype_word(array)}, expected {spec.dtype}", at=f"input {spec.name!r}", fix=_cast(spec, array)
        )
    shape, wanted = array.shape, spec.shape
    if shape == wanted or (shape[1:] == wanted[1:] and wanted[:1] == (-1,) and shape):
        return  # as nearly always
    if len(shape) != len(spec.shape) or any(
        size not in (-1, given) for size, given in zip(spec.shape, shape, strict=True)
    ):
        free = " (-1 is any size)" if -1 in spec.shape else ""
        fix = ""
        if len(shape) + 1 == len(spec.shape) and spec.shape[0] == -1:
            fix = "The first size is the batch: wrap a single example in a batch of one."
        raise ShapeError(
            f"got shape {list(shape)}, expected {list(spec.shape)}{free}", at=f"input {spec.name!r}", fix=fix
        )


def _dtype_word(array: Array) -> str:
    try:
        return dtype_of(array) if array.dtype.isnative else str(array.dtype)
    except ShapeError:
        return str(array.dtype)


def _cast(spec: TensorSpec, array: Array) -> str:
    if spec.dtype == "BYTES" or array.dtype.kind not in "biuf":
        return ""
    return f'Convert it: array.astype("{numpy_dtype(spec.dtype)}").'


def _check_rows(signature: Signature, feed: Mapping[str, Array]) -> None:
    """Inputs whose first size is free share it."""
    rows = {spec.name: feed[spec.name].shape[0] for spec in signature.inputs if spec.shape and spec.shape[0] == -1}
    if len(set(rows.values())) > 1:
        counts = ", ".join(f"{name!r} has {count}" for name, count in rows.items())
        raise ShapeError(f"{counts} rows", at="inputs", expected="as many rows in each")


def _wrong_names(signature: Signature, feed: Mapping[str, Array]) -> LeptonError:
    known = [spec.name for spec in signature.inputs]
    for name in feed:
        if name not in known:
            return unknown_name("input", name, known)
    missing = [spec for spec in signature.inputs if spec.name not in feed]
    return ShapeError(
        "missing input " + ", ".join(f"{spec.name!r}" for spec in missing),
        expected=", ".join(f"{spec.name!r} as {describe(spec)}" for spec in signature.inputs),
    )
