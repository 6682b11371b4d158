"""Tables from Parquet files: in memory, or row group by row group."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, overload

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lepton_ai.core import DataError, StorageError, load_extra, this_machine, unknown_name
from lepton_ai.data.cache import BoundedCache
from lepton_ai.data.columns import Chunk, Kind, Kinds, encode, gather
from lepton_ai.data.remote import Place, expand, local
from lepton_ai.data.source import Indexed
from lepton_ai.data.table import Table
from lepton_ai.rng import derive, permutation

_SHARE = 4  # a table of at most one part in so many of this machine's memory is read as a whole
_CACHE = 256 * 2**20


class _Group(NamedTuple):
    """A row group, decoded: x (rows, columns) float32, y (rows,) or None."""

    x: npt.NDArray[np.float32]
    y: npt.NDArray[Any] | None

    @property
    def nbytes(self) -> int:
        return self.x.nbytes + (0 if self.y is None else self.y.nbytes)


class _Part(NamedTuple):
    """Where a row group is."""

    place: Place
    number: int
    rows: int


@overload
def read_parquet(
    path: Place | Sequence[Place],
    target: str | None = None,
    *,
    columns: Sequence[str] | None = None,
    categories: Sequence[str] = (),
    in_memory: Literal[True],
) -> Table: ...


@overload
def read_parquet(
    path: Place | Sequence[Place],
    target: str | None = None,
    *,
    columns: Sequence[str] | None = None,
    categories: Sequence[str] = (),
    in_memory: Literal[False],
    cache_bytes: int = _CACHE,
) -> "ParquetTable": ...


@overload
def read_parquet(
    path: Place | Sequence[Place],
    target: str | None = None,
    *,
    columns: Sequence[str] | None = None,
    categories: Sequence[str] = (),
    in_memory: None = None,
    cache_bytes: int = _CACHE,
) -> "Table | ParquetTable": ...


def read_parquet(
    path: Place | Sequence[Place],
    target: str | None = None,
    *,
    columns: Sequence[str] | None = None,
    categories: Sequence[str] = (),
    in_memory: bool | None = None,
    cache_bytes: int = _CACHE,
) -> "Table | ParquetTable":
    """The table in Parquet files: paths, folders, patterns, addresses, or a list of them. Needs the extra `data`.

    `columns` (all, unless named) and the `target` are read, and nothing else; `categories` are texts whatever they
    hold. Without `in_memory` the size of the data decides: a Table if it takes at most a quarter of this machine's
    memory, else a ParquetTable, which holds at most `cache_bytes`.

    Raises: StorageError for files that are not there; DataError naming the file, if it is cut short or not Parquet, has
    other columns than the first, or has dates or nested columns; UnknownNameError for a column.
    """
    files = _Files(path, target, columns, categories)
    if in_memory is None:
        in_memory = files.size() <= this_machine().memory // _SHARE
    if in_memory:
        return gather((files.chunk(part) for part in files.parts), target)
    return ParquetTable(files, cache_bytes)


class ParquetTable(Indexed):
    """Rows of Parquet files: features as those of `Table.features`, float32 (B, F), and the target; decoded row groups
    are kept within `cache_bytes`.

    Made by `read_parquet`. Columns of texts, and the target, are read once at the start, to know their values. A
    shuffled pass takes the row groups in random order, as many at a time as fill half of the cache, and shuffles their
    rows: rows of one group stay near each other, and each group is read about once.

    Raises: DataError if one row group takes more than half of the cache; as `read_parquet`.
    """

    prefetch = 1

    def __init__(self, files: "_Files", cache_bytes: int) -> None:
        self._files = files
        kinds = Kinds(files.target)
        for part in files.parts:
            kinds.add(files.chunk(part, known=True))
        self.layout = kinds.layout()
        self._places = {
            kind.name: {text: place for place, text in enumerate(kind.categories)}
            for kind in (*self.layout.features, *((self.layout.target,) if self.layout.target else ()))
            if kind.categories is not None
        }
        self.labels, self.names = self.layout.labels, self.layout.names
        self.cache: BoundedCache[_Group] = BoundedCache(cache_bytes)
        self._row_bytes = 4 * len(self.layout.features) + (8 if files.target is not None else 0)
        self._rows = np.array([part.rows for part in files.parts], np.int64)
        self._starts = np.concatenate([[0], np.cumsum(self._rows)])
        largest = int(self._rows.argmax())
        if self._rows[largest] * self._row_bytes * 2 > cache_bytes:
            size = int(self._rows[largest]) * self._row_bytes
            fix = f"Pass cache_bytes={2 * size}, or write the file with smaller row groups."
            part = files.parts[largest]
            raise DataError(
                f"row group {part.number} takes {size} bytes",
                at=str(part.place),
                expected=f"at most half of cache_bytes={cache_bytes}",
                fix=fix,
            )

    def __len__(self) -> int:
        return int(self._starts[-1])

    def fetch(self, indices: Tensor) -> tuple[Tensor, Tensor | None, None]:
        wanted = indices.numpy()
        groups = np.searchsorted(self._starts, wanted, side="right") - 1
        x = np.empty((len(wanted), len(self.layout.features)), np.float32)
        y = np.empty(len(wanted), self._y_dtype()) if self.layout.target is not None else None
        for group in np.unique(groups).tolist():
            decoded = self.cache.get(group, lambda group=group: self._decode(group))  # type: ignore[misc]
            here = groups == group
            rows = wanted[here] - self._starts[group]
            x[here] = decoded.x[rows]
            if y is not None and decoded.y is not None:
                y[here] = decoded.y[rows]
        return self.layout.expand(x), None if y is None else torch.from_numpy(y), None

    def order(self, seed: int, number: int) -> npt.NDArray[np.int64]:
        groups = permutation(derive(seed, "groups"), number, len(self._rows))
        room = self.cache.max_bytes // 2 // self._row_bytes
        parts: list[npt.NDArray[np.int64]] = []
        window: list[npt.NDArray[np.int64]] = []
        held = 0
        for group in groups.tolist():
            if held + self._rows[group] > room:
                parts.append(self._mixed(window, seed, number, len(parts)))
                window, held = [], 0
            window.append(np.arange(self._starts[group], self._starts[group + 1]))
            held += int(self._rows[group])
        parts.append(self._mixed(window, seed, number, len(parts)))
        return np.concatenate(parts)

    @staticmethod
    def _mixed(window: list[npt.NDArray[np.int64]], seed: int, number: int, place: int) -> npt.NDArray[np.int64]:
        rows: npt.NDArray[np.int64] = np.concatenate(window)[
            permutation(derive(seed, "window", number), place, sum(map(len, window)))
        ]
        return rows

    def _y_dtype(self) -> npt.DTypeLike:
        target = self.layout.target
        return np.int64 if target is not None and (target.whole or target.categories is not None) else np.float32

    def _decode(self, group: int) -> _Group:
        found = self._files.chunk(self._files.parts[group])

        def codes(kind: Kind) -> npt.NDArray[np.float64]:
            return encode(found[kind.name], self._places.get(kind.name, {}))

        x = np.stack([codes(kind).astype(np.float32) for kind in self.layout.features], axis=1)
        target = self.layout.target
        return _Group(x, None if target is None else codes(target).astype(self._y_dtype()))


class _Files:
    """The row groups of some files, with the same columns, and how to read one."""

    def __init__(
        self,
        path: Place | Sequence[Place],
        target: str | None,
        columns: Sequence[str] | None,
        categories: Sequence[str],
    ) -> None:
        self.target, self.categories = target, frozenset(categories)
        self.parquet = load_extra("pyarrow.parquet", extra="data", purpose="read_parquet")
        self.arrow = load_extra("pyarrow", extra="data", purpose="read_parquet")
        self.parts: list[_Part] = []
        self._footers: dict[Place, Any] = {}
        for place in expand(path, (".parquet", ".pq")):
            footer, schema = self._footer(place)
            if not self._footers:
                self._types = {name: schema.field(name).type for name in schema.names}
                self.columns = self._chosen(schema.names, columns)
            self._check_same(place, schema)
            self._footers[place] = footer
            self.parts += [
                _Part(place, group, footer.row_group(group).num_rows)
                for group in range(footer.num_row_groups)
                if footer.row_group(group).num_rows
            ]
        if not self.parts:
            raise DataError("empty data: 0 rows", at=str(path))
        for name in self.columns:
            self._check_type(name)

    def size(self) -> int:
        """About the bytes that all rows take in memory, as a Table."""
        texts = sum(not self._is_number(self._types[name]) for name in self.columns)
        return sum(part.rows for part in self.parts) * (8 * len(self.columns) + 64 * texts)

    def chunk(self, part: _Part, *, known: bool = False) -> Chunk:
        """The columns of a row group; with `known`, of columns whose kind the schema tells, a first value alone.

        Raises: DataError naming the file, if its pages cannot be read.
        """
        wanted = [name for name in self.columns if not known or name == self.target or not self._plain(name)]
        try:
            footer = self._footers[part.place]
            with self.parquet.ParquetFile(local(part.place), metadata=footer, page_checksum_verification=True) as file:
                table = file.read_row_group(part.number, columns=wanted, use_threads=False)
            found = {name: self._values(name, table.column(name)) for name in wanted}
        except StorageError:
            raise
        except (self.arrow.ArrowException, OSError, ValueError) as error:
            raise _damaged(part.place, error) from error
        short = next((len(values) for values in found.values() if len(values) != part.rows), None)
        if short is not None:
            raise _damaged(part.place, f"row group {part.number} has {short} rows, not {part.rows}")
        return {name: found[name] if name in found else np.zeros(part.rows, np.float64) for name in self.columns}

    def _plain(self, name: str) -> bool:
        return self._is_number(self._types[name]) and name not in self.categories

    def _values(self, name: str, column: Any) -> npt.NDArray[Any]:
        kind = column.type
        if self.arrow.types.is_null(kind):
            return np.full(len(column), np.nan)
        if self._is_number(kind) and name not in self.categories:
            integer = self.arrow.types.is_integer(kind) or self.arrow.types.is_boolean(kind)
            whole = integer and column.null_count == 0 and kind != self.arrow.uint64()
            return np.asarray(column.cast(self.arrow.int64() if whole else self.arrow.float64(), safe=False).to_numpy())
        texts = column.cast(self.arrow.string()).to_numpy()
        found = np.array([*texts.tolist(), None], object)[:-1]
        found[found == ""] = None
        return found

    def _is_number(self, kind: Any) -> bool:
        types = self.arrow.types
        return bool(
            types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind) or types.is_decimal(kind)
        )

    def _is_text(self, kind: Any) -> bool:
        types = self.arrow.types
        if types.is_dictionary(kind):
            return self._is_text(kind.value_type)
        return bool(
            types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind) or types.is_null(kind)
        )

    def _chosen(self, names: Sequence[str], columns: Sequence[str] | None) -> list[str]:
        # pandas writes the index of a frame as a column of its own, of such a name.
        own = [name for name in names if not name.startswith("__index_level_")]
        chosen = list(dict.fromkeys(own if columns is None else columns))
        if self.target is not None and self.target not in chosen:
            chosen.append(self.target)
        for name in (*chosen, *self.categories):
            if name not in names:
                what = "target column" if name == self.target else "column"
                raise unknown_name(what, name, list(names), at="read_parquet")
        return chosen

    def _check_same(self, place: Place, schema: Any) -> None:
        for name in self.columns:
            if name not in schema.names:
                raise DataError(
                    f"no column {name!r}", at=str(place), expected=f"the columns of {next(iter(self._footers))}"
                )
            kind = schema.field(name).type
            if self._is_number(kind) != self._is_number(self._types[name]):
                what = f"column {name!r} is {kind}"
                raise DataError(what, at=str(place), expected=f"{self._types[name]}, as in {next(iter(self._footers))}")

    def _check_type(self, name: str) -> None:
        kind = self._types[name]
        if self._is_number(kind) or self._is_text(kind):
            return
        at = f"read_parquet, column {name!r}"
        if self.arrow.types.is_temporal(kind):
            raise DataError(
                f"dates or durations ({kind})", at=at, fix="Turn them into numbers first, or leave it out of columns."
            )
        raise DataError(
            f"values of type {kind}", at=at, expected="numbers or texts", fix="Leave it out: columns=[...]."
        )

    def _footer(self, place: Place) -> tuple[Any, Any]:
        try:
            with self.parquet.ParquetFile(local(place)) as file:
                return file.metadata, file.schema_arrow
        except StorageError:
            raise
        except (self.arrow.ArrowException, OSError, ValueError) as error:
            raise _damaged(place, error) from error


def _damaged(place: Place, error: Exception | str) -> DataError:
    what = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    fix = "It may have been cut short while it was written or copied: get it again."
    return DataError(f"not a whole Parquet file ({what})", at=str(place), fix=fix)
