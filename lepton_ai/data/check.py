"""Checks of what arrays hold: one length for all, no rows missing, nothing that is not finite."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lepton_ai.core import DataError, ShapeError
from lepton_ai.data.convert import as_array, share
from lepton_ai.data.source import Batch, Indexed, Subset
from lepton_ai.data.tree import leaves

_AT_ONCE = 1 << 22  # values of a subset gathered at a time

Missing = bool | frozenset[str]
"""Whether NaN is an answer: everywhere, nowhere, or in the arrays of these paths, such as `x[1]` or `x['age']`."""


def check_lengths(x: Any, y: Any = None, weight: Any = None) -> int:
    """The number of rows that all arrays in `x`, `y` and `weight` share.

    Raises: DataError if there are none, or two arrays differ; it names both. ShapeError for rows without values.
    """
    named = [*leaves(x, "x"), *leaves(y, "y"), *leaves(weight, "sample_weight")]
    if not named:
        raise DataError("empty data: no arrays", at="x", fix="Give at least one array.")
    first, rows = named[0][0], int(named[0][1].shape[0])
    for at, array in named:
        shape = tuple(int(size) for size in array.shape)
        if shape[0] != rows:
            fix = "Give one target and one weight for each row of x."
            raise DataError(f"different lengths: {first} has {rows} rows, {at} has {shape[0]}", fix=fix)
        if shape[0] and 0 in shape:
            raise ShapeError("rows without values", at=at, got=shape, expected="sizes of at least 1")
    if rows == 0:
        raise DataError("empty data: 0 rows", at=first, fix="Give at least one row.")
    return rows


def check_finite(array: Any, at: str = "x", allow_nan: Missing = False, names: Sequence[str] = ()) -> None:
    """Refuse infinity, and NaN unless `allow_nan` (everywhere, or in the arrays of these paths), in an array or a
    nest of them. `names` are those of columns.

    Raises: DataError with how many, in how many rows, and where the first is.

    Example:
        >>> check_finite(np.array([[1.0, 2.0], [np.nan, 4.0]]), names=("age", "pay"))
        Traceback (most recent call last):
        lepton_ai.core.errors.DataError: x: 1 NaN in 1 of 2 rows, the first in row 1, column 0 ('age'). Remove those \
rows or fill the gaps before training.
    """
    for path, leaf in leaves(array, at):
        tensor = _floats(leaf, path)
        if tensor is None or bool(torch.isfinite(tensor.sum())):
            continue  # a finite sum proves that all is finite, without a second array
        missing = allow_nan if isinstance(allow_nan, bool) else path in allow_nan
        bad = torch.isinf(tensor) if missing else ~torch.isfinite(tensor)
        if bool(bad.any()):
            raise _not_finite(tensor, bad, path, names, target=at.startswith("y"))


def check_source(source: Any, *, allow_nan: Missing = False) -> None:
    """`check_finite` on what `source` holds in memory: inputs (where `allow_nan` counts), targets and weights.

    Of a Subset its own rows count, and are numbered as they lie there.

    Raises: DataError as `check_finite`.
    """
    if isinstance(source, Indexed):
        root, indices = _root(source)
        for path, leaf in leaves(root.x_all, "x"):
            _check_rows(leaf, indices, path, allow_nan)
        check_finite(source.y_all, "y")
        check_finite(source.weight_all, "sample_weight")


def is_resident(source: Any) -> bool:
    """Whether `check_source` sees all of the inputs and targets; the batches of other sources need `check_batch`."""
    return isinstance(source, Indexed) and _root(source)[0].x_all is not None


def check_batch(batch: Batch, *, allow_nan: Missing = False) -> None:
    """`check_finite` on a batch of a source that is not in memory as a whole.

    Raises: DataError as `check_finite`; rows are those of the batch.
    """
    check_finite(batch.x, "x", allow_nan)
    check_finite(batch.y, "y")
    check_finite(batch.weight, "sample_weight")


def _root(source: Indexed) -> tuple[Indexed, Tensor | None]:
    """The source behind subsets (of subsets), and which of its rows they name; None is all."""
    indices: Tensor | None = None
    while isinstance(source, Subset):
        indices = source.indices if indices is None else source.indices[indices]
        source = source.source
    return source, indices


def _check_rows(leaf: Any, indices: Tensor | None, path: str, allow_nan: Missing) -> None:
    if indices is None:
        check_finite(leaf, path, allow_nan)
        return
    tensor = _floats(leaf, path)
    if tensor is None:
        return
    rows = max(1, _AT_ONCE // tensor[0].numel())
    indices = indices.to(tensor.device)
    if not all(bool(torch.isfinite(tensor[part].sum())) for part in torch.split(indices, rows)):
        check_finite(tensor[indices], path, allow_nan)  # all at once, so that the counts and the row are right


def _floats(leaf: Any, at: str) -> Tensor | None:
    """`leaf` as a tensor of floats, or None where it holds whole numbers."""
    value = as_array(leaf, at)
    if isinstance(value, np.ndarray):
        if value.dtype.kind != "f" or value.size == 0:
            return None
        value = share(value)
    return value if value.is_floating_point() and value.numel() else None


def _not_finite(tensor: Tensor, bad: Tensor, at: str, names: Sequence[str], *, target: bool) -> DataError:
    nan, infinite = int((torch.isnan(tensor) & bad).sum()), int(torch.isinf(tensor).sum())
    what = " and ".join(
        part for part in (f"{nan} NaN" if nan else "", f"{infinite} infinite" if infinite else "") if part
    )
    rows = int(bad.reshape(len(bad), -1).any(dim=1).sum())
    place = [int(i) for i in torch.unravel_index(bad.reshape(-1).to(torch.uint8).argmax(), bad.shape)]
    where = f"row {place[0]}"
    if len(place) == 2:
        where += f", column {place[1]}" + (f" ({names[place[1]]!r})" if place[1] < len(names) else "")
    elif len(place) > 2:
        where += f", at {tuple(place[1:])}"
    fix = "Remove those rows." if target else "Remove those rows or fill the gaps before training."
    return DataError(f"{what} in {rows} of {len(bad)} rows, the first in {where}", at=at, fix=fix)
