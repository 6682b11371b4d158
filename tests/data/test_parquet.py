import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lepton_ai.core import DataError, StorageError, UnknownNameError
from lepton_ai.data import Loader, ParquetTable, Schema, Subset, Table, build_profile, read_parquet, split
from lepton_ai.layers import Dense
from lepton_ai.models import Sequential
from tests.contracts.tables import frames, same_as_table

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")


def write(path: Path, columns: dict[str, Any], rows: int = 100) -> Path:
    pq.write_table(pa.table(columns), path, row_group_size=rows)
    return path


def numbered(path: Path, rows: int = 100, group: int = 10) -> Path:
    return write(path, {"a": np.arange(rows), "b": np.arange(rows) / 2, "y": np.arange(rows) % 3}, group)


@settings(max_examples=30, deadline=None)
@given(frames(), st.integers(1, 50))
def test_both_ways_give_what_a_table_gives(frame: pd.DataFrame, group: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.parquet"
        frame.to_parquet(path, row_group_size=group)
        same_as_table(read_parquet(path, "y", in_memory=True), frame)
        same_as_table(read_parquet(path, "y", in_memory=False), frame)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=5), st.integers(1, 20), st.integers(0, 3), st.integers(0, 2))
def test_a_shuffled_pass_holds_each_row_once_and_reads_a_group_about_once(
    sizes: list[int], group: int, seed: int, epoch: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for number, rows in enumerate(sizes):
            numbered(Path(folder) / f"{number}.parquet", rows, group)
        table = read_parquet(folder, "y", in_memory=False, cache_bytes=16 * 4 * group)
        order = table.order(seed, epoch)
        assert sorted(order.tolist()) == list(range(sum(sizes)))
        assert order.tolist() == table.order(seed, epoch).tolist()
        half = Subset(table, torch.arange(0, len(table), 2))
        assert sorted(half.order(seed, epoch).tolist()) == list(range(len(half)))
        for _ in Loader(table, 5, shuffle=True, seed=seed).epoch(epoch):
            assert table.cache.bytes <= table.cache.peak <= table.cache.max_bytes
        assert table.cache.misses <= 2 * sum(-(-rows // group) for rows in sizes)


def test_memory_is_bounded_by_counted_bytes(tmp_path: Path) -> None:
    table = read_parquet(numbered(tmp_path / "a.parquet", 1000, 50), "y", in_memory=False, cache_bytes=4000)
    loader = Loader(table, 16, shuffle=True)
    assert sum(len(batch.x) for batch in loader.epoch(0)) == 1000
    assert 0 < table.cache.peak <= 4000 and table.cache.misses < 60
    part, _ = split(table, test=0.2)
    assert isinstance(part, Subset)
    before = table.cache.misses
    assert sum(len(batch.x) for batch in Loader(part, 16, shuffle=True, seed=5).epoch(1)) == 800
    assert table.cache.misses - before < 60  # a part keeps near what is read together


def test_the_size_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = numbered(tmp_path / "a.parquet")
    assert isinstance(read_parquet(path, "y"), Table)
    monkeypatch.setattr("lepton_ai.data.parquet._SHARE", 2**60)
    assert isinstance(read_parquet(path, "y"), ParquetTable)


def test_columns_files_and_patterns(tmp_path: Path) -> None:
    numbered(tmp_path / "b.parquet", 4)
    numbered(tmp_path / "a.parquet", 2)
    for path in (tmp_path, str(tmp_path / "*.parquet"), [tmp_path / "a.parquet", tmp_path / "b.parquet"]):
        found = read_parquet(path, "y", columns=["b"], in_memory=True)
        assert found.names == ("b",) and found.features()[:, 0].tolist() == [0, 0.5, 0, 0.5, 1, 1.5]
    zips = write(tmp_path / "zip.pq", {"zip": [123, None, 7], "d": pa.array(["u", "v", "u"]).dictionary_encode()})
    assert read_parquet(zips, categories=["zip"], in_memory=False).names == ("zip=123", "zip=7", "d=u", "d=v")
    frame = pd.DataFrame({"a": [1.0, 2.0]}, index=[5, 9])
    frame.to_parquet(tmp_path / "index.pq")
    assert read_parquet(tmp_path / "index.pq", in_memory=True).names == ("a",)


def test_files_that_are_no_parquet(tmp_path: Path) -> None:
    whole = numbered(tmp_path / "a.parquet").read_bytes()
    cut = tmp_path / "cut.parquet"
    cut.write_bytes(whole[:-20])
    text = r"cut\.parquet: not a whole Parquet file \(.*\)\. It may have been cut short"
    with pytest.raises(DataError, match=text):
        read_parquet(cut)
    cut.write_bytes(b"")
    with pytest.raises(DataError, match=r"cut\.parquet: not a whole Parquet file"):
        read_parquet(cut)
    cut.write_bytes(whole[:4] + bytes(len(whole) // 2) + whole[4 + len(whole) // 2 :])  # the footer is there
    with pytest.raises(DataError, match=r"cut\.parquet: not a whole Parquet file"):
        read_parquet(cut, in_memory=True)
    with pytest.raises(StorageError, match=r"none\.parquet: no such file"):
        read_parquet(tmp_path / "none.parquet")
    with pytest.raises(StorageError, match=r"none\*\.parquet: no file matches"):
        read_parquet(tmp_path / "none*.parquet")
    (tmp_path / "empty").mkdir()
    with pytest.raises(StorageError, match=r"no file that ends in \.parquet or \.pq"):
        read_parquet(tmp_path / "empty")


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2000), st.integers(0, 255), st.booleans())
def test_a_damaged_file_is_refused_or_read(at: int, byte: int, cut: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder) / "a.parquet", {"a": np.arange(30), "t": ["u", "v", None] * 10}, 10)
        content = bytearray(path.read_bytes())
        at %= len(content)
        content[at : None if cut else at + 1] = bytes([byte])
        path.write_bytes(bytes(content))
        for in_memory in (True, False):
            try:
                found = read_parquet(path, in_memory=in_memory)
            except (DataError, UnknownNameError):
                continue
            assert len(found) <= 30


def test_columns_that_do_not_fit(tmp_path: Path) -> None:
    path = numbered(tmp_path / "a.parquet")
    with pytest.raises(UnknownNameError, match="read_parquet: unknown target column 'z'"):
        read_parquet(path, "z")
    with pytest.raises(UnknownNameError, match="read_parquet: unknown column 'aa'. Did you mean 'a'"):
        read_parquet(path, columns=["aa"])
    other = write(tmp_path / "b.parquet", {"a": ["x"], "y": [1], "b": [1.0]})
    with pytest.raises(DataError, match=r"b\.parquet: column 'a' is string, expected int64, as in .*a\.parquet"):
        read_parquet([path, other])
    other = write(tmp_path / "b.parquet", {"a": [1], "y": [1]})
    with pytest.raises(DataError, match=r"b\.parquet: no column 'b', expected the columns of .*a\.parquet"):
        read_parquet([path, other])
    dates = write(tmp_path / "d.pq", {"t": pd.to_datetime(["2026-01-01"]), "l": [[1, 2]], "n": [1]})
    with pytest.raises(DataError, match=r"column 't': dates or durations \(timestamp"):
        read_parquet(dates)
    with pytest.raises(DataError, match=r"column 'l': values of type list<.*>, expected numbers or texts"):
        read_parquet(dates, columns=["l"])
    assert read_parquet(dates, columns=["n"], in_memory=True).names == ("n",)
    gaps = write(tmp_path / "g.pq", {"n": [1, 2, 3], "y": [1, None, 2]})
    for in_memory in (True, False):
        with pytest.raises(DataError, match=r"Table\['y'\]: no target in 1 of 3 rows, the first row 1"):
            read_parquet(gaps, "y", in_memory=in_memory)
    with pytest.raises(DataError, match="row group 0 takes 800 bytes, expected at most half of cache_bytes=100"):
        read_parquet(numbered(tmp_path / "big.pq", 50, 50), "y", in_memory=False, cache_bytes=100)
    with pytest.raises(DataError, match="empty data: 0 rows"):
        read_parquet(write(tmp_path / "none.pq", {"a": pa.array([], pa.int64())}))


def test_schema_profile_and_fit_as_of_a_table(tmp_path: Path) -> None:
    path = numbered(tmp_path / "a.parquet", 60, 7)
    table = read_parquet(path, "y", columns=["b"], in_memory=True)
    lazy = read_parquet(path, "y", columns=["b"], in_memory=False)
    assert Schema.of(lazy).inputs == Schema.of(table.features()).inputs
    assert build_profile(lazy, names=lazy.names).inputs == build_profile(table.features(), names=("b",)).inputs

    def losses(data: Any) -> Any:
        model = Sequential([Dense(3, activation="softmax", input_shape=(1,))])
        model.compile("adam", "sparse_categorical_crossentropy")
        if isinstance(data, ParquetTable):
            models.append(model)
        return model.fit(data, epochs=2, batch_size=16, shuffle=False, seed=1, verbose=0).history["loss"]

    models: list[Sequential] = []
    assert losses(lazy) == losses(table)
    # What `export` writes besides the graph.
    assert models[0].profile is not None and models[0].profile.inputs["input"][0].name == "b"
    assert models[0].samples.shape == (8, 1)
