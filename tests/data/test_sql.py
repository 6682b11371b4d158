import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lepton_ai.core import DataError, UnknownNameError
from lepton_ai.data import read_sql, sql
from tests.contracts.tables import frames, records, same_as_table


@pytest.fixture
def base() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:")
    connection.executescript("create table t (a real, b text, y int); insert into t values (1, 'u', 0), (2, 'v', 1)")
    yield connection
    connection.close()


@settings(max_examples=30, deadline=None)
@given(frames(), st.integers(1, 15))
def test_both_ways_give_what_a_table_gives(frame: pd.DataFrame, rows: int) -> None:
    connection = sqlite3.connect(":memory:")
    connection.execute("create table t (size, count, colour, y)")
    connection.executemany("insert into t values (:size, :count, :colour, :y)", records(frame))
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sql, "ROWS", rows)
        same_as_table(read_sql("select * from t", connection, "y"), frame)
        same_as_table(read_sql("select * from t", connection, "y", cache=Path(folder) / "cache"), frame)
    connection.close()


def test_parameters_are_bound(base: sqlite3.Connection) -> None:
    assert len(read_sql("select * from t where b = ?", base, parameters=["u"])) == 1
    assert len(read_sql("select * from t where y < :most", base, parameters={"most": 5})) == 2
    with pytest.raises(DataError, match="the query gives no rows"):
        read_sql("select * from t where b = ?", base, parameters=["u' or '1'='1"])


def test_a_cache_answers_without_asking_again(base: sqlite3.Connection, tmp_path: Path) -> None:
    query = "select a, y from t where y <= ?"
    first = read_sql(query, base, "y", parameters=[5], cache=tmp_path / "cache")
    base.execute("insert into t values (3, 'w', 2)")
    assert len(read_sql(query, base, "y", parameters=[5], cache=tmp_path / "cache")) == len(first) == 2
    assert len(read_sql(query, base, "y", parameters=[6], cache=tmp_path / "cache")) == 3


def test_queries_that_fail(base: sqlite3.Connection, tmp_path: Path) -> None:
    text = r"read_sql\('selct \* from t'\): the database says: OperationalError: near \"selct\": syntax error"
    with pytest.raises(DataError, match=text):
        read_sql("selct *\n  from t", base)
    with pytest.raises(DataError, match="the database says: OperationalError: no such table: nowhere"):
        read_sql("select * from nowhere", base, cache=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()
    with pytest.raises(DataError, match="the database says: ProgrammingError: .*binding"):
        read_sql("select * from t where a = ?", base)
    with pytest.raises(DataError, match="the statement gives no rows, expected a SELECT"):
        read_sql("delete from t", base)
    with pytest.raises(DataError, match=r"two columns are called 'a'\. Name one: select \.\.\. as a_2"):
        read_sql("select a, a from t", base)
    closed = sqlite3.connect(":memory:")
    closed.close()
    with pytest.raises(DataError, match="the database says: ProgrammingError: Cannot operate on a closed database"):
        read_sql("select 1", closed)


def test_values_that_do_not_fit(base: sqlite3.Connection) -> None:
    with pytest.raises(DataError, match=r"Table\['a'\]: a bytes in row 0 where a number or a text belongs"):
        read_sql("select x'00' as a", base)
    with pytest.raises(DataError, match=r"Table\['a'\]: 'x' in row 1 among numbers"):
        read_sql("select 1 as a union all select 'x'", base)
    with pytest.raises(UnknownNameError, match="unknown column 'c'"):
        read_sql("select a from t", base, categories=["c"])
    assert read_sql("select y from t", base, categories=["y"]).column("y").categories == ("0", "1")
