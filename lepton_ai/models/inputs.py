"""What a model is given, by the names of its inputs: columns of tables, dictionaries, or arrays in order."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lepton_ai.core import DataError, ShapeError, unknown_name
from lepton_ai.data import Batches, Indexed, Table, as_source, to_tensor
from lepton_ai.layers import SymbolicTensor, as_texts


def is_table(x: Any) -> bool:
    """Whether `x` has named columns: a data frame, or a `Table`."""
    return isinstance(x, Table) or (hasattr(x, "columns") and getattr(x, "ndim", 0) == 2)


def raw_source(
    x: Any, y: Any, weight: Any, specs: Sequence[SymbolicTensor], missing: Collection[str]
) -> Indexed | Batches:
    """The source of a model that takes texts, with its inputs as they came; see `conform` for what is in memory."""
    if not (is_table(x) or hasattr(x, "__array__") or isinstance(x, Mapping | list | tuple | str | bytes)):
        return as_source(x, y, weight, texts=True)
    labels: tuple[str, ...] = ()
    if isinstance(x, Table) and y is None and x.target is not None:
        y, labels = x.target_values(), x.labels
    source = as_source(conform(x, specs, missing), y, weight, texts=True)
    assert isinstance(source, Indexed)
    source.labels = labels
    return source


def by_name(x: Any, specs: Sequence[SymbolicTensor]) -> dict[str, Any]:
    """The parts of `x` for each input. Columns that no input is called by are left out.

    Raises: UnknownNameError for an input without a column, with the nearest; DataError for another number of inputs.
    """
    names = [spec.name for spec in specs]
    if is_table(x):
        have = list(x.names) if isinstance(x, Table) else [str(name) for name in x.columns]
        if len(names) == 1 and len(have) == 1:
            names = have
        return {spec.name: _column(x, name, have) for spec, name in zip(specs, names, strict=True)}
    if isinstance(x, Mapping):
        for name in names:
            if name not in x:
                raise unknown_name("column", name, [str(key) for key in x], at="x lacks an input of the model")
        return {name: x[name] for name in names}
    if len(names) == 1:
        return {names[0]: x[0] if isinstance(x, tuple) and len(x) == 1 else x}
    if not isinstance(x, list | tuple) or len(x) != len(names):
        got = len(x) if isinstance(x, list | tuple) else 1
        fix = "Give a data frame or a dict with a column for each."
        raise DataError(f"got {got} inputs, expected {len(names)}: {names}", at="x", fix=fix)
    return dict(zip(names, x, strict=True))


def conform(x: Any, specs: Sequence[SymbolicTensor], missing: Collection[str] = ()) -> dict[str, Any]:
    """`x` by the names of `specs`, each of its dtype and shape: tensors, or arrays of `str`.

    Inputs in `missing` take None and NaN among texts for "". A single column fits `(B,)` and `(B, 1)`.

    Raises: as `by_name`; DataError naming the column and the row of what is of another kind; ShapeError for shapes and
        lengths that do not fit.
    """
    given = by_name(x, specs)
    found: dict[str, Any] = {}
    rows = -1
    for spec in specs:
        at = f"x[{spec.name!r}]" if len(specs) > 1 else "x"
        if spec.dtype == "string":
            value: Any = as_texts(_not_alone(given[spec.name], at), at, missing=spec.name in missing)
        else:
            value = _of_dtype(_numbers(given[spec.name], spec.dtype, at), spec.dtype, at)
        value = _of_shape(value, tuple(spec.shape), at)
        if rows not in (-1, len(value)):
            raise DataError(f"{len(value)} rows, where {specs[0].name!r} has {rows}", at=at)
        rows = len(value)
        found[spec.name] = value
    return found


def _column(table: Any, name: str, have: list[str]) -> Any:
    if name not in have:
        raise unknown_name("column", name, have, at="x lacks a column that the model was built for")
    if have.count(name) > 1:
        raise DataError(f"two columns are called {name!r}", at="x", fix="Rename one.")
    return table.column(name).values if isinstance(table, Table) else table.iloc[:, have.index(name)]


def _not_alone(value: Any, at: str) -> Any:
    if isinstance(value, str | bytes):
        raise DataError(f"one text alone, {value!r}", at=at, fix="Give a list of texts: [text].")
    return value


def _numbers(value: Any, dtype: str, at: str) -> Tensor:
    kind = getattr(getattr(value, "dtype", None), "kind", "O")
    if kind not in "biuf" and not isinstance(value, Tensor):
        entries = value.tolist() if hasattr(value, "tolist") else list(value)
        row, text = next(((i, v) for i, v in enumerate(entries) if isinstance(v, str | bytes)), (-1, None))
        if row >= 0:
            raise DataError(
                f"the text {text!r} in row {row}, where the model was built for numbers ({dtype})",
                at=at,
                fix="Convert the column: pandas.to_numeric(column). A text among numbers often means missing.",
            )
    return to_tensor(value, at)


def _of_dtype(tensor: Tensor, dtype: str, at: str) -> Tensor:
    wanted = getattr(torch, dtype)
    if tensor.dtype == wanted:
        return tensor
    if wanted.is_floating_point:
        return tensor.to(wanted)
    cast = tensor.to(wanted)
    same = cast.to(tensor.dtype) == tensor
    if not bool(same.all()):
        place = int((~same).reshape(-1).to(torch.uint8).argmax())
        row = place // max(1, tensor[:1].numel())
        raise DataError(
            f"got {tensor.reshape(-1)[place].item():g} in row {row}",
            at=at,
            expected=f"{dtype}, as the model was built for",
            fix="A column of whole numbers becomes one of floats when a value is missing: fill the gaps.",
        )
    return cast


def _of_shape(value: Any, shape: tuple[int | None, ...], at: str) -> Any:
    got = tuple(value.shape)
    if len(got) == 1 and len(shape) == 2 and shape[1] == 1:
        value = value[:, None]
    elif len(got) == 2 and got[1] == 1 and len(shape) == 1:
        value = value[:, 0]
    elif len(got) == 0:
        raise ShapeError("one single value", at=at, expected="one for each row")
    got = tuple(value.shape)
    if len(got) != len(shape) or any(want not in (None, size) for want, size in zip(shape[1:], got[1:], strict=True)):
        raise ShapeError(f"got examples of shape {got[1:]}, expected {shape[1:]}", at=at)
    if len(value) == 0:
        return value if isinstance(value, Tensor) else np.empty(got, object)
    return value
