"""Records from files: CSV with the faults it has, and Parquet."""

import csv
import gzip
import io
from pathlib import Path

import numpy as np

from lepton_ai.cleaning.columns import parse
from lepton_ai.cleaning.records import Records
from lepton_ai.core import DataError, StorageError, load_extra

SEPARATORS = {".csv": ",", ".tsv": "\t"}


def read_records(path: str | Path, *, separator: str | None = None, encoding: str = "utf-8") -> Records:
    """The records in a CSV, TSV (also .gz) or Parquet file. Lines of other lengths and bytes that are no text in
    `encoding` do not stop the reading: they become findings.

    Raises: StorageError if there is no such file; DataError for another kind of file, an empty one, one without
    rows, or one name for two columns.
    """
    path = Path(path)
    if not path.is_file():
        raise StorageError("no such file", at=str(path))
    kind = Path(path.stem).suffix.lower() if path.suffix == ".gz" else path.suffix.lower()
    if kind == ".parquet":
        return _parquet(path)
    if kind not in SEPARATORS:
        expected = ".csv, .tsv (also .gz), .parquet, or a folder of images"
        raise DataError(f"a file {path.name!r}", at=str(path), expected=expected)
    return _csv(path, separator or SEPARATORS[kind], encoding)


def _parquet(path: Path) -> Records:
    pandas = load_extra("pandas", extra="data", purpose="reading Parquet")
    try:
        frame = pandas.read_parquet(path)
    except Exception as error:  # pyarrow's errors share no parent of their own
        raise DataError(f"no whole Parquet file ({str(error).splitlines()[0]})", at=str(path)) from error
    records = Records.of(frame)
    records.source = path.name
    return records


def _csv(path: Path, separator: str, encoding: str) -> Records:
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError) as error:
        raise StorageError(f"could not read: {error}", at=str(path)) from error
    if encoding == "utf-8":
        content = content.removeprefix(b"\xef\xbb\xbf")
    try:
        text, whole = content.decode(encoding), True
    except UnicodeDecodeError:
        text, whole = content.decode(encoding, "replace"), False
    except LookupError as error:
        raise DataError(at="encoding", got=encoding, expected="the name of an encoding, such as 'latin-1'") from error
    del content
    csv.field_size_limit(1 << 27)
    try:
        lines = [line for line in csv.reader(io.StringIO(text, newline=""), delimiter=separator) if line]
    except csv.Error as error:
        raise DataError(f"no CSV ({error})", at=str(path)) from error
    if not lines:
        raise DataError("empty file", at=str(path), fix="Give a file with a line of names and lines of values.")
    names, rows = [name.strip() for name in lines[0]], lines[1:]
    _check_head(names, rows, separator, path)
    width = len(names)
    ragged = [row for row, line in enumerate(rows) if len(line) != width]
    for row in ragged:
        rows[row] = [*rows[row], *[""] * width][:width]
    undecoded = [] if whole else [row for row, line in enumerate(rows) if any("\ufffd" in value for value in line)]
    columns = []
    for index, name in enumerate(names):
        raw = np.empty(len(rows), object)
        raw[:] = [line[index] for line in rows]
        columns.append(parse(name, raw))
    return Records(columns, source=path.name, ragged=ragged, undecoded=undecoded)


def _check_head(names: list[str], rows: list[list[str]], separator: str, path: Path) -> None:
    if not rows:
        raise DataError("a line of names but no rows", at=str(path))
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"two columns are called {twice!r}", at=str(path), fix="Rename one.")
    if len(names) == 1:
        other = next((mark for mark in ";\t|," if mark != separator and mark in names[0]), None)
        if other is not None:
            raise DataError(f"one single column, {names[0]!r}", at=str(path), fix=f"Pass separator={other!r}.")
