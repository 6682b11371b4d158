import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lepton_ai.core import DataError, StorageError
from lepton_ai.data import DiskTable, Loader, Schema, build_profile, csv_file, read_csv, read_jsonl
from lepton_ai.data.columns import Kinds
from lepton_ai.data.memory_map import decode_once
from tests.contracts.tables import frames, same_as_table


@settings(max_examples=30, deadline=None)
@given(frames(), st.integers(1, 50))
def test_a_cached_csv_gives_what_a_table_gives(frame: pd.DataFrame, rows: int) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_file, "ROWS", rows)
        frame.to_csv(Path(folder) / "rows.csv", index=False)
        same_as_table(read_csv(Path(folder) / "rows.csv", "y", cache=Path(folder) / "cache"), frame)


def test_decoded_once_until_the_file_or_an_argument_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, cache = tmp_path / "a.csv", tmp_path / "cache"
    path.write_text("a,b,y\n1,u,0\n2,v,1\n")
    assert len(read_csv(path, "y", cache=cache)) == 2

    def state() -> int:
        return (cache / "columns.json").stat().st_ino

    first = state()
    assert len(read_csv(path, "y", cache=cache)) == 2 and state() == first
    assert read_csv(path, "y", cache=cache, categories=["a"]).names == ("a=1", "a=2", "b=u", "b=v") and state() != first
    path.write_text("a,b,y\n1,u,0\n2,v,1\n3,v,1\n")
    assert len(read_csv(path, "y", cache=cache)) == 3
    (cache / "x.npy").write_bytes((cache / "x.npy").read_bytes()[:-4])  # cut short: decoded anew
    assert read_csv(path, "y", cache=cache).fetch(torch.tensor([2]))[0].tolist() == [[3, 0, 1]]
    assert len(DiskTable(cache)) == 3


def test_other_folders_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a\n1\n")
    with pytest.raises(StorageError, match="holds other things than a decoded table. Give an empty folder"):
        read_csv(path, cache=tmp_path)
    assert path.exists()
    with pytest.raises(StorageError, match="holds other things"):
        read_csv(path, cache=path)
    with pytest.raises(StorageError, match="no table was decoded here, or not all of it"):
        DiskTable(tmp_path)


def test_a_failure_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_file, "ROWS", 2)
    path, cache = tmp_path / "a.csv", tmp_path / "cache"
    path.write_text("a\n1\n2\n")
    read_csv(path, cache=cache)
    path.write_text("a\n1\n2\nx\nz\n")
    with pytest.raises(DataError, match=r"Table\['a'\]: a text \('x'\) in row 2, where numbers came before"):
        read_csv(path, cache=cache)
    path.write_text("a\n1,2\n2,3,4\n")
    with pytest.raises(DataError, match=r"a\.csv: Expected 2 fields"):
        read_csv(path, cache=cache)
    assert len(DiskTable(cache)) == 2
    assert [each.name for each in tmp_path.iterdir() if each.name.startswith(".")] == []


def test_rows_without_a_target_and_no_features(tmp_path: Path) -> None:
    chunk = {"a": np.array([1.0, 2.0]), "y": np.array([np.nan, 1.0])}
    with pytest.raises(DataError, match=r"Table\['y'\]: no target in 2 of 4 rows, the first row 0"):
        decode_once(tmp_path / "c", "k", lambda: [chunk, chunk], "y")
    with pytest.raises(DataError, match="no columns but the target"):
        decode_once(tmp_path / "c", "k", lambda: [{"y": np.array([1])}], "y")
    with pytest.raises(DataError, match="empty data: 0 rows"):
        decode_once(tmp_path / "c", "k", list, None)


def test_texts_that_are_no_categories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.jsonl").write_text("".join(f'{{"id": "{number}", "y": 1}}\n' for number in range(20)))
    assert len(read_jsonl(tmp_path / "a.jsonl", "y").column("id").categories or ()) == 20
    monkeypatch.setattr(Kinds.__init__, "__defaults__", (None, 10))
    with pytest.raises(DataError, match=r"Table\['id'\]: more than 10 different texts\. Leave it out"):
        read_jsonl(tmp_path / "a.jsonl", "y", cache=tmp_path / "c")


def test_schema_profile_and_order_as_of_arrays(tmp_path: Path) -> None:
    chunks = [{"a": np.arange(5.0) + first, "y": np.arange(5) % 2} for first in (0, 5)]
    table = decode_once(tmp_path / "c", "k", lambda: chunks, "y")
    assert table.y_all.tolist() == [0, 1, 0, 1, 0] * 2 and table.x_all is None
    assert Schema.of(table).targets[0].high == 1
    profile = build_profile(table, names=table.names)
    assert profile.inputs["input"][0].mean == 4.5
    rows = [row for batch in Loader(table, 3, shuffle=True, seed=2).epoch(0) for row in batch.x[:, 0].tolist()]
    assert sorted(rows) == list(range(10)) and rows != sorted(rows)
