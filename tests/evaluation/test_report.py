import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from markupsafe import Markup

from lepton_ai.core import ShapeError, StorageError
from lepton_ai.evaluation import (
    Chart,
    Code,
    Fact,
    Facts,
    Picture,
    Pictures,
    Report,
    Section,
    Table,
    Text,
    report_html,
    write_report,
)

EVIL = "<script>alert('x')</script>\"&"
VOID = {"meta", "img", "br", "link", "input"}


class Checker(HTMLParser):
    """Collects text and attributes, and sees that every element is closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.words: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data.strip())


def parse(page: str) -> Checker:
    checker = Checker()
    checker.feed(page)
    assert not checker.open
    return checker


EVERYTHING = Report(
    title=EVIL,
    subtitle=EVIL,
    created=EVIL,
    facts=(Fact(label=EVIL, value=EVIL, note=EVIL), Fact(label="n", value=1234567)),
    sections=tuple(
        Section(title=EVIL, lead=EVIL, blocks=(block,))
        for block in (
            Text(body=EVIL),
            Table(columns=(EVIL, "b"), rows=((EVIL, 1.23456789), ("x", 2)), title=EVIL, caption=EVIL),
            Chart(title=EVIL, svg=Markup("<svg><desc>a chart</desc></svg>"), caption=EVIL),
            Pictures(items=(Picture(uri="data:image/png;base64,AA==", caption=EVIL),), title=EVIL, caption=EVIL),
            Facts(items=(Fact(label=EVIL, value=EVIL, note=EVIL),), title=EVIL),
            Facts(items=(Fact(label=EVIL, value=0.5),), full=False),
            Code(body=EVIL, title=EVIL, caption=EVIL),
        )
    ),
)


def test_every_block_is_written_and_everything_is_escaped() -> None:
    page = parse(report_html(EVERYTHING))
    assert "script" not in page.tags
    assert page.words.count(EVIL) >= 35
    assert {"table", "figure", "svg", "img", "pre", "nav"} <= set(page.tags)
    assert "1,234,567" in page.words and "1.235" in page.words
    assert ("src", "data:image/png;base64,AA==") in page.attributes
    assert ("alt", EVIL) in page.attributes


def test_a_chart_that_is_not_markup_is_escaped() -> None:
    block = Chart(title="t", svg="<svg onload=alert(1)>")  # type: ignore[arg-type]
    page = report_html(Report(title="t", sections=(Section(title="s", blocks=(block,)),)))
    assert "<svg onload" not in page and "&lt;svg onload" in page


def test_links_of_the_contents_lead_somewhere() -> None:
    page = parse(report_html(EVERYTHING))
    ids = [value for key, value in page.attributes if key == "id"]
    links = [value for key, value in page.attributes if key == "href"]
    assert len(ids) == len(set(ids))
    assert links and all((link or "").removeprefix("#") in ids for link in links)


def test_an_empty_report_is_a_page() -> None:
    assert "h1" in parse(report_html(Report(title="nothing yet"))).tags


def test_columns_of_numbers_stand_right() -> None:
    table = Table(columns=("class", "share", "n", "name"), rows=(("7", "98 %", 3, "x1"), ("8", "n/a", 4, "2x")))
    assert table.numeric == (False, True, True, False)
    assert Table(columns=("n",), rows=((1,),)).numeric == (True,)
    assert Table(columns=("n",), rows=()).numeric == (False,)


def test_a_row_that_does_not_fit() -> None:
    with pytest.raises(ShapeError, match=r"Table\.rows\[1\]: got 1, expected 2 values, one for each column"):
        Table(columns=("a", "b"), rows=((1, 2), (3,)))


def test_write_report(tmp_path: Path) -> None:
    path = write_report(tmp_path / "deep" / "report.html", EVERYTHING)
    assert path.read_text(encoding="utf-8") == report_html(EVERYTHING)
    assert [file.name for file in path.parent.iterdir()] == ["report.html"]


def test_a_report_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(StorageError, match="could not write"):
        write_report(tmp_path / "folder", Report(title="t"))
    assert [file.name for file in tmp_path.iterdir()] == ["folder"]


def test_equal_reports_are_equal_bytes() -> None:
    assert report_html(EVERYTHING) == report_html(EVERYTHING)
    assert not re.search(r"\b20\d\d-\d\d-\d\d", report_html(Report(title="t")))
