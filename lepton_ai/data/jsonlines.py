"""Tables from JSON lines: one object in each line."""

import gzip
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, overload

import msgspec

from lepton_ai.core import DataError, unknown_name
from lepton_ai.data.columns import Chunk, as_values, gather
from lepton_ai.data.memory_map import DiskTable, decode_once
from lepton_ai.data.remote import Place, expand, local, stamp
from lepton_ai.data.table import Table

ROWS = 10_000  # lines decoded at a time


@overload
def read_jsonl(
    path: Place | Sequence[Place],
    target: str | None = None,
    *,
    columns: Sequence[str] | None = None,
    categories: Sequence[str] = (),
    cache: None = None,
) -> Table: ...


@overload
def read_jsonl(
    path: Place | Sequence[Place],
    target: str | None = None,
    *,
    columns: Sequence[str] | None = None,
    categories: Sequence[str] = (),
    cache: str | Path,
) -> DiskTable: ...


def read_jsonl(
    path: Place | Sequence[Place],
    target: str | None = None,
    *,
    columns: Sequence[str] | None = None,
    categories: Sequence[str] = (),
    cache: str | Path | None = None,
) -> Table | DiskTable:
    """The table in files of JSON lines (also .gz): paths, patterns, addresses, or a list of them.

    Fields inside objects are named by their path, `user.age`; lists of numbers become `size[0]`, `size[1]`, ... and
    must have one length. A field that a line does not have, or that is null, is missing. `columns` chooses fields (by
    path, or the outer name) and `target` one of them; `categories` are texts whatever they hold.

    With `cache`, for more rows than memory holds, the lines are decoded once into that folder, 10,000 at a time, and
    the answer is a `DiskTable`; the folder is used again until a file or an argument changes.

    Raises: StorageError for files that are not there; DataError with file and line for what is not JSON, not an object,
    lists of other lengths, dates and texts among numbers; UnknownNameError for columns.
    """
    files = expand(path, (".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz"))

    def chunks() -> Iterator[Chunk]:
        return _chunks(files, None if columns is None else (*columns, *([target] if target else [])), categories)

    if cache is None:
        return gather(_one_width(list(chunks())), target)
    key = ["jsonl", [stamp(file) for file in files], columns, categories]
    return decode_once(cache, key, chunks, target)


def _chunks(files: Sequence[Place], columns: Sequence[str] | None, categories: Sequence[str]) -> Iterator[Chunk]:
    decode = msgspec.json.Decoder().decode
    names: dict[str, None] = {}
    fields = _Fields(columns)
    rows: list[dict[str, Any]] = []
    places: list[str] = []

    def chunk() -> Chunk:
        found = {
            name: as_values(
                [row.get(name) for row in rows], f"Table[{name!r}]", places.__getitem__, category=name in categories
            )
            for name in names
        }
        rows.clear()
        places.clear()
        return found

    for file in files:
        copy = local(file)  # only now: a bounded cache of remote files may not hold all of them at once
        with gzip.open(copy) if copy.suffix == ".gz" else copy.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                at = f"{file}:{number}"
                try:
                    record = decode(line)
                except (msgspec.DecodeError, UnicodeDecodeError) as error:
                    raise DataError(f"not JSON ({error})", at=at) from error
                if not isinstance(record, dict):
                    raise DataError(f"a {_name(record)}", at=at, expected="an object: {...}")
                row = fields.row(record, at)
                names.update(dict.fromkeys(row))
                rows.append(row)
                places.append(at)
                if len(rows) == ROWS:
                    yield chunk()
    if not fields.known:
        raise DataError("empty file", at=str(files[0]))
    for name in (*(columns or ()), *categories):
        if name not in fields.known:
            raise unknown_name("column", name, list(fields.known), at="read_jsonl")
    if rows:
        yield chunk()


class _Fields:
    """Makes one flat row of each object; remembers which fields there are, and how long lists are."""

    def __init__(self, columns: Sequence[str] | None) -> None:
        self.columns = columns
        self.known: dict[str, None] = {}
        self._widths: dict[str, int] = {}

    def row(self, record: Any, at: str) -> dict[str, Any]:
        row: dict[str, Any] = {}
        self._flatten(record, "", row, at)
        return row

    def _flatten(self, value: Any, path: str, row: dict[str, Any], at: str) -> None:
        if path:
            self.known[path] = None
            if not self._wanted(path):
                return
        if isinstance(value, dict):
            for key, inner in value.items():
                self._flatten(inner, f"{path}.{key}" if path else str(key), row, at)
        elif isinstance(value, list):
            width = self._widths.setdefault(path, len(value))
            if width != len(value):
                fix = "Pad or cut them to one length, or leave the field out: columns=[...]."
                raise DataError(f"{path!r} has {len(value)} values where the first has {width}", at=at, fix=fix)
            for place, inner in enumerate(value):
                self._flatten(inner, f"{path}[{place}]", row, at)
        else:
            row[path] = value

    def _wanted(self, name: str) -> bool:
        """Whether `name` is a column, inside one, or on the way to one."""
        return self.columns is None or any(
            name == each or name.startswith((f"{each}.", f"{each}[")) or each.startswith((f"{name}.", f"{name}["))
            for each in self.columns
        )


def _one_width(chunks: list[Chunk]) -> Iterator[Chunk]:
    """Fields that came later are missing in the rows before."""
    names = dict.fromkeys(name for chunk in chunks for name in chunk)
    for chunk in chunks:
        size = len(next(iter(chunk.values())))
        nothing = as_values([None] * size, "", str, category=False)
        yield {name: chunk.get(name, nothing) for name in names}


def _name(value: Any) -> str:
    return {"list": "list", "str": "text", "NoneType": "null", "bool": "truth value"}.get(
        type(value).__name__, "number"
    )
