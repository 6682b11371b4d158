"""`lepton data check`: what it prints, writes and refuses."""

import csv
import json
from pathlib import Path

import pytest

from lepton_ai.cleaning import Examination
from tests.contracts.command import Terminal
from tests.contracts.dirty import clean_columns, clean_images, dirty_columns, dirty_images, write_csv


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return write_csv(tmp_path / "train.csv", dirty_columns())


def test_findings_are_printed_the_gravest_first(lepton: Terminal, table: Path) -> None:
    done = lepton("data", "check", table, "--target", "label")
    assert done.code == 0 and done.err == ""
    lines = done.out.splitlines()
    assert lines[0].startswith("train.csv: 400 rows, 17 columns: ") and lines[0].endswith("notes")
    severities = [line.split()[0] for line in lines[1:] if line and line[0] in "ewn" and "  " in line]
    assert severities[0] == "error" and "note" in severities
    assert "sentinel_codes  b" in done.out and "--fix outliers:" in done.out
    assert "not made:" in done.out


def test_all_can_be_written(lepton: Terminal, table: Path, tmp_path: Path) -> None:
    test = write_csv(tmp_path / "test.csv", {name: values[:50] for name, values in dirty_columns().items()})
    html, found, cleaned = (tmp_path / name for name in ("r.html", "r.json", "cleaned.csv"))
    options = ("--group", "customer", "--time", "joined", "--rule", "age between 0 and 120", "--rule", "grade < 9")
    files = ("--html", html, "--json", found, "--clean", cleaned, "--fix", "outliers", "--fix", "identifiers")
    done = lepton("data", "check", table, "--target", "label", "--test", test, *options, *files)
    assert done.code == 0, done.err
    examination = Examination.from_json(found.read_bytes())
    assert {"shared_rows", "shared_groups", "time_overlap"} <= {each.check for each in examination.findings}
    assert len(examination.of("broken_rules")) == 2
    assert html.read_text().startswith("<!doctype html>")
    rows = list(csv.DictReader(cleaned.read_text(encoding="utf-8").splitlines()))
    changes = json.loads((tmp_path / "cleaned.changes.json").read_text())
    removed = sum(change["action"] == "drop rows" for change in changes)
    assert len(rows) == 400 - removed and "id" not in rows[0] and "empty" not in rows[0]
    assert f"{len(rows)} of 400 rows left; {removed} rows removed" in done.out.replace("\n", " ")


def test_clean_data_is_left_as_it_is(lepton: Terminal, tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", clean_columns())
    done = lepton("data", "check", path, "--clean", tmp_path / "b.csv")
    assert done.code == 0 and "0 errors" in done.out and "nothing changed" in done.out
    assert (tmp_path / "b.csv").read_bytes() == path.read_bytes()


def test_folders_of_images(lepton: Terminal, tmp_path: Path) -> None:
    dirty_images(tmp_path)
    done = lepton("data", "check", tmp_path / "train", "--test", tmp_path / "test", "--html", tmp_path / "i.html",
                  "--clean", tmp_path / "cleaned")  # fmt: skip
    assert done.code == 0, done.err
    assert "0/cut.png" in done.out and "images left; 3 rows removed" in done.out.replace("\n", " ")
    assert not (tmp_path / "cleaned" / "0" / "cut.png").exists() and (tmp_path / "cleaned" / "0" / "000.png").exists()
    assert "data:image/png" in (tmp_path / "i.html").read_text()


def test_mistakes_are_one_line(lepton: Terminal, table: Path, tmp_path: Path) -> None:
    assert lepton.mistake("data", "check", tmp_path / "no.csv") == f"{tmp_path}/no.csv: no such file"
    said = lepton.mistake("data", "check", table, "--target", "labels")
    assert said == "train.csv: unknown target column 'labels'. Did you mean 'label'?"
    assert (
        lepton.mistake("data", "check", table, "--fix", "outliers") == "--fix without --clean. Add --clean cleaned.csv."
    )
    said = lepton.mistake("data", "check", table, "--clean", table)
    assert said == f"--clean would overwrite {table}. Give another name: --clean cleaned.csv."
    said = lepton.mistake("data", "check", table, "--clean", tmp_path / "a.xlsx")
    assert said == f"--clean: got '{tmp_path}/a.xlsx', expected a name that ends in .csv"
    said = lepton.mistake("data", "check", table, "--rule", "age is 3")
    assert said.startswith("a rule that cannot be read, 'age is 3'. Write 'age between 0 and 120'")


def test_data_alone_shows_its_verbs(lepton: Terminal, tmp_path: Path) -> None:
    done = lepton("data", "--help")
    assert done.code == 0 and "check" in done.out
    clean_images(tmp_path)
    assert lepton("data", "check", tmp_path, "--rule", "a > 1").code == 1
