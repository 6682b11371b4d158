"""Files with faults are read; files that cannot be are refused with what to do."""

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lepton_ai.cleaning import Records, read_records
from lepton_ai.core import DataError, LeptonError, StorageError, UnknownNameError, UsageError
from lepton_ai.data import Table


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_lines_of_other_lengths_are_kept_and_marked(tmp_path: Path) -> None:
    records = read_records(write(tmp_path / "a.csv", b"a,b\n1,2\n3\n4,5,6\n\n7,8\n"))
    assert records.ragged == (1, 2) and len(records) == 4
    assert records["b"].raw.tolist() == ["2", "", "5", "8"] and records["b"].missing.tolist() == [
        False,
        True,
        False,
        False,
    ]


def test_bytes_that_are_no_text_are_marked(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "a,b\nGraz,1\nKöln,2\n".encode("latin-1"))
    assert read_records(path).undecoded == (1,) and "\ufffd" in read_records(path)["a"].raw[1]
    assert read_records(path, encoding="latin-1")["a"].raw[1] == "Köln"


@pytest.mark.parametrize("name", ["a.csv.gz", "a.tsv", "a.parquet", "bom.csv"])
def test_other_files_are_read(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name.endswith(".gz"):
        path.write_bytes(gzip.compress(b"a,b\n1,x\n2,y\n"))
    elif name.endswith(".tsv"):
        path.write_bytes(b"a\tb\n1\tx\n2\ty\n")
    elif name.endswith(".parquet"):
        pd.DataFrame({"a": [1, 2], "b": ["x", "y"]}).to_parquet(path)
    else:
        path.write_bytes(b"\xef\xbb\xbfa,b\r\n1,x\r\n2,y\r\n")
    records = read_records(path)
    assert list(records.columns) == ["a", "b"] and records["a"].values.tolist() == [1.0, 2.0]
    assert records.source == name


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("none.csv", None, "{path}: no such file"),
        ("a.xlsx", b"x", "{path}: a file 'a.xlsx', expected .csv, .tsv (also .gz), .parquet, or a folder of images"),
        ("a.csv", b"", "{path}: empty file. Give a file with a line of names and lines of values."),
        ("b.csv", b"a,b\n", "{path}: a line of names but no rows"),
        ("c.csv", b"a,a\n1,2\n", "{path}: two columns are called 'a'. Rename one."),
        ("d.csv", b"a;b\n1;2\n", "{path}: one single column, 'a;b'. Pass separator=';'."),
        ("e.parquet", b"PAR1 and no more", "{path}: no whole Parquet file (...)"),
        ("f.csv.gz", b"no gzip", "{path}: could not read: Not a gzipped file (b'no')"),
    ],
)
def test_what_cannot_be_read_says_why(tmp_path: Path, name: str, content: bytes | None, said: str) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises((StorageError, DataError)) as error:
        read_records(path)
    start, _, _ = said.format(path=path).partition("...")
    assert str(error.value).startswith(start)


def test_an_unknown_encoding_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError) as error:
        read_records(write(tmp_path / "a.csv", b"a\n1\n"), encoding="utf-9")
    assert str(error.value) == "encoding: got 'utf-9', expected the name of an encoding, such as 'latin-1'"


def test_records_of_what_is_in_memory() -> None:
    frame = pd.DataFrame({"a": [1, None], "b": ["x", None], "c": np.array(["2024-01-01", "NaT"], "datetime64[us]")})
    records = Records.of(frame)
    assert [column.kind for column in records.columns.values()] == ["number", "text", "date"]
    assert all(column.missing.tolist() == [False, True] for column in records.columns.values())
    table = Table.from_frame(pd.DataFrame({"a": [1.0, 2.0], "y": ["no", "yes"]}), target="y")
    assert list(Records.of(table).columns) == ["a", "y"]
    assert list(Records.of(np.eye(2), [0, 1]).columns) == ["0", "1", "target"]


ARRAY = "data: got (3,), expected an array (N, F), a data frame, a Table or a mapping of columns"
LENGTHS = "data: columns of different lengths: 'a' has 2, 'b' has 1"
TARGETS = "examine: a target beside a column 'target'. Write target='target'."
NEAREST = "data: unknown column 'agee'. Did you mean 'age'?"


@pytest.mark.parametrize(
    ("make", "kind", "said"),
    [
        (lambda: Records.of(np.zeros(3)), DataError, ARRAY),
        (lambda: Records.of({"a": [1, 2], "b": [1]}), DataError, LENGTHS),
        (lambda: Records.of({}), DataError, "data: empty data: no rows"),
        (lambda: Records.of({"target": [1]}, [1]), UsageError, TARGETS),
        (lambda: Records.of({"age": [1]})["agee"], UnknownNameError, NEAREST),
    ],
)
def test_what_cannot_be_records_says_why(make: object, kind: type[LeptonError], said: str) -> None:
    assert callable(make)
    with pytest.raises(kind) as error:
        make()
    assert str(error.value) == said
