"""Tables as they came, faults and all: the one view that checks have of files, frames, tables and arrays."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lepton_ai.cleaning.columns import Array, Column, parse
from lepton_ai.core import DataError, UsageError, unknown_name
from lepton_ai.data import Table


class Records:
    """Columns of equal length by name. `typed` says that the values had types before they came here, as in a frame;
    `ragged` are rows of a file that had too few or too many values, `undecoded` those with bytes that are no text.

    Raises: DataError for no rows, and for columns of different lengths.

    Example:
        >>> records = Records.of({"age": ["31", "?", "28", "44", "50"], "town": ["Graz", "Graz", "Wien", "Linz", ""]})
        >>> len(records), records["age"].kind, records["town"].missing.sum().item()
        (5, 'number', 1)
    """

    def __init__(
        self,
        columns: Sequence[Column],
        *,
        source: str = "data",
        typed: bool = False,
        ragged: Sequence[int] = (),
        undecoded: Sequence[int] = (),
    ) -> None:
        self.columns = {column.name: column for column in columns}
        self.source, self.typed = source, typed
        self.ragged, self.undecoded = tuple(ragged), tuple(undecoded)
        if not columns or not len(columns[0]):
            raise DataError("empty data: no rows", at=source)
        for column in columns:
            if len(column) != len(columns[0]):
                rows = f"{columns[0].name!r} has {len(columns[0])}, {column.name!r} has {len(column)}"
                raise DataError(f"columns of different lengths: {rows}", at=source)

    @classmethod
    def of(cls, data: Any, y: Any = None) -> "Records":
        """The records in a pandas DataFrame, a `data.Table`, a mapping of columns, or an array (N, F) whose columns are
        called by their number; `y` (N,) becomes a column `target`.

        Raises: DataError for anything else, two columns of one name, or a second `target`.
        """
        if isinstance(data, Records):
            found = list(data.columns.values())
            if y is None:
                return data
        else:
            named = list(_named(data))
            names = [name for name, _ in named]
            twice = next((name for name in names if names.count(name) > 1), None)
            if twice is not None:
                raise DataError(f"two columns are called {twice!r}", at="data", fix="Rename one.")
            found = [parse(name, values) for name, values in named]
        if y is not None:
            if any(column.name == "target" for column in found):
                raise UsageError("a target beside a column 'target'", at="examine", fix="Write target='target'.")
            found.append(parse("target", _plain(y)))
        return cls(found, typed=not isinstance(data, Mapping))

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def __getitem__(self, name: str) -> Column:
        return self.column(name, "column")

    def __contains__(self, name: object) -> bool:
        return name in self.columns

    def column(self, name: str, kind: str) -> Column:
        """One column; `kind` says in the error what was looked for.

        Raises: UnknownNameError with the nearest name.
        """
        if name not in self.columns:
            raise unknown_name(kind, name, list(self.columns), at=self.source)
        return self.columns[name]

    def take(self, rows: Any) -> "Records":
        """The records at `rows` (indices or a mask)."""
        return Records([column.take(rows) for column in self.columns.values()], source=self.source, typed=self.typed)

    def like(self, other: "Records") -> "Records":
        """These records with each column read as the kind that it has in `other`."""
        columns = [
            column.as_kind(other.columns[name].kind)
            if name in other.columns and other.columns[name].kind != column.kind
            else column
            for name, column in self.columns.items()
        ]
        return Records(columns, source=self.source, typed=self.typed, ragged=self.ragged, undecoded=self.undecoded)


def row_hashes(records: Records, names: Sequence[str]) -> Array:
    """64 bits (N,) for each row, equal for rows that are equal in the columns `names`; a sum over the columns."""
    total = np.zeros(len(records), np.uint64)
    for name in names:
        total = total + records.columns[name].hashes
    return total


def _named(data: Any) -> Any:
    if hasattr(data, "iloc") and hasattr(data, "columns"):
        return ((str(name), _series(data.iloc[:, index])) for index, name in enumerate(data.columns))
    if isinstance(data, Table):
        names = (*data.names, *(() if data.target is None else (data.target,)))
        return ((name, data.column(name).values) for name in names)
    if isinstance(data, Mapping):
        return ((str(name), values) for name, values in data.items())
    array = _plain(data)
    if array.ndim != 2:
        raise DataError(
            at="data", got=array.shape, expected="an array (N, F), a data frame, a Table or a mapping of columns"
        )
    return ((str(index), array[:, index]) for index in range(array.shape[1]))


def _series(series: Any) -> Array:
    kind = getattr(series.dtype, "kind", "O")
    if kind == "M":
        return np.asarray(series.to_numpy(dtype="datetime64[us]"))
    if kind in "biuf":
        return np.asarray(series.to_numpy(dtype=np.float64, na_value=np.nan) if series.hasnans else series.to_numpy())
    return np.asarray(series.to_numpy(dtype=object))


def _plain(data: Any) -> Array:
    return np.asarray(data.detach().cpu() if hasattr(data, "detach") else data)
