from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import TensorDataset

from lepton_ai.core import DataError, ShapeError, UnknownNameError
from lepton_ai.data import Batches, Field, ResumeWarning, Schema, Table, TorchDataset

X = np.array([[1.0, np.nan], [3.0, 4.0]], np.float32)


def test_a_schema_states_what_it_saw_and_round_trips() -> None:
    schema = Schema.of({"a": X, "b": np.zeros((2, 4, 4, 1), np.uint8)}, np.array([0, 3]))
    assert schema.inputs == (
        Field(name="x['a']", dtype="float32", shape=(2,), missing=True),
        Field(name="x['b']", dtype="uint8", shape=(4, 4, 1)),
    )
    assert schema.targets == (Field(name="y", dtype="int64", low=0, high=3),)
    assert msgspec.json.decode(msgspec.json.encode(schema), type=Schema) == schema


def test_what_was_seen_passes() -> None:
    schema = Schema.of(X, np.array([0, 3]), limits=True)
    schema.check(X, np.array([1, 2]))
    schema.check(X)
    schema.check(X.astype(np.float64))
    schema.check(np.array([[1, 3]]))


@pytest.mark.parametrize(
    ("x", "y", "kind", "text"),
    [
        (np.ones((2, 3)), None, ShapeError, "x: got (3,), expected rows of shape (2,)"),
        (np.ones(2), None, ShapeError, "x: got (), expected rows of shape (2,)"),
        ((X, X), None, DataError, "x: x[0], x[1], expected x"),
        (np.array([[1, np.inf]]), None, DataError, "x: 1 infinite"),
        (np.array([[1, 2], [0.5, 2]]), None, DataError, "x: got 0.5 in row 1, expected at least 1"),
        (X, np.array([0, 4]), DataError, "y: got 4 in row 1, expected at most 3"),
        (X, np.array([0.5, 1]), ShapeError, "y: got 'float32', expected int64"),
        ([["a", "b"]], None, DataError, "x: strings where numbers belong"),
    ],
)
def test_arrays_that_do_not_fit(x: Any, y: Any, kind: type[Exception], text: str) -> None:
    schema = Schema.of(X, np.array([0, 3]), limits=True)
    with pytest.raises(kind) as caught:
        schema.check(x, y)
    assert text in str(caught.value)


def test_gaps_where_there_were_none() -> None:
    with pytest.raises(DataError, match="x: 1 NaN in 1 of 2 rows, the first in row 0, column 1"):
        Schema.of(np.ones((2, 2))).check(X)


def test_free_sizes_fit_any() -> None:
    schema = Schema(inputs=(Field(name="x", dtype="uint8", shape=(None, None, 3)),))
    schema.check(np.zeros((1, 5, 7, 3), np.uint8))
    with pytest.raises(ShapeError, match=r"rows of shape \(None, None, 3\)"):
        schema.check(np.zeros((1, 5, 7, 1), np.uint8))


def test_a_source_out_of_memory_is_sampled() -> None:
    source = TorchDataset(TensorDataset(torch.ones(400, 2), torch.arange(400)))
    schema = Schema.of(source)
    assert schema.inputs[0].shape == (2,) and schema.targets[0].high == 399
    schema.check(source)
    with pytest.warns(ResumeWarning), pytest.raises(DataError, match="ready batches have no schema"):
        Schema.of(Batches([torch.ones(1)]))


FRAME = pd.DataFrame({"age": [20.0, 30.0], "job": ["a", "b"], "pay": [1, 2]})


def test_a_table_has_a_field_for_each_column() -> None:
    schema = Schema.of(Table.from_frame(FRAME, target="pay"), limits=True)
    assert schema.inputs == (
        Field(name="age", dtype="float64", low=20, high=30),
        Field(name="job", dtype="category", categories=("a", "b")),
    )
    assert schema.targets == (Field(name="pay", dtype="int64", low=1, high=2),)
    schema.check(Table.from_frame(FRAME[["job", "age"]]))


@pytest.mark.parametrize(
    ("frame", "kind", "text"),
    [
        (FRAME.assign(age=[20, 31]), DataError, "x['age']: got 31 in row 1, expected at most 30"),
        (FRAME.assign(age=[np.nan, 21.0]), DataError, "x['age']: 1 missing, the first in row 0, expected none"),
        (FRAME.assign(job=["a", "z"]), DataError, "x['job']: unknown value 'z' in row 1, expected one of a, b"),
        (FRAME.assign(job=["a", ""]), DataError, "x['job']: 1 missing, the first in row 1"),
        (FRAME.assign(job=[1, 2]), DataError, "x['job']: got numbers, expected texts"),
        (FRAME.assign(age=["u", "v"]), DataError, "x['age']: got texts, the first 'u', expected numbers"),
        (FRAME.assign(pay=[1, 5]), DataError, "x['pay']: got 5 in row 1, expected at most 2"),
        (FRAME.rename(columns={"age": "ages"}), UnknownNameError, "unknown column 'age'. Did you mean 'ages'?"),
    ],
)
def test_tables_that_do_not_fit(frame: Any, kind: type[Exception], text: str) -> None:
    schema = Schema.of(Table.from_frame(FRAME, target="pay"), limits=True)
    with pytest.raises(kind) as caught:
        schema.check(Table.from_frame(frame))
    assert text in str(caught.value)


def test_texts_have_a_schema_too() -> None:
    schema = Schema.of({"job": ["nurse", "clerk"], "age": [30.0, 40.0]})
    assert [(field.name, field.dtype, field.shape) for field in schema.inputs] == [
        ("x['job']", "string", ()),
        ("x['age']", "float32", ()),
    ]
    schema.check({"job": ["pilot"], "age": [50.0]})
    with pytest.raises(DataError, match=r"x\['job'\]: 1 missing, the first in row 1, expected none"):
        schema.check({"job": ["pilot", None], "age": [50.0, 1.0]})
    with pytest.raises(ShapeError, match=r"x\['job'\]: got 'float32', expected texts"):
        schema.check({"job": [1.0], "age": [50.0]})
    with pytest.raises(DataError, match=r"x\['age'\]: strings where numbers belong, expected float32"):
        schema.check({"job": ["a"], "age": ["old"]})
