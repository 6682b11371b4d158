"""What specifications take, and what they say to everything else."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from lepton_ai.core import ConfigError, DataError, LeptonError, ShapeError, UnknownNameError
from lepton_ai.data import Table
from lepton_ai.tasks import Classes, Columns, Image, Numbers, Series, Text, Vector

TWO = Classes(labels=("no", "yes"))


def test_single_columns_and_channels_may_be_left_out() -> None:
    assert Vector(size=1).take([1, 2]).shape == (2, 1)
    assert Numbers().take([1, 2]).shape == (2, 1)
    assert Series(steps=3).take(np.zeros((2, 3))).shape == (2, 3, 1)
    images = Image(height=2, width=2, channels=1).take(np.full((5, 2, 2), 255))
    assert images.shape == (5, 2, 2, 1) and images.dtype == np.uint8
    assert Text().take(np.array([["a"], [None]], object)).tolist() == ["a", ""]


NAMES = ["no", "yes"]


@pytest.mark.parametrize(
    "y", [NAMES, pd.Series(NAMES), [0, 1], [0.0, 1.0], [[0], [1]], [False, True], np.array([0, 1], object)], ids=str
)
def test_classes_by_name_or_number(y: Any) -> None:
    codes = TWO.take(y)
    assert codes.tolist() == [0, 1] and codes.dtype == np.int64


def test_classes_among_targets() -> None:
    assert Classes.of([2, 0, 2]).labels == ("0", "1", "2")
    assert Classes.of(pd.Series(["b", "a"])).labels == ("a", "b")


def test_a_category_is_called_the_same_whatever_its_dtype() -> None:
    spec = Columns(categories=("c",))
    same: list[Any] = [[1, 2], [1.0, 2.0], ["1", "2"], pd.array([1, 2], "Int64"), pd.Categorical([1, 2])]
    for values in same:
        assert spec.take(pd.DataFrame({"c": values}))["c"].tolist() == [["1"], ["2"]]
    gaps = spec.take({"c": [None, np.nan, pd.NA, 1.5, True]})["c"]
    assert gaps.tolist() == [[""], [""], [""], ["1.5"], ["True"]]


def test_numbers_with_gaps_of_all_makes() -> None:
    spec = Columns(numbers=("n",))
    for values in ([1, None], [1.0, np.nan], pd.array([1, None], "Int64")):
        taken = spec.take(pd.DataFrame({"n": values}))["n"]
        assert taken.dtype == np.float32 and taken[0] == 1 and np.isnan(taken[1, 0])


def test_columns_of_a_table_without_its_target() -> None:
    frame = pd.DataFrame({"age": [31, 58], "job": ["nurse", "clerk"], "left": [0, 1]})
    table = Table.from_frame(frame, target="left")
    spec = Columns.of(table)
    assert spec == Columns(numbers=("age",), categories=("job",))
    assert spec.take(table)["job"].tolist() == [["nurse"], ["clerk"]]


X = np.zeros((3, 4))
MISTAKES: list[tuple[Any, type[LeptonError], str]] = [
    (lambda: Vector(size=0), ConfigError, "Vector.size: got 0, expected a positive int"),
    (lambda: Series(steps=True), ConfigError, "Series.steps: got True, expected a positive int"),
    (lambda: Text(split="words"), UnknownNameError, "Text: unknown split 'words'"),
    (lambda: Classes(labels=("a",)), ConfigError, "Classes.labels: got ('a',), expected two or more different names"),
    (Columns, ConfigError, "Columns: got [], expected at least one column, each named once"),
    (lambda: Columns(numbers=("a",), texts=("a",)), ConfigError, "Columns: got ['a', 'a'], expected at least one"),
    (lambda: Columns.of(pd.DataFrame({"code": [1]}), texts=("cod",)), UnknownNameError, "unknown column 'cod'"),
    (lambda: Vector(size=3).take(X), ShapeError, "x: got rows of shape (4,), expected (3,), as specified"),
    (lambda: Vector(size=4).take(X + np.inf), DataError, "x: 12 infinite in 3 of 3 rows, the first in row 0"),
    (lambda: Vector(size=4).take([["a"] * 4]), DataError, "x: strings where numbers belong"),
    (lambda: Columns(numbers=("a",)).take(X), DataError, "x: got 'ndarray', expected columns with names. Give a data"),
    (lambda: Columns(numbers=("a",)).take({"b": [1]}), UnknownNameError, "x lacks a column: unknown column 'a'"),
    (lambda: Columns(numbers=("a",)).take({"a": [1, "?"]}), DataError, "x['a']: the text '?' in row 1, expected a"),
    (lambda: Columns(numbers=("a",)).take({"a": X}), ShapeError, "x['a']: got (3, 4), expected (N,), one value for"),
    (lambda: Columns(texts=("a",)).take({"a": [{}]}), DataError, "x['a']: a dict in row 0, expected a text or"),
    (lambda: Columns(texts=("a",)).take(pd.DataFrame([["x", "y"]], columns=["a", "a"])), DataError, "x: two columns"),
    (lambda: Image(height=2, width=2).take(X[None]), DataError, "x: got 'float64', expected whole numbers"),
    (lambda: Image(height=2, width=2).take(np.full((1, 2, 2, 3), 256)), DataError, "x: got 'int64', expected whole"),
    (lambda: Image(height=2, width=2).take(np.zeros((1, 2, 3, 3), int)), ShapeError, "x: got rows of shape (2, 3, 3)"),
    (lambda: Series(steps=5).take(X), ShapeError, "x: got rows of shape (4, 1), expected (5, 1), as specified"),
    (lambda: Series(steps=None).take(X[:, :0]), ShapeError, "x: got (3, 0, 1), expected at least one step"),
    (lambda: Text().take("hello"), DataError, "x: got 'str', expected several texts. Give a list of texts: [text]."),
    (lambda: Text().take(["a", 3]), DataError, "x: 3 in row 1, expected a text"),
    (lambda: TWO.take([0, 2]), DataError, "y, row 1: got 2, expected a class from 0 to 1, or its name"),
    (lambda: TWO.take([0, np.nan]), DataError, "y, row 1: got nan, expected a class from 0 to 1, or its name"),
    (lambda: TWO.take(["no", "maybe"]), DataError, "y: unknown class 'maybe' in row 1, expected one of no, yes"),
    (lambda: TWO.take(np.eye(2)), ShapeError, "y: got (2, 2), expected (N,), one class for each row. From one-hot"),
    (lambda: Numbers().take(np.eye(2)), ShapeError, "y: got rows of shape (2,), expected (1,), as specified"),
    (lambda: Numbers().take([1, np.nan]), DataError, "y: 1 NaN in 1 of 2 rows"),
]  # fmt: skip


@pytest.mark.parametrize("mistake, kind, said", MISTAKES, ids=[said[:50] for _, _, said in MISTAKES])
def test_mistakes(mistake: Any, kind: type[LeptonError], said: str) -> None:
    with pytest.raises(kind) as caught:
        mistake()
    assert said in str(caught.value)
