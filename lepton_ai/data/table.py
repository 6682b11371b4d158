"""Tables: named columns of numbers and categories, from a data frame or from whatever a reader found."""

import numbers
from collections.abc import Sequence
from typing import Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from lepton_ai.core import ConfigError, DataError, UsageError, unknown_name
from lepton_ai.data.encode import encode_labels
from lepton_ai.data.frame import is_frame, is_numeric

_ALMOST = 0.8  # a text column with at least this share of numbers is taken for a numeric one with faults


class Column(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """`values` (N,): float64 or int64 for numbers (NaN is missing), object for categories: str, None is missing.

    `categories` are the sorted values of a category column, and None for numbers.
    """

    name: str
    values: npt.NDArray[Any]
    categories: tuple[str, ...] | None = None


class Table:
    """Named columns of equal length, one of which may be the `target`.

    Example:
        >>> import pandas
        >>> frame = pandas.DataFrame({"size": [1.5, 2.0], "colour": ["red", None], "price": [10, 20]})
        >>> table = Table.from_frame(frame, target="price")
        >>> table.feature_names()
        ('size', 'colour=red')
        >>> table.features()
        array([[1.5, 1. ],
               [2. , 0. ]], dtype=float32)
        >>> table.target_values()
        array([10, 20])
    """

    def __init__(self, columns: Sequence[Column], target: str | None = None) -> None:
        self._columns = {column.name: column for column in columns}
        for column in columns:
            if len(column.values) != len(columns[0].values):
                rows = f"{columns[0].name!r} has {len(columns[0].values)}, {column.name!r} has {len(column.values)}"
                raise DataError(f"columns of different lengths: {rows}", at="Table")
        if target is not None and target not in self._columns:
            raise unknown_name("target column", target, list(self._columns), at="Table")
        self.target = target

    @classmethod
    def from_frame(cls, frame: Any, target: str | None = None, *, categories: Sequence[str] = ()) -> "Table":
        """Columns of a pandas DataFrame. Columns named in `categories` are categories whatever they hold.

        Raises: DataError for dates, for lists and other objects, for text that is mostly numbers (name the column
        in `categories`, or mark the odd value as missing), for two columns of one name, and for no rows.
        """
        if not is_frame(frame) or frame.ndim != 2:
            raise DataError(f"a {type(frame).__name__}", at="Table.from_frame", expected="a pandas DataFrame")
        names = [str(name) for name in frame.columns]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise DataError(f"two columns are called {twice!r}", at="Table", fix="Rename one.")
        if not names or len(frame) == 0:
            raise DataError(f"empty data: {len(frame)} rows, {len(names)} columns", at="Table")
        for name in categories:
            if name not in names:
                raise unknown_name("column", name, names, at="Table.categories")
        columns = [_column(name, frame.iloc[:, i], name in categories) for i, name in enumerate(names)]
        return cls(columns, target)

    def __len__(self) -> int:
        return len(next(iter(self._columns.values())).values)

    def __repr__(self) -> str:
        return f"Table({len(self)} rows, columns={list(self._columns)}, target={self.target!r})"

    @property
    def names(self) -> tuple[str, ...]:
        """All columns but the target, in order."""
        return tuple(name for name in self._columns if name != self.target)

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes of a target of categories, sorted; empty for a target of numbers, or none."""
        return (self._columns[self.target].categories or ()) if self.target is not None else ()

    def column(self, name: str) -> Column:
        """One column.

        Raises: UnknownNameError with the nearest name.
        """
        if name not in self._columns:
            raise unknown_name("column", name, list(self._columns), at="Table")
        return self._columns[name]

    def take(self, rows: Any) -> "Table":
        """The rows at `rows` (indices or a mask). Categories stay those of the whole."""
        chosen = [
            Column(name=column.name, values=column.values[np.asarray(rows)], categories=column.categories)
            for column in self._columns.values()
        ]
        return Table(chosen, self.target)

    def feature_names(self, names: Sequence[str] | None = None, *, encode: str = "one_hot") -> tuple[str, ...]:
        """The names of the columns that `features` returns; `"colour=red"` for a one-hot category."""
        found: list[str] = []
        for column in map(self.column, self.names if names is None else names):
            one_hot = column.categories is not None and encode == "one_hot"
            found += [f"{column.name}={value}" for value in column.categories or ()] if one_hot else [column.name]
        return tuple(found)

    def features(
        self,
        names: Sequence[str] | None = None,
        *,
        encode: Literal["one_hot", "codes"] = "one_hot",
        like: "Table | None" = None,
    ) -> npt.NDArray[np.float32]:
        """The columns `names` (all but the target) as float32 (N, F); missing numbers are NaN.

        Categories become a column of 0 and 1 for each value (all 0 where missing), or with `encode="codes"` their
        place in the sorted values (NaN where missing). Give the training table as `like` for new data: its
        categories count.

        Raises: DataError for a category that `like` does not have; UnknownNameError for a column.
        """
        if encode not in ("one_hot", "codes"):
            raise ConfigError(at="Table.features.encode", got=encode, expected="'one_hot' or 'codes'")
        parts: list[npt.NDArray[Any]] = []
        for column in map(self.column, (like or self).names if names is None else names):
            categories = (like or self).column(column.name).categories
            if (categories is None) != (column.categories is None):
                kinds = ["numbers" if kind is None else "categories" for kind in (column.categories, categories)]
                raise DataError(f"{kinds[0]} where the training table has {kinds[1]}", at=f"Table[{column.name!r}]")
            if categories is None:
                parts.append(column.values[:, None])
                continue
            codes = _codes(column, categories)
            if encode == "one_hot":
                parts.append(codes[:, None] == np.arange(len(categories)))
            else:
                parts.append(np.where(codes < 0, np.nan, codes)[:, None])
        if not parts:
            raise DataError("no columns but the target", at="Table.features", fix="Name at least one column.")
        return np.concatenate(parts, axis=1, dtype=np.float32, casting="unsafe")

    def target_values(self) -> npt.NDArray[Any]:
        """The target (N,): float32, int64, or for categories their place in `labels` (int64).

        Raises: UsageError without a target; DataError if one is missing.
        """
        if self.target is None:
            raise UsageError("the table has no target", at="Table", fix="Name it: read_csv(path, target='price').")
        column = self._columns[self.target]
        values = column.values if column.categories is None else _codes(column, column.categories)
        missing = values < 0 if column.categories is not None else np.isnan(values)
        if missing.any():
            where = f"{int(missing.sum())} of {len(self)} rows, the first row {int(missing.argmax())}"
            raise DataError(f"no target in {where}", at=f"Table[{self.target!r}]", fix="Remove those rows.")
        return values.astype(np.float32) if values.dtype.kind == "f" else values


def _column(name: str, series: Any, category: bool) -> Column:
    at = f"Table[{name!r}]"
    kind = getattr(series.dtype, "kind", "O")
    if kind in "mM":
        fix = "Turn it into numbers first, for example (frame.date - frame.date.min()).dt.days."
        raise DataError(f"dates or durations ({series.dtype})", at=at, fix=fix)
    if is_numeric(series) and not category:
        whole = kind in "iub" and not series.hasnans
        values = series.to_numpy(dtype=np.int64) if whole else series.to_numpy(dtype=np.float64, na_value=np.nan)
        return Column(name=name, values=values)
    present = series.notna().to_numpy()
    found = series.to_numpy(dtype=object)
    if not category and present.any() and all(isinstance(value, numbers.Real) for value in found[present]):
        return Column(name=name, values=np.where(present, found, np.nan).astype(np.float64))
    texts = np.array([str(value) if is_there else None for value, is_there in zip(found, present, strict=True)], object)
    texts[texts == ""] = None
    if not category:
        _refuse_objects(found[present], at)
        _refuse_almost_numbers(texts, at, str(name))
    values = np.unique(texts[[text is not None for text in texts]].astype(str))
    return Column(name=name, values=texts, categories=tuple(values.tolist()))


def _refuse_objects(values: npt.NDArray[Any], at: str) -> None:
    odd = next((value for value in values if not isinstance(value, str | int | float | np.generic)), None)
    if odd is not None:
        raise DataError(f"a {type(odd).__name__} ({odd!r}) where a number or a text belongs", at=at)


def _refuse_almost_numbers(texts: npt.NDArray[Any], at: str, name: str) -> None:
    """A column with a few odd texts among numbers ("?") must not silently become categories."""
    odd = [row for row, text in enumerate(texts) if text is not None and not _is_number(text)]
    there = sum(text is not None for text in texts)
    if there and not odd:
        fix = f"Convert them: frame[{name!r}].astype(float). If they are names: categories=[{name!r}]."
        raise DataError("numbers written as text", at=at, fix=fix)
    if there and 1 - len(odd) / there >= _ALMOST:
        value = texts[odd[0]]
        raise DataError(
            f"{len(odd)} of {there} values are no numbers, the first {value!r} in row {odd[0]}",
            at=at,
            fix=f"Does it mean missing? read_csv(..., missing=['', {value!r}]). Are all names? categories=[{name!r}].",
        )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _codes(column: Column, categories: tuple[str, ...]) -> npt.NDArray[np.int64]:
    """Places in `categories`; -1 where missing."""
    present = np.array([value is not None for value in column.values], bool)
    codes = np.full(len(present), -1, np.int64)
    if present.any():
        codes[present], _ = encode_labels(column.values[present].astype(str), categories, at=f"Table[{column.name!r}]")
    return codes
