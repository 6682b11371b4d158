"""Tables from CSV files."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, overload

from lepton_ai.core import DataError, load_extra
from lepton_ai.data.columns import Chunk
from lepton_ai.data.memory_map import DiskTable, decode_once
from lepton_ai.data.remote import Place, local, stamp
from lepton_ai.data.table import Table

ROWS = 50_000  # decoded at a time into a cache
_SEPARATORS = {";": "';'", "\t": "'\\t'", "|": "'|'", ",": "','"}


@overload
def read_csv(
    path: Place,
    target: str | None = None,
    *,
    separator: str = ",",
    encoding: str = "utf-8",
    missing: Sequence[str] = ...,
    categories: Sequence[str] = (),
    cache: None = None,
) -> Table: ...


@overload
def read_csv(
    path: Place,
    target: str | None = None,
    *,
    separator: str = ",",
    encoding: str = "utf-8",
    missing: Sequence[str] = ...,
    categories: Sequence[str] = (),
    cache: str | Path,
) -> DiskTable: ...


def read_csv(
    path: Place,
    target: str | None = None,
    *,
    separator: str = ",",
    encoding: str = "utf-8",
    missing: Sequence[str] = ("", "NA", "N/A", "NaN", "nan", "null", "NULL", "None"),
    categories: Sequence[str] = (),
    cache: str | Path | None = None,
) -> Table | DiskTable:
    """The table in a CSV file (also .gz, also an address) whose first line names the columns. Needs the extra `data`.

    With `cache`, for more rows than memory holds, the file is decoded once into that folder, 50,000 rows at a time, and
    the answer is a `DiskTable`; the folder is used again until the file or an argument changes.

    Raises: StorageError if there is no such file; DataError for an empty file, another separator, lines of other
    lengths, bytes that are not text in `encoding`, and as `Table.from_frame`; UnknownNameError for the target.
    """
    pandas = load_extra("pandas", extra="data", purpose="read_csv")
    state = stamp(path)
    path = local(path)
    options = {
        "sep": separator,
        "encoding": encoding,
        "na_values": list(missing),
        "keep_default_na": False,
        "low_memory": False,
        "dtype": dict.fromkeys(categories, "object"),
    }
    if cache is None:
        with _explained(pandas, path, separator, encoding):
            frame = pandas.read_csv(path, **options)
        _check(pandas, frame, path, separator)
        return Table.from_frame(frame, target, categories=categories)

    def chunks() -> Iterator[Chunk]:
        with (
            _explained(pandas, path, separator, encoding),
            pandas.read_csv(path, **options, chunksize=ROWS) as frames,
        ):
            for frame in frames:
                _check(pandas, frame, path, separator)
                table = Table.from_frame(frame, categories=categories)
                yield {name: table.column(name).values for name in table.names}

    return decode_once(cache, ["csv", state, separator, encoding, list(missing), list(categories)], chunks, target)


@contextlib.contextmanager
def _explained(pandas: Any, path: Path, separator: str, encoding: str) -> Iterator[None]:
    try:
        yield
    except pandas.errors.EmptyDataError as error:
        fix = "Give a file with a line of names and lines of values."
        raise DataError("empty file", at=str(path), fix=fix) from error
    except UnicodeDecodeError as error:
        raise DataError(
            f"byte 0x{error.object[error.start]:02x}{_line(path, encoding)} is not {encoding}",
            at=str(path),
            fix="Pass the file's encoding, often encoding='latin-1' or 'gb18030'.",
        ) from error
    except pandas.errors.ParserError as error:
        fix = f"Is {separator!r} the separator? Else quote values that hold it."
        what = str(error).removeprefix("Error tokenizing data. ").removeprefix("C error: ").strip()
        raise DataError(what, at=str(path), fix=fix) from error


def _check(pandas: Any, frame: Any, path: Path, separator: str) -> None:
    if frame.shape[1] == 1:
        other = next((mark for mark in _SEPARATORS if mark != separator and mark in str(frame.columns[0])), None)
        if other is not None:
            what = f"one single column, {str(frame.columns[0])!r}"
            raise DataError(what, at=str(path), fix=f"Pass separator={_SEPARATORS[other]}.")
    if not isinstance(frame.index, pandas.RangeIndex):
        raise DataError("lines hold more values than the first line has names", at=str(path), fix="Name every column.")
    if len(frame) == 0:
        raise DataError("a line of names but no rows", at=str(path))


def _line(path: Path, encoding: str) -> str:
    """The line that does not decode; pandas tells a place in a chunk only. Packed files have no lines to show."""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode(encoding)
            except UnicodeDecodeError:
                return "" if path.suffix == ".gz" else f" in line {number}"
    return ""
