"""The schema: what each column or input must be, learned from data and checked against new data."""

from typing import Any

import msgspec
import numpy as np
import torch
from torch import Tensor

from lepton_ai.core import DataError, ShapeError, unknown_name
from lepton_ai.data.arrays import Arrays
from lepton_ai.data.check import check_finite
from lepton_ai.data.dispatch import as_source
from lepton_ai.data.foreign import Batches
from lepton_ai.data.source import Indexed
from lepton_ai.data.stream import Stream
from lepton_ai.data.table import Table
from lepton_ai.data.tree import leaves

_SAMPLE = 256  # rows fetched from a source that does not hold its data in memory


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """One input, target or column. `shape` is that of one row; sizes of None are free.

    `low` and `high` are limits, each included. `categories` are the values that a column of texts may have.
    `missing` says whether NaN (or no text) is allowed.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...] = ()
    low: float | None = None
    high: float | None = None
    categories: tuple[str, ...] | None = None
    missing: bool = False


class Schema(msgspec.Struct, frozen=True, kw_only=True):
    """`inputs` and `targets`, by path: `x`, `x[1]`, `x['age']`, `y`; for a table by column.

    Example:
        >>> schema = Schema.of(np.zeros((4, 3)), np.array([0, 1, 2, 1]))
        >>> schema.check(np.ones((2, 3)), np.array([0, 7]))
        Traceback (most recent call last):
        lepton_ai.core.errors.DataError: y: got 7 in row 1, expected at most 2
    """

    inputs: tuple[Field, ...]
    targets: tuple[Field, ...] = ()

    @classmethod
    def of(cls, x: Any, y: Any = None, *, limits: bool = False) -> "Schema":
        """The schema of arrays, a source or a table. Whole-number targets always get their range as limits; with
        `limits` every number does.

        Raises: as `as_source`; DataError for ready batches, which have no schema until they are read.
        """
        if isinstance(x, Table) and y is None:
            names = [*x.names] + ([x.target] if x.target is not None else [])
            fields = {name: _column_field(x, name, limits) for name in names}
            return cls(
                inputs=tuple(fields[name] for name in x.names),
                targets=(fields[x.target],) if x.target is not None else (),
            )
        inputs, targets = _tensors(x, y)
        return cls(
            inputs=tuple(_field(at, tensor, limits) for at, tensor in inputs),
            targets=tuple(_field(at, tensor, limits or not tensor.is_floating_point()) for at, tensor in targets),
        )

    def check(self, x: Any, y: Any = None) -> None:
        """Refuse data that does not fit. Targets are checked where they are given.

        Raises: DataError for missing or unknown columns, values beyond limits, NaN, infinity, unknown categories;
        ShapeError for other shapes or dtypes. The message names the path.
        """
        if isinstance(x, Table) and y is None:
            _check_table(self, x)
            return
        inputs, targets = _tensors(x, y)
        _check_all("x", self.inputs, inputs)
        if targets:
            _check_all("y", self.targets, targets)


def _tensors(x: Any, y: Any) -> tuple[list[tuple[str, Tensor]], list[tuple[str, Tensor]]]:
    source = as_source(x, y, texts=True) if y is not None or not isinstance(x, Indexed) else x
    if isinstance(source, Stream):
        source = source.head(_SAMPLE)
    if isinstance(source, Batches):
        raise DataError("ready batches have no schema", at="Schema", fix="Give arrays, a table or an indexed source.")
    found, targets = source.x_all, source.y_all
    if found is None:
        # At most a sample: reading all of a folder of images to check it would be as long as an epoch.
        sample = torch.linspace(0, len(source) - 1, min(_SAMPLE, len(source))).round().to(torch.int64)
        found, fetched, _ = source.fetch(sample)
        targets = fetched if targets is None else targets
    return list(leaves(found, "x")), list(leaves(targets, "y"))


def _field(at: str, tensor: Any, limits: bool) -> Field:
    if not isinstance(tensor, Tensor):  # texts
        gone = any(_is_missing(text) for text in tensor.reshape(-1))
        return Field(name=at, dtype="string", shape=tuple(tensor.shape[1:]), missing=gone)
    finite = tensor[torch.isfinite(tensor)] if tensor.is_floating_point() else tensor
    ranged = limits and finite.numel() > 0
    return Field(
        name=at,
        dtype=str(tensor.dtype).removeprefix("torch."),
        shape=tuple(tensor.shape[1:]),
        low=float(finite.min()) if ranged else None,
        high=float(finite.max()) if ranged else None,
        missing=tensor.is_floating_point() and bool(torch.isnan(tensor).any()),
    )


def _column_field(table: Table, name: str, limits: bool) -> Field:
    column = table.column(name)
    if column.categories is not None:
        missing = any(value is None for value in column.values)
        return Field(name=name, dtype="category", categories=column.categories, missing=missing)
    ranged = limits and not bool(np.isnan(column.values).all())
    return Field(
        name=name,
        dtype=str(column.values.dtype),
        low=float(np.nanmin(column.values)) if ranged else None,
        high=float(np.nanmax(column.values)) if ranged else None,
        missing=bool(np.isnan(column.values).any()),
    )


def _check_all(at: str, fields: tuple[Field, ...], found: list[tuple[str, Tensor]]) -> None:
    known, given = [field.name for field in fields], [path for path, _ in found]
    missing = [name for name in known if name not in given]
    extra = [name for name in given if name not in known]
    if missing or extra:
        raise DataError(f"{', '.join(given) or 'nothing'}", at=at, expected=", ".join(known) or "nothing")
    tensors = dict(found)
    for field in fields:
        _check_tensor(field, tensors[field.name])


def _check_tensor(field: Field, tensor: Any) -> None:
    texts = not isinstance(tensor, Tensor)
    if texts and field.dtype != "string":
        raise DataError("strings where numbers belong", at=field.name, expected=field.dtype)
    if texts:
        gone = [row for row, text in enumerate(tensor.reshape(-1)) if _is_missing(text)]
        if gone and not field.missing:
            row = gone[0] // max(1, tensor[:1].size)
            raise DataError(f"{len(gone)} missing, the first in row {row}", at=field.name, expected="none")
        return
    if field.dtype == "string":
        raise ShapeError(at=field.name, got=str(tensor.dtype).removeprefix("torch."), expected="texts")
    dtype = str(tensor.dtype).removeprefix("torch.")
    # Whole numbers of any width fit where whole numbers or floats were; floats do not fit where whole numbers were.
    if dtype != field.dtype and (tensor.is_floating_point() and not field.dtype.startswith(("float", "bfloat"))):
        raise ShapeError(at=field.name, got=dtype, expected=field.dtype)
    shape = tuple(tensor.shape[1:])
    fits = len(shape) == len(field.shape) and all(b in (None, a) for a, b in zip(shape, field.shape, strict=False))
    if not fits:
        raise ShapeError(at=field.name, got=shape, expected=f"rows of shape {field.shape}")
    check_finite(tensor, field.name, field.missing)
    _check_limits(field, tensor)


def _is_missing(text: Any) -> bool:
    return not isinstance(text, str | bytes)


def _check_limits(field: Field, tensor: Tensor) -> None:
    for limit, words, beyond in ((field.low, "at least", torch.lt), (field.high, "at most", torch.gt)):
        bad = beyond(tensor, limit) if limit is not None else None
        if bad is not None and bool(bad.any()):
            flat = int(bad.reshape(-1).to(torch.uint8).argmax())
            row = flat // (tensor.numel() // len(tensor))
            value = tensor.reshape(-1)[flat].item()
            raise DataError(f"got {value:g} in row {row}", at=field.name, expected=f"{words} {limit:g}")


def _check_table(schema: Schema, table: Table) -> None:
    have = [*table.names] + ([table.target] if table.target is not None else [])
    for field in schema.inputs:
        if field.name not in have:
            raise unknown_name("column", field.name, have, at="Schema.check")
    for field in (*schema.inputs, *(target for target in schema.targets if target.name in have)):
        _check_column(field, table)


def _check_column(field: Field, table: Table) -> None:
    column = table.column(field.name)
    at = f"x[{field.name!r}]"
    if (column.categories is None) != (field.categories is None):
        got = "numbers" if column.categories is None else f"texts, the first {next(filter(None, column.values))!r}"
        raise DataError(f"got {got}", at=at, expected="numbers" if field.categories is None else "texts")
    if field.categories is not None:
        gone = np.array([value is None for value in column.values])
        odd = set(column.values[~gone]) - set(field.categories)
        if odd:
            value = min(odd)
            row = column.values.tolist().index(value)
            known = ", ".join(field.categories[:10]) + (", ..." if len(field.categories) > 10 else "")
            raise DataError(f"unknown value {value!r} in row {row}", at=at, expected=f"one of {known}")
    else:
        gone = np.isnan(column.values)
        numbers = Arrays(np.nan_to_num(column.values, nan=field.low if field.low is not None else field.high or 0.0))
        _check_limits(msgspec.structs.replace(field, name=at), numbers.x_all)
    if gone.any() and not field.missing:
        raise DataError(f"{int(gone.sum())} missing, the first in row {int(gone.argmax())}", at=at, expected="none")
