"""Classes as numbers and as one-hot rows; sequences of unequal lengths as one array."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lepton_ai.core import ConfigError, DataError
from lepton_ai.data.convert import as_array


def to_categorical(x: Any, num_classes: int | None = None) -> Any:
    """One-hot rows for class numbers, as `keras.utils.to_categorical`.

    Integers (...) become float64 (..., num_classes); a last size of 1 is dropped first. A tensor becomes a float32
    tensor (where Keras on torch gives int64). Without `num_classes` it is the largest class plus one.

    Raises: DataError for negative classes, classes beyond `num_classes`, numbers that are not whole, empty data.

    Example:
        >>> to_categorical([0, 2], num_classes=3)
        array([[1., 0., 0.],
               [0., 0., 1.]])
    """
    if isinstance(x, Tensor):
        return torch.from_numpy(to_categorical(x.detach().cpu().numpy(), num_classes)).to(x.device, torch.float32)
    if num_classes is not None and (isinstance(num_classes, bool) or num_classes < 1):
        raise ConfigError(at="to_categorical.num_classes", got=num_classes, expected="a positive int")
    classes = _whole(np.asarray(as_array(np.atleast_1d(x) if np.isscalar(x) else x, "to_categorical")))
    if np.isscalar(x):
        classes = classes[0]
    shape = classes.shape[:-1] if classes.ndim > 1 and classes.shape[-1] == 1 else classes.shape
    flat = classes.reshape(-1)
    if num_classes is None:
        if flat.size == 0:
            raise DataError("empty data", at="to_categorical", fix="Pass num_classes for an empty array.")
        num_classes = int(flat.max()) + 1
    wrong = (flat < 0) | (flat >= num_classes)
    if wrong.any():
        place = int(wrong.argmax())
        raise DataError(
            f"class {int(flat[place])} at place {place}",
            at="to_categorical",
            expected=f"classes from 0 to {max(num_classes, 1) - 1}",
            fix="Number the classes from 0: lepton_ai.data.encode_labels(y).",
        )
    rows = np.zeros((flat.size, num_classes))
    rows[np.arange(flat.size), flat] = 1
    return rows.reshape((*shape, num_classes))


def encode_labels(
    values: Any, labels: Sequence[str] | None = None, *, at: str = "y"
) -> tuple[npt.NDArray[np.int64], tuple[str, ...]]:
    """Class names as numbers: int64 (N,) and the sorted `labels` that they count in.

    Give the training data's `labels` for new data.

    Raises: DataError for a value that is missing or not among `labels`.

    Example:
        >>> encode_labels(["cat", "dog", "cat"])
        (array([0, 1, 0]), ('cat', 'dog'))
    """
    found = np.asarray(values)
    if found.ndim != 1 or found.size == 0:
        raise DataError(f"shape {found.shape}", at=at, expected="one class name for each row, and at least one")
    missing = [row for row, value in enumerate(found.tolist()) if value is None or value != value]  # noqa: PLR0124 - NaN
    if missing:
        raise DataError(f"{len(missing)} missing, the first in row {missing[0]}", at=at, fix="Remove those rows.")
    names, codes = np.unique(found.astype(str), return_inverse=True)
    if labels is None:
        return codes.astype(np.int64), tuple(names.tolist())
    places = {label: place for place, label in enumerate(labels)}
    unknown = next((name for name in names.tolist() if name not in places), None)
    if unknown is not None:
        row = int((names[codes] == unknown).argmax())
        known = ", ".join(labels[:10]) + (", ..." if len(labels) > 10 else "")
        raise DataError(f"unknown class {unknown!r} in row {row}", at=at, expected=f"one of {known}")
    return np.array([places[name] for name in names.tolist()], np.int64)[codes], tuple(labels)


def pad_sequences(
    sequences: Iterable[Any],
    maxlen: int | None = None,
    dtype: npt.DTypeLike = "int32",
    padding: str = "pre",
    truncating: str = "pre",
    value: Any = 0.0,
) -> npt.NDArray[Any]:
    """Sequences of unequal lengths as one array (N, maxlen, ...), as `keras.utils.pad_sequences`.

    Args:
        maxlen: length of all rows; that of the longest sequence if not given.
        padding: whether `value` stands before ("pre") or after ("post") what is shorter.
        truncating: whether what is longer loses its beginning ("pre") or its end ("post").

    Raises: DataError naming the first sequence that is none, or whose steps have another shape; ConfigError.

    Example:
        >>> pad_sequences([[1, 2, 3], [4]], padding="post")
        array([[1, 2, 3],
               [4, 0, 0]], dtype=int32)
    """
    for name, side in (("padding", padding), ("truncating", truncating)):
        if side not in ("pre", "post"):
            raise ConfigError(at=f"pad_sequences.{name}", got=side, expected='"pre" or "post"')
    if maxlen is not None and (isinstance(maxlen, bool) or not isinstance(maxlen, int) or maxlen < 1):
        raise ConfigError(at="pad_sequences.maxlen", got=maxlen, expected="a positive int or None")
    rows = list(sequences)
    for row, each in enumerate(rows):
        if not hasattr(each, "__len__") or isinstance(each, str):
            fix = "Give a list of lists: one sequence is [[1, 2, 3]]."
            raise DataError(f"row {row} is {each!r}, expected a sequence", at="pad_sequences", fix=fix)
    arrays = [np.asarray(as_array(each, f"pad_sequences: row {row}")) for row, each in enumerate(rows)]
    step = next((array.shape[1:] for array in arrays if len(array)), ())
    for row, array in enumerate(arrays):
        if len(array) and array.shape[1:] != step:
            raise DataError(
                f"the steps of row {row} have shape {array.shape[1:]}, those before {step}", at="pad_sequences"
            )
    length = max((len(array) for array in arrays), default=0) if maxlen is None else maxlen
    if isinstance(value, str) and np.dtype(dtype).kind not in "OUS":
        raise ConfigError(at="pad_sequences.value", got=value, expected=f"a number, for {np.dtype(dtype)}")
    padded = np.full((len(arrays), length, *step), value, dtype=dtype)
    for row, array in zip(padded, arrays, strict=True):
        kept = array[-length:] if truncating == "pre" else array[:length]
        if len(kept):
            start = length - len(kept) if padding == "pre" else 0
            row[start : start + len(kept)] = kept
    return padded


def _whole(values: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    if values.dtype.kind == "f" and values.size:
        odd = ~(np.isfinite(values) & (values == np.floor(values)))
        if odd.any():
            first = values.reshape(-1)[int(odd.reshape(-1).argmax())]
            raise DataError(at="to_categorical", got=float(first), expected="whole numbers: the classes from 0")
    return values.astype(np.int64)
