import gzip
import json
import tempfile
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lepton_ai.core import DataError, UnknownNameError
from lepton_ai.data import jsonlines, read_jsonl
from tests.contracts.tables import frames, records, same_as_table


def write(path: Path, *lines: object) -> Path:
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return path


@settings(max_examples=30, deadline=None)
@given(frames(), st.integers(1, 15))
def test_both_ways_give_what_a_table_gives(frame: pd.DataFrame, rows: int) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(jsonlines, "ROWS", rows)
        path = write(Path(folder) / "rows.jsonl", *records(frame))
        same_as_table(read_jsonl(path, "y"), frame)
        same_as_table(read_jsonl(path, "y", cache=Path(folder) / "cache"), frame)


def test_fields_are_named_by_their_path(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.jsonl",
        {"user": {"age": 30, "name": {"first": "Bo"}}, "size": [1, 2.5], "ok": True},
        "",
        {"user": {"age": None}, "size": [3, 4], "late": 1},
    )
    table = read_jsonl(path)
    assert table.names == ("user.age", "user.name.first", "size[0]", "size[1]", "ok", "late")
    assert table.column("size[1]").values.tolist() == [2.5, 4.0]
    assert table.column("user.name.first").values.tolist() == ["Bo", None]
    assert read_jsonl(path, columns=["user.age", "size"]).names == ("user.age", "size[0]", "size[1]")
    assert read_jsonl(path, "size[0]", columns=["user"]).names == ("user.age", "user.name.first")
    with gzip.open(tmp_path / "b.jsonl.gz", "wt") as file:
        file.write(path.read_text())
    assert len(read_jsonl(tmp_path)) == 4


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ('{"a": 1', r"a\.jsonl:2: not JSON \("),
        ("[1]", r"a\.jsonl:2: a list, expected an object"),
        ("3", r"a\.jsonl:2: a number, expected an object"),
        ({"l": [1, 2, 3]}, r"a\.jsonl:2: 'l' has 3 values where the first has 2\. Pad or cut"),
        ({"a": "x"}, r"Table\['a'\]: 'x' in .*a\.jsonl:2 among numbers\. If they are names: categories=\['a'\]"),
        ({"l": [1, {"b": "x"}], "a": "x"}, r"among numbers"),
    ],
)
def test_lines_that_do_not_fit(tmp_path: Path, line: object, text: str) -> None:
    path = write(tmp_path / "a.jsonl", {"a": 1, "l": [1, 2]}, line)
    for cache in (None, tmp_path / "cache"):
        with pytest.raises(DataError, match=text):
            read_jsonl(path, cache=cache)
    assert not (tmp_path / "cache").exists()


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"a": "gr\xfcn"}\n')
    with pytest.raises(DataError, match=r"a\.jsonl:1: not JSON \('utf-8' codec can't decode byte 0xfc"):
        read_jsonl(tmp_path / "a.jsonl")


def test_names_and_nothing(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", {"a": 1, "b": 2})
    with pytest.raises(UnknownNameError, match="read_jsonl: unknown column 'bb'. Did you mean 'b'"):
        read_jsonl(path, columns=["a", "bb"])
    with pytest.raises(UnknownNameError, match="unknown target column 'z'"):
        read_jsonl(path, "z")
    with pytest.raises(DataError, match=r"b\.jsonl: empty file"):
        read_jsonl(write(tmp_path / "b.jsonl", ""))
    assert read_jsonl(path, categories=["a"]).column("a").categories == ("1",)


def test_a_cache_holds_the_columns_of_the_first_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonlines, "ROWS", 2)
    path = write(tmp_path / "a.jsonl", {"a": 1}, {"a": 2}, {"a": 3, "b": 4})
    assert read_jsonl(path).names == ("a", "b")
    with pytest.raises(DataError, match="a new column 'b' in row 2, expected a"):
        read_jsonl(path, cache=tmp_path / "cache")
    assert read_jsonl(path, columns=["a"], cache=tmp_path / "cache").names == ("a",)
