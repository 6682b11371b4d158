"""Categories without a vocabulary: their hash decides on the number."""

from typing import Any, Unpack

import numpy as np
import numpy.typing as npt

from lepton_ai.core import ConfigError, ShapeError
from lepton_ai.layers.category_outputs import checked_mode, encode, encode_in_graph, output_shape
from lepton_ai.layers.layer import LayerOptions
from lepton_ai.layers.shapes import Shape, is_shape
from lepton_ai.layers.stage import Array, GraphBuilder, Stage, Value, one_value
from lepton_ai.layers.text_graph import hashed

_MASK = 0xFFFFFFFF
_C1, _C2 = 0xCC9E2D51, 0x1B873593
_CROSS = "_X_"  # between the values of a cross


def murmur3(content: bytes, seed: int = 0) -> int:
    """MurmurHash3 of 32 bits (A. Appleby, public domain), as onnxruntime has it.

    Example:
        >>> murmur3(b""), murmur3("中文 a".encode())
        (0, 2567021567)
    """
    value = seed
    whole = len(content) & ~3
    for start in range(0, whole, 4):
        value ^= _scrambled(int.from_bytes(content[start : start + 4], "little"))
        value = ((value << 13) | (value >> 19)) & _MASK
        value = (value * 5 + 0xE6546B64) & _MASK
    if whole < len(content):
        value ^= _scrambled(int.from_bytes(content[whole:], "little"))
    value ^= len(content)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, 1)):
        value = ((value ^ (value >> shift)) * factor) & _MASK
    return value


def _scrambled(block: int) -> int:
    block = (block * _C1) & _MASK
    return (((block << 15) | (block >> 17)) * _C2) & _MASK


def bucket(term: str, bins: int, seed: int) -> int:
    """The place of a text among `bins`."""
    return murmur3(term.encode(), seed) % bins


class _Hashed(Stage):
    """What `Hashing` and `HashedCrossing` share."""

    num_bins: int
    output_mode: str

    def _checked(self, num_bins: int, output_mode: str, modes: tuple[str, ...]) -> None:
        kind = type(self).__name__
        if isinstance(num_bins, bool) or not isinstance(num_bins, int) or num_bins < 1:
            raise ConfigError(at=f"{kind}.num_bins", got=num_bins, expected="a positive int")
        self.num_bins = num_bins
        self.output_mode = checked_mode(output_mode, f"{kind}.output_mode", modes)
        self.output_dtype = "int64" if output_mode == "int" else "float32"


