"""The classification extension: of an output's last axis only the largest values, as texts."""

from collections.abc import Sequence

import numpy as np

from lepton_ai.bundle import Array
from lepton_ai.core import RequestError


def classify(array: Array, count: int, labels: Sequence[str] = (), *, at: str = "output") -> Array:
    """The `count` largest values of each row, the largest first: BYTES "value:index", with ":label" where it is known.

    Shapes: (..., C) numbers in, (..., min(count, C)) out.

    Raises: RequestError for an output that is no row of numbers.

    Example:
        >>> classify(np.array([[0.1, 0.7, 0.2]]), 2, ["cat", "dog", "cow"]).tolist()
        [[b'0.700000:1:dog', b'0.200000:2:cow']]
    """
    if array.ndim < 1 or array.dtype.kind not in "fiu":
        raise RequestError("only numbers along an axis can be classified", at=at)
    classes = array.shape[-1]
    count = min(count, classes)
    # Stable, and from the end: of equal values the first comes first.
    order = np.argsort(-array.astype(np.float64), axis=-1, kind="stable")[..., :count]
    best = np.take_along_axis(array, order, axis=-1)
    named = len(labels) == classes
    texts = np.empty(order.size, dtype=object)
    for place, (index, value) in enumerate(zip(order.ravel().tolist(), best.ravel().tolist(), strict=True)):
        number = f"{value:f}" if isinstance(value, float) else str(value)
        texts[place] = f"{number}:{index}:{labels[index]}".encode() if named else f"{number}:{index}".encode()
    return texts.reshape(order.shape)
