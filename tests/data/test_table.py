import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lepton_ai.core import ConfigError, DataError, MissingExtraError, StorageError, UnknownNameError, UsageError
from lepton_ai.data import Column, Table, csv_file, read_csv

CSV = "age,job,pay\n30,smith,1.5\n,baker,2.5\n50,,3.5\n"


def write(tmp_path: Path, content: str | bytes, name: str = "a.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_a_file_becomes_columns(tmp_path: Path) -> None:
    found = read_csv(write(tmp_path, CSV), target="pay")
    assert len(found) == 3 and found.names == ("age", "job") and found.labels == ()
    assert repr(found) == "Table(3 rows, columns=['age', 'job', 'pay'], target='pay')"
    assert found.column("job").categories == ("baker", "smith")
    assert found.column("job").values.tolist() == ["smith", "baker", None]
    assert found.feature_names() == ("age", "job=baker", "job=smith")
    gap = float("nan")
    assert np.array_equal(found.features(), np.array([[30, 0, 1], [gap, 1, 0], [50, 0, 0]]), equal_nan=True)
    assert np.array_equal(found.features(["job"], encode="codes"), np.array([[1], [0], [gap]]), equal_nan=True)
    assert found.feature_names(["job"], encode="codes") == ("job",)
    assert found.target_values().dtype == np.float32


def test_packed_files_and_other_separators(tmp_path: Path) -> None:
    packed = write(tmp_path, gzip.compress(CSV.encode()), "a.csv.gz")
    assert len(read_csv(packed)) == 3
    assert read_csv(write(tmp_path, CSV.replace(",", ";")), separator=";").names == ("age", "job", "pay")
    assert read_csv(write(tmp_path, "naïve\n1\n".encode("latin-1")), encoding="latin-1").names == ("naïve",)


def test_a_target_of_texts_is_classes(tmp_path: Path) -> None:
    found = read_csv(write(tmp_path, "x,kind\n1,b\n2,a\n3,b\n"), target="kind")
    assert found.labels == ("a", "b")
    assert found.target_values().tolist() == [1, 0, 1] and found.target_values().dtype == np.int64


def test_new_data_counts_in_the_categories_of_the_old() -> None:
    train = Table.from_frame(pd.DataFrame({"job": ["a", "b", "c"], "n": [1, 2, 3]}))
    test = Table.from_frame(pd.DataFrame({"n": [9, 8], "job": ["c", "a"]}))
    assert test.features(like=train).tolist() == [[0, 0, 1, 9], [1, 0, 0, 8]]
    with pytest.raises(DataError, match=r"Table\['job'\]: unknown class 'z' in row 0, expected one of a, b, c"):
        Table.from_frame(pd.DataFrame({"job": ["z"], "n": [1]})).features(like=train)
    with pytest.raises(DataError, match=r"Table\['job'\]: numbers where the training table has categories"):
        Table.from_frame(pd.DataFrame({"job": [1], "n": [1]})).features(like=train)
    with pytest.raises(UnknownNameError, match="unknown column 'job'"):
        Table.from_frame(pd.DataFrame({"jobs": ["a"], "n": [1]})).features(like=train)


def test_rows_keep_the_categories_of_the_whole() -> None:
    whole = Table.from_frame(pd.DataFrame({"job": ["a", "b"]}))
    assert whole.take([1]).features().tolist() == [[0, 1]]
    assert len(whole.take(np.array([True, False]))) == 1


@pytest.mark.parametrize(
    ("content", "kind", "text"),
    [
        ("", DataError, "empty file. Give a file with a line of names"),
        ("a,b\n", DataError, "a line of names but no rows"),
        ("a;b\n1;2\n", DataError, "one single column, 'a;b'. Pass separator=';'."),
        ("a\tb\n1\t2\n", DataError, r"Pass separator='\t'."),
        ("a,b\n1,2\n1,2,3\n", DataError, "Expected 2 fields in line 3, saw 3. Is ',' the separator?"),
        ("a,b\n1,2,3\n1,2,3\n", DataError, "lines hold more values than the first line has names"),
        (b"a,b\n1,\xff\n", DataError, "byte 0xff in line 2 is not utf-8. Pass the file's encoding"),
        ("a,b\n1,2\n", UnknownNameError, "unknown target column 'pric'"),
        ("price,b\n1,2\n", UnknownNameError, "unknown target column 'pric'. Did you mean 'price'?"),
    ],
)
def test_files_that_are_no_table(tmp_path: Path, content: str | bytes, kind: type[Exception], text: str) -> None:
    with pytest.raises(kind) as caught:
        read_csv(write(tmp_path, content), target="pric")
    assert text in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"none\.csv: no such file"):
        read_csv(tmp_path / "none.csv")


