"""Numbers of categories as they leave a stage: as they are, one-hot, or counted for each row. In numpy and in a graph.

A number of -1 is nobody's: a gap, which counts for nothing.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from lepton_ai.core import ConfigError, ShapeError
from lepton_ai.layers.shapes import Shape, show
from lepton_ai.layers.stage import GraphBuilder, Value
from lepton_ai.layers.text_graph import sliced

MODES = ("int", "one_hot", "multi_hot", "count", "tf_idf")
_COUNTED = ("multi_hot", "count", "tf_idf")

Array = npt.NDArray[Any]


def checked_mode(mode: str, at: str, modes: Sequence[str] = MODES) -> str:
    """`mode`, if it is one.

    Raises: ConfigError.
    """
    if mode not in modes:
        raise ConfigError(at=at, got=mode, expected=" or ".join(map(repr, modes)))
    return mode


def output_shape(mode: str, shape: Shape, width: int | None, at: str) -> Shape:
    """The shape that numbers of this shape get. Counting is over the last axis, or of each value alone if it is (B,).

    Raises: ShapeError for counts over more than (B, T).
    """
    if mode == "int":
        return tuple(shape)
    if mode in _COUNTED:
        if len(shape) > 2:
            raise ShapeError(f"got an input of shape {show(shape)}, expected (B,) or (B, T) to count", at=at)
        return (shape[0], width)
    kept = shape[:-1] if len(shape) > 1 and shape[-1] == 1 else shape
    return (*kept, width)


def encode(numbers: Array, mode: str, width: int, weights: Sequence[float] | None = None) -> Array:
    """Numbers int64 as `mode` says, float32 except for "int".

    Example:
        >>> encode(np.array([[1, 1, -1], [0, 2, 1]]), "count", 3)
        array([[0., 2., 0.],
               [1., 1., 1.]], dtype=float32)
    """
    if mode == "int":
        return numbers
    if mode == "one_hot":
        kept = numbers[..., 0] if numbers.ndim > 1 and numbers.shape[-1] == 1 else numbers
        return np.asarray(kept[..., None] == np.arange(width), np.float32)
    rows = numbers if numbers.ndim == 2 else numbers[:, None]
    counts = np.zeros((len(rows), width), np.float32)
    row, place = np.nonzero(rows >= 0)
    np.add.at(counts, (row, rows[row, place]), np.float32(1))
    if mode == "multi_hot":
        return np.minimum(counts, np.float32(1))
    return counts if weights is None else counts * np.asarray(weights, np.float32)


def encode_in_graph(
    builder: GraphBuilder, numbers: str, like: Value, mode: str, width: int, weights: Sequence[float] | None = None
) -> str:
    """As `encode`, for numbers of the shape of `like`."""
    if mode == "int":
        return numbers
    if mode == "one_hot":
        if like.single:
            numbers = builder.node("Squeeze", numbers, builder.constant([-1]))
        wide = builder.node("Unsqueeze", numbers, builder.constant([-1]))
        same = builder.node("Equal", wide, builder.constant(np.arange(width)))
        return builder.node("Cast", same, to=np.float32)
    if len(like.shape) == 1:
        numbers = builder.node("Unsqueeze", numbers, builder.constant([1]))
    # Gaps are counted in a column of their own, which is cut off.
    gaps = builder.node("Less", numbers, builder.constant(0))
    places = builder.node("Where", gaps, builder.constant(width), numbers)
    rows = builder.node("Shape", numbers, start=0, end=1)
    size = builder.node("Concat", rows, builder.constant([width + 1]), axis=0)
    nothing = builder.node("Expand", builder.constant(np.zeros(1, np.float32)), size)
    ones = builder.node("Expand", builder.constant(np.ones(1, np.float32)), builder.node("Shape", numbers))
    counts = builder.node("ScatterElements", nothing, places, ones, axis=1, reduction="add")
    counts = sliced(builder, counts, 0, width, axis=1)
    if mode == "multi_hot":
        return builder.node("Min", counts, builder.constant(np.ones(1, np.float32)))
    if weights is None:
        return counts
    return builder.node("Mul", counts, builder.constant(np.asarray(weights, np.float32)))
