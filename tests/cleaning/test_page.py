"""The page: it shows every finding, asks nothing of the network, and fits a telephone."""

import re
from pathlib import Path

import pytest

from lepton_ai.cleaning import examination_report, examine
from lepton_ai.evaluation import report_html
from tests.contracts.browser import BROWSER, measure
from tests.contracts.dirty import dirty_columns, dirty_images, other_columns, write_csv


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    folder = tmp_path_factory.mktemp("pages")
    columns = dirty_columns()
    columns["a_column_of_a_name_that_is_far_too_long_for_any_place_it_may_get"] = columns["b"]
    columns["<b>bold</b>"] = columns["town"]
    train, test = write_csv(folder / "a.csv", columns), write_csv(folder / "b.csv", other_columns())
    table = examine(train, "label", against=test, group="customer", time="joined", rules=["age between 0 and 120"])
    dirty_images(folder)
    images = examine(folder / "train", against=folder / "test")
    return report_html(examination_report(table)), report_html(examination_report(images, folder / "train"))


def test_every_finding_is_shown(tmp_path: Path) -> None:
    found = examine(write_csv(tmp_path / "a.csv", dirty_columns()), "label")
    page = report_html(examination_report(found))
    for title in {finding.title for finding in found.findings}:
        assert title[0].upper() + title[1:] in page, title
    assert page.count(">Evidence<") == len(found.findings)
    assert page.count("<svg class=") > 10


def test_it_is_one_file_without_scripts(pages: tuple[str, str]) -> None:
    for page in pages:
        assert "default-src 'none'" in page and "<script" not in page and "<b>bold" not in page
        assert not re.findall(r"(?:src|href)=\"(?!data:|#)", page)
    assert pages[1].count("<img") > 5


def test_nothing_found_is_said() -> None:
    report = examination_report(examine({"a": [0.1, 0.7, 0.4]}))
    assert [section.title for section in report.sections] == ["Findings", "Columns", "What was checked"]
    assert "Nothing was found." in report_html(report)


@pytest.mark.browser
@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")
@pytest.mark.parametrize("width", [360, 1280])
def test_the_pages_fit(width: int, pages: tuple[str, str], tmp_path: Path) -> None:
    for page in pages:
        facts = measure(page, width, tmp_path)
        assert facts["page"] == "1216px" and facts["images"]
        assert facts["scroll"] <= facts["client"], "the page scrolls sideways"
        assert not [text for text in facts["texts"] if text["out"] > 1.5], "labels are cut off"
        assert not [text for text in facts["texts"] if text["text"] and text["size"] < 9], "labels are too small"