class Hashing(_Hashed):
    """Texts or whole numbers into `num_bins` buckets by their MurmurHash3; no vocabulary is needed or kept.

    Shapes: `(B,)`, `(B, 1)` or `(B, T)` strings or integers in, out as of `StringLookup`.

    Args:
        num_bins: how many buckets, that of `mask_value` included.
        mask_value: this value alone gets bucket 0; the others share the rest.
        salt: another number, another hash.
        output_mode: "int", "one_hot", "multi_hot" or "count".

    The hash is not Keras' (SipHash or FarmHash), which no stock runtime offers: buckets differ from Keras'.

    Raises: ConfigError for settings that cannot be; DataError naming the row that is no text.

    Example:
        >>> Hashing(num_bins=4)(["paris", "rome", "paris"])
        tensor([3, 1, 3])
    """

    takes = ("string", "int64", "int32", "uint8", "bool")

    def __init__(
        self,
        num_bins: int,
        mask_value: Any = None,
        salt: int | None = None,
        output_mode: str = "int",
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        self._checked(num_bins, output_mode, ("int", "one_hot", "multi_hot", "count"))
        if not (mask_value is None or isinstance(mask_value, str | int)):
            raise ConfigError(at="Hashing.mask_value", got=mask_value, expected="a text, a whole number or None")
        if mask_value is not None and num_bins < 2:
            raise ConfigError(at="Hashing.num_bins", got=num_bins, expected="at least 2 beside a mask_value")
        if salt is not None and (not isinstance(salt, int) or not 0 <= salt < 2**31):
            raise ConfigError(at="Hashing.salt", got=salt, expected="a whole number from 0 to 2**31 - 1")
        self.mask_value = mask_value
        self.salt = salt

    def compute(self, *arrays: Array) -> Array:
        (values,) = arrays
        room = self.num_bins - (self.mask_value is not None)
        flat = values.reshape(-1)
        if values.dtype.kind == "O":
            known = {term: bucket(term, room, self.salt or 0) for term in set(flat.tolist())}
            numbers = np.array([known[term] for term in flat], np.int64)
        else:
            numbers = _hash_integers(flat.astype(np.int64), self.salt or 0) % room
        if self.mask_value is not None:
            numbers = np.where(flat == self.mask_value, 0, numbers + 1)
        return encode(numbers.astype(np.int64).reshape(values.shape), self.output_mode, self.num_bins)

    def onnx(self, builder: GraphBuilder, *inputs: Value) -> str:
        values, text = inputs[0].name, inputs[0].dtype == "string"
        if not text:
            values = builder.node("Cast", values, to=np.int64)
        room = self.num_bins - (self.mask_value is not None)
        numbers = hashed(builder, values, room, self.salt or 0)
        if self.mask_value is not None and isinstance(self.mask_value, str) == text:
            masked = builder.node("Equal", values, builder.constant(self.mask_value, object if text else None))
            more = builder.node("Add", numbers, builder.constant(1))
            numbers = builder.node("Where", masked, builder.constant(0), more)
        elif self.mask_value is not None:
            numbers = builder.node("Add", numbers, builder.constant(1))
        return encode_in_graph(builder, numbers, inputs[0], self.output_mode, self.num_bins)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        if not is_shape(input_shape):
            raise ShapeError("got several inputs, expected one", at=self.label)
        return output_shape(self.output_mode, tuple(input_shape), self.num_bins, self.label)


class HashedCrossing(_Hashed):
    """Which combination of several categories a row has, as one of `num_bins` buckets: for effects of two together.

    Shapes: a list of inputs `(B,)` or `(B, 1)`, strings or integers, in; the same shape int64 out, or
    `(B, num_bins)` float32 for "one_hot".

    Values are joined with `_X_` between them, integers in decimal digits, and hashed as by `Hashing`.

    Raises: ConfigError for settings, and inputs, that cannot be.

    Example:
        >>> HashedCrossing(num_bins=5)([["a", "b", "a"], [1, 1, 1]])
        tensor([2, 3, 2])
    """

    takes = ("string", "int64", "int32", "uint8")
    several = True

    def __init__(self, num_bins: int, output_mode: str = "int", **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self._checked(num_bins, output_mode, ("int", "one_hot"))

    def compute(self, *arrays: Array) -> Array:
        shape = arrays[0].shape
        columns = [[str(value) for value in array.reshape(-1).tolist()] for array in arrays]
        crosses = [_CROSS.join(values) for values in zip(*columns, strict=True)]
        known = {cross: bucket(cross, self.num_bins, 0) for cross in set(crosses)}
        numbers = np.array([known[cross] for cross in crosses], np.int64)
        return encode(numbers.reshape(shape), self.output_mode, self.num_bins)

    def onnx(self, builder: GraphBuilder, *inputs: Value) -> str:
        whole = ""
        for name, dtype, _ in inputs:
            term = name
            if dtype != "string":
                term = builder.node("Cast", builder.node("Cast", name, to=np.int64), to=object)
            term = builder.node("Reshape", term, builder.node("Shape", inputs[0].name))
            if whole:
                term = builder.node("StringConcat", builder.constant(_CROSS, object), term)
            whole = builder.node("StringConcat", whole, term) if whole else term
        numbers = hashed(builder, whole, self.num_bins, 0)
        return encode_in_graph(builder, numbers, inputs[0], self.output_mode, self.num_bins)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        shapes = [input_shape] if is_shape(input_shape) else list(input_shape)
        if len(shapes) < 2:
            raise ConfigError("got one input, expected at least two to cross", at=self.label)
        for each in reversed(shapes):
            shape = one_value(each, self.label)
        return output_shape(self.output_mode, shape, self.num_bins, self.label)


def _hash_integers(values: npt.NDArray[np.int64], seed: int) -> npt.NDArray[np.int64]:
    """MurmurHash3 of each number's eight bytes."""
    words = values.astype("<i8").view("<u4").reshape(-1, 2).astype(np.uint64)
    mixed = np.full(len(values), seed, np.uint64)
    for index in range(2):
        block = words[:, index] * np.uint64(_C1) & np.uint64(_MASK)
        block = ((block << np.uint64(15)) | (block >> np.uint64(17))) & np.uint64(_MASK)
        mixed ^= block * np.uint64(_C2) & np.uint64(_MASK)
        mixed = ((mixed << np.uint64(13)) | (mixed >> np.uint64(19))) & np.uint64(_MASK)
        mixed = (mixed * np.uint64(5) + np.uint64(0xE6546B64)) & np.uint64(_MASK)
    mixed ^= np.uint64(8)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, 1)):
        mixed = ((mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)) & np.uint64(_MASK)
    return mixed.astype(np.int64)