def test_pandas_is_an_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def absent(module: str, *, extra: str, purpose: str) -> Any:
        raise MissingExtraError(f"{purpose}: {module} from {extra}")

    monkeypatch.setattr(csv_file, "load_extra", absent)
    with pytest.raises(MissingExtraError, match="read_csv: pandas from data"):
        read_csv(tmp_path / "a.csv")


@pytest.mark.parametrize(
    ("frame", "text"),
    [
        (
            pd.DataFrame({"age": ["1", "2", "?", "3", "4", "5"]}),
            "Table['age']: 1 of 6 values are no numbers, the first '?' in row 2. Does it mean missing? "
            "read_csv(..., missing=['', '?']). Are all names? categories=['age'].",
        ),
        (pd.DataFrame({"d": pd.to_datetime(["2020-01-01"])}), "Table['d']: dates or durations"),
        (pd.DataFrame({"a": [[1, 2]]}), "Table['a']: a list ([1, 2]) where a number or a text belongs"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "two columns are called 'a'"),
        (
            pd.DataFrame({"a": ["1", "2"]}),
            "Table['a']: numbers written as text. Convert them: frame['a'].astype(float)",
        ),
        (pd.DataFrame({"a": []}), "empty data: 0 rows, 1 columns"),
        (np.ones(3), "a ndarray, expected a pandas DataFrame"),
    ],
)
def test_frames_that_are_no_table(frame: Any, text: str) -> None:
    with pytest.raises(DataError) as caught:
        Table.from_frame(frame)
    assert text in str(caught.value)


def test_a_column_can_be_declared_a_category(tmp_path: Path) -> None:
    path = write(tmp_path, "zip,n\n123,1\n124,2\n1A4,3\n125,4\n126,5\n127,6\n")
    with pytest.raises(DataError, match="are no numbers"):
        read_csv(path)
    assert read_csv(path, categories=["zip"]).column("zip").categories == ("123", "124", "125", "126", "127", "1A4")
    assert read_csv(path, missing=["1A4"]).column("zip").categories is None
    assert read_csv(path, categories=["zip", "n"]).column("n").categories == ("1", "2", "3", "4", "5", "6")
    with pytest.raises(UnknownNameError, match="unknown column 'zap'. Did you mean 'zip'"):
        read_csv(path, categories=["zap"])


def test_numbers_stored_as_objects_are_numbers() -> None:
    found = Table.from_frame(pd.DataFrame({"a": np.array([1, None, 2**70], object)}))
    assert np.array_equal(found.column("a").values, np.array([1, np.nan, 2.0**70]), equal_nan=True)


def test_columns_have_one_length() -> None:
    with pytest.raises(DataError, match="columns of different lengths: 'a' has 2, 'b' has 1"):
        Table([Column(name="a", values=np.ones(2)), Column(name="b", values=np.ones(1))])


def test_targets_must_be_there() -> None:
    frame = pd.DataFrame({"a": [1.0, None], "b": ["u", None]})
    with pytest.raises(UsageError, match="the table has no target. Name it"):
        Table.from_frame(frame).target_values()
    for name in ("a", "b"):
        with pytest.raises(DataError, match=rf"Table\['{name}'\]: no target in 1 of 2 rows, the first row 1"):
            Table.from_frame(frame, target=name).target_values()


def test_what_features_cannot_do() -> None:
    found = Table.from_frame(pd.DataFrame({"a": [1]}), target="a")
    with pytest.raises(DataError, match="no columns but the target"):
        found.features()
    with pytest.raises(UnknownNameError):
        found.features(["b"])
    with pytest.raises(ConfigError, match="got 'hash', expected 'one_hot' or 'codes'"):
        found.features(encode="hash")  # type: ignore[arg-type]


cell = st.none() | st.floats(allow_nan=False, allow_infinity=False, width=32) | st.integers(-(2**40), 2**40)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(cell, st.none() | st.text("abc", min_size=1)), min_size=1, max_size=20))
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[Any, Any]]) -> None:
    path = tmp_path_factory.mktemp("csv") / "t.csv"
    frame = pd.DataFrame({"n": [row[0] for row in rows], "t": [row[1] for row in rows], "one": 1})
    frame.to_csv(path, index=False)
    found = read_csv(path, categories=["t"])
    numbers = np.array([np.nan if row[0] is None else float(row[0]) for row in rows])
    if found.column("n").categories is None:
        assert np.allclose(found.column("n").values, numbers, equal_nan=True, rtol=1e-12)
    else:
        assert all(row[0] is None for row in rows)
    assert found.column("t").values.tolist() == [row[1] for row in rows]
