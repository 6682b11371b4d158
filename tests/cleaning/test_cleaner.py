"""Cleaning does what is safe or asked for, says each change, and leaves what it was given alone."""

from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from lepton_ai.cleaning import Change, clean, copy_cleaned, examine, read_records, write_cleaned
from lepton_ai.core import StorageError, UnknownNameError, UsageError
from lepton_ai.data import Table
from tests.contracts.dirty import dirty_columns, dirty_images, write_csv

AGES = [*range(20, 70)]


def test_every_difference_has_a_change(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", dirty_columns(), more="1,2\n")
    before = path.read_bytes()
    records = read_records(path)
    found = examine(path, "label", rules=["age between 0 and 120"])
    cleaned, changes = clean(path, found)
    assert path.read_bytes() == before
    gone = {change.row for change in changes if change.action == "drop rows"}
    dropped = {change.column for change in changes if change.action == "drop columns"}
    kept = [row for row in range(len(records)) if row not in gone]
    assert len(cleaned) == len(kept) and set(cleaned.columns) == set(records.columns) - dropped
    said: dict[tuple[str, int], str] = {
        (str(change.column), int(change.row)): change.after or ""
        for change in changes
        if change.row is not None and change.column
    }
    for name in cleaned.columns:
        new = ["" if value is None else value for value in cleaned[name].raw]
        old = [said.get((name, row), records[name].raw[row]) for row in kept]
        assert new == old, name
    assert all(change.why and change.check for change in changes)
    assert {"empty", "version"} <= dropped and 400 in gone and 60 in gone


def test_what_is_clean_stays_clean(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", dirty_columns())
    cleaned, changes = clean(path, examine(path, "label"))
    log = write_cleaned(tmp_path / "b.csv", cleaned, changes)
    again = examine(tmp_path / "b.csv", "label")
    assert not [finding for finding in again.findings if finding.safe]
    assert log.name == "b.changes.json"
    assert tuple(msgspec.json.decode(log.read_bytes(), type=list[Change])) == changes


def test_a_data_frame_gives_a_data_frame() -> None:
    frame = pd.DataFrame(
        {
            "age": [*AGES, -5],
            "town": ["Graz", "graz"] + ["Graz", "Wien"] * 24 + ["Graz"],
            "one": 1,
            "score": [*range(50), -999],
        }
    )
    kept = frame.copy()
    cleaned, changes = clean(frame, examine(frame))
    pd.testing.assert_frame_equal(frame, kept)
    assert list(cleaned.columns) == ["age", "town", "score"] and len(cleaned) == 51
    assert np.isnan(cleaned["age"].iloc[50]) and cleaned["town"].iloc[1] == "Graz"
    assert [(change.check, change.row, change.column, change.before, change.after) for change in changes] == [
        ("spellings", 1, "town", "graz", "Graz"),
        ("impossible_values", 50, "age", "-5", None),
        ("sentinel_codes", 50, "score", "-999", None),
        ("constant", None, "one", None, None),
    ]


def test_arrays_pairs_and_tables_give_the_same() -> None:
    x = np.random.default_rng(0).normal(size=(60, 3))
    x[30] = x[10]
    y = np.arange(60) % 2
    cleaned, changes = clean(x, examine(x))
    assert cleaned.shape == (59, 3) and [change.row for change in changes] == [30]
    cleaned_x, cleaned_y = clean((x, y), examine(x, y))[0]
    assert cleaned_x.shape == (59, 3) and cleaned_y.tolist() == np.delete(y, 30).tolist()
    frame = pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "y": np.where(y, "yes", "no")})
    table = Table.from_frame(frame, target="y")
    result, _ = clean(table, examine(table))
    assert isinstance(result, Table) and len(result) == 59 and result.labels == ("no", "yes")


def test_checks_can_be_asked_for_and_left_out() -> None:
    table = {"age": [float(value) for value in AGES] + [-999.0, -999.0], "row": [f"r{i}" for i in range(52)]}
    found = examine(table)
    assert "row" in clean(table, found)[0] and "row" not in clean(table, found, fix=["identifiers"])[0]
    assert np.isnan(clean(table, found)[0]["age"][-1]) and clean(table, found, skip=["sentinel_codes"])[1] == ()
    with pytest.raises(UnknownNameError) as error:
        clean(table, found, fix=["identifier"])
    assert str(error.value) == "clean: unknown check with findings 'identifier'. Did you mean 'identifiers'?"


def test_another_table_than_was_examined_is_refused() -> None:
    with pytest.raises(UsageError) as error:
        clean({"a": [1.0, 2.0]}, examine({"a": [1.0, 2.0, 3.0]}))
    said = (
        "clean: 2 rows, but the examination is of 3 rows. Pass what was examined; with labels apart, the pair (x, y)."
    )
    assert str(error.value) == said


def test_images_that_stay_are_copied(tmp_path: Path) -> None:
    dirty_images(tmp_path)
    train = tmp_path / "train"
    found = examine(train)
    kept, changes = clean(train, found)
    assert {change.before for change in changes} == {"0/cut.png", "0/blank.png"}
    log = copy_cleaned(tmp_path / "cleaned", train, kept, changes)
    copied = sorted(path.relative_to(tmp_path / "cleaned") for path in (tmp_path / "cleaned").rglob("*.png"))
    assert copied == sorted(path.relative_to(train) for path in kept) and log.name == "cleaned.changes.json"
    with pytest.raises(StorageError):
        copy_cleaned(tmp_path / "cleaned", train, kept, changes)
    Image.new("L", (4, 4)).save(train / "0" / "new.png")
    with pytest.raises(UsageError) as error:
        clean(train, found)
    assert str(error.value) == "clean: the folder holds other files than were examined. Examine it anew."


def test_image_arrays_give_arrays() -> None:
    x = np.random.default_rng(0).integers(0, 255, (30, 8, 8)).astype(np.uint8)
    x[4] = 9
    (cleaned, y), changes = clean((x, np.arange(30) % 3), examine(x, np.arange(30) % 3))
    assert cleaned.shape == (29, 8, 8) and len(y) == 29 and [change.row for change in changes] == [4]
    assert clean(x, examine(x))[0].shape == (29, 8, 8)
