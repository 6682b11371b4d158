"""`examine`: what it takes, what it says, and what it stores."""

import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lepton_ai.cleaning import Examination, Limits, check_names, clean, examine
from lepton_ai.core import ConfigError, DataError, LeptonError, ShapeError, StorageError, UnknownNameError, UsageError
from lepton_ai.data import Table
from tests.contracts.check import hold_finding
from tests.contracts.dirty import clean_columns, dirty_columns, dirty_images, write_csv

AGES = {"age": [float(value) for value in range(20, 80)], "town": ["Graz", "Wien"] * 30}


def test_the_same_data_gives_the_same_findings_however_it_comes(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", clean_columns())
    ways = (path, str(path), clean_columns(), pd.read_csv(path))
    found = [examine(way, "label", limits=Limits(now=1e9)).findings for way in ways]
    assert found[0] == found[1] == found[2] == found[3]


def test_it_survives_json(tmp_path: Path) -> None:
    found = examine(write_csv(tmp_path / "a.csv", dirty_columns()), "label")
    assert found.gaps is not None and found.findings and Examination.from_json(found.to_json()) == found
    with pytest.raises(DataError) as error:
        Examination.from_json(found.to_json().replace(b'"version": 1', b'"version": 2'))
    assert str(error.value) == "Examination.version: got 2, expected 1"
    with pytest.raises(DataError, match=r"^Examination.from_json: not an examination \("):
        Examination.from_json(b"[]")


def test_the_gravest_come_first(tmp_path: Path) -> None:
    found = examine(write_csv(tmp_path / "a.csv", dirty_columns()), "label")
    severities = [finding.severity for finding in found.findings]
    assert severities == sorted(severities, key=("error", "warning", "note").index)
    assert list(found.counts()) == ["error", "warning", "note"] and sum(found.counts().values()) == len(severities)
    lines = found.summary().splitlines()
    assert len(lines) == 1 + len(severities) and lines[0].startswith("400 rows, 17 columns: ")


def test_checks_that_cannot_be_made_say_why() -> None:
    runs = {run.name: run for run in examine(AGES).checks}
    assert runs["class_balance"].skipped == "no target of classes is named"
    assert runs["shared_rows"].skipped == "no other data is given"
    assert runs["broken_rules"].skipped == "no rule is stated"
    assert runs["missing_values"].skipped == "" and runs["missing_values"].scope == "everything"


def test_large_data_is_sampled_and_says_so() -> None:
    x = np.random.default_rng(0).normal(size=(300, 5))
    found = examine(x, checks=["near_duplicate_rows", "outliers"], limits=Limits(sample=100))
    assert {run.name: run.scope for run in found.checks} == {
        "near_duplicate_rows": "a sample of 100 of 300 rows",
        "outliers": "everything",
    }


@pytest.mark.parametrize(
    ("target", "problem"),
    [
        (["yes", "no"] * 30, "classification"),
        ([0, 1, 2] * 20, "classification"),
        (list(range(60)), "regression"),
        ([value + 0.5 for value in range(60)], "regression"),
    ],
)
def test_classes_are_told_from_amounts(target: list[object], problem: str) -> None:
    found = examine(AGES, np.array(target), checks=["class_balance"])
    assert found.problem == problem and found.target == "target"


def test_one_class_and_one_row_are_said() -> None:
    (found,) = examine(AGES, ["yes"] * 60, checks=["class_balance"]).findings
    assert found.evidence == "all 60 rows are 'yes'" and found.severity == "error"
    assert examine({"a": [1.0]}).rows == 1


def test_images_come_from_folders_and_arrays(tmp_path: Path) -> None:
    dirty_images(tmp_path)
    found = examine(tmp_path / "train", against=tmp_path / "test")
    assert found.kind == "images" and found.target == "class" and len(found.files) == found.rows
    assert {finding.check for finding in found.findings} >= {"undecodable_images", "shared_images", "duplicate_images"}
    colours = np.random.default_rng(0).random((20, 9, 8, 3))
    assert examine(colours, against=(colours[:2], [0, 1])).of("shared_images")[0].rows == (0, 1)


@pytest.mark.parametrize(
    ("arguments", "options", "kind", "said"),
    [
        ((AGES, "agee"), {}, UnknownNameError, "data: unknown target column 'agee'. Did you mean 'age'?"),
        ((AGES,), {"group": "who"}, UnknownNameError, "data: unknown group column 'who'. Known: age, town."),
        ((AGES,), {"rules": ["ages > 3"]}, UnknownNameError, "data: unknown column of a rule 'ages'. ..."),
        ((AGES,), {"rules": ["age !"]}, ConfigError, "a rule that cannot be read, 'age !'. Write ..."),
        ((AGES,), {"checks": ["outlier"]}, UnknownNameError, "examine.checks: unknown check 'outlier'. ..."),
        (("nowhere.csv",), {}, StorageError, "nowhere.csv: no such file"),
        ((np.zeros((2, 4, 4, 2)),), {}, ShapeError, "images: got (2, 4, 4, 2), expected (N, H, W) or ..."),
        ((np.zeros((2, 4, 4)), [1]), {}, ShapeError, "target: got (1,), expected (2,), one label for each image"),
        ((np.zeros((2, 4, 4)),), {"group": "a"}, UsageError, "examine: group with images. Leave group out: ..."),
    ],
)  # fmt: skip
def test_what_cannot_be_examined_says_why(
    arguments: tuple[object, ...], options: dict[str, object], kind: type[LeptonError], said: str
) -> None:
    with pytest.raises(kind) as error:
        examine(*arguments, **options)  # type: ignore[arg-type]
    start, cut, _ = said.partition("...")
    assert str(error.value).startswith(start) if cut else str(error.value) == said


def test_folders_without_images_are_refused(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    with pytest.raises(DataError) as error:
        examine(tmp_path)
    assert str(error.value) == f"{tmp_path}: no images. Give a folder that holds one folder of images for each class."
    with pytest.raises(UsageError) as usage:
        examine(tmp_path, "class")
    assert str(usage.value) == "examine: a target with a folder of images. The folders are the classes."


def test_the_names_of_the_checks() -> None:
    names = check_names()
    assert list(names) == sorted(set(names)) and len(names) > 30


def test_a_table_brings_its_target() -> None:
    table = Table.from_frame(pd.DataFrame({"a": [0.1, 0.7, 0.4], "y": ["no", "yes", "no"]}), target="y")
    assert examine(table, checks=["constant"]).target == "y"


def test_long_texts_take_no_more_room_than_they_need() -> None:
    texts = ["x" * 1_000_000, *(f"number {index}" for index in range(5000))]
    tracemalloc.start()
    examine({"text": texts}, checks=["constant", "duplicate_columns", "duplicate_rows"])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50e6


CELLS = st.one_of(
    st.none(),
    st.text(max_size=6),
    st.sampled_from(["1", "-999", "2.5", "inf", "nan", "2024-01-31", "?", "Ã¶", "1,000", " a", "A"]),
    st.integers(-(10**12), 10**12),
    st.floats(),
)


@given(st.data(), st.integers(1, 60), st.integers(1, 5))
@settings(max_examples=50, deadline=None)
def test_no_table_breaks_a_check(draw: st.DataObject, rows: int, width: int) -> None:
    few = [draw.draw(st.lists(CELLS, min_size=1, max_size=4)) for _ in range(width)]
    table = {f"c{i}": [cells[(row * row + i) % len(cells)] for row in range(rows)] for i, cells in enumerate(few)}
    table["c0"][0] = draw.draw(CELLS)
    found = examine(
        table, draw.draw(st.sampled_from([None, *table])), against=draw.draw(st.sampled_from([None, table]))
    )
    for finding in found.findings:
        hold_finding(finding, finding.check, rows, set(table))
    try:
        cleaned, _ = clean(table, found)
    except DataError:  # no row or no column was worth keeping
        return
    assert set(cleaned) <= set(table)
