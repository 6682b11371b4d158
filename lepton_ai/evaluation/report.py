"""A report: sections of blocks, written as one page that works anywhere."""

from pathlib import Path
from typing import ClassVar

import msgspec
from markupsafe import Markup

from lepton_ai.core import ShapeError, write_atomic
from lepton_ai.web import render

Value = str | int | float


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """A value with its name, and what to know about it."""

    label: str
    value: Value
    note: str = ""


class Text(msgspec.Struct, frozen=True, kw_only=True):
    """Plain paragraphs; line breaks are kept."""

    kind: ClassVar[str] = "text"
    body: str


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """Rows under named columns. Numbers are written for people and stand right; one too wide scrolls in its own box.

    Raises: ShapeError if a row has not one value for each column.
    """

    kind: ClassVar[str] = "table"
    columns: tuple[str, ...]
    rows: tuple[tuple[Value, ...], ...]
    title: str = ""
    caption: str = ""
    full: bool = False

    def __post_init__(self) -> None:
        for index, row in enumerate(self.rows):
            if len(row) != len(self.columns):
                raise ShapeError(
                    at=f"Table.rows[{index}]", got=len(row), expected=f"{len(self.columns)} values, one for each column"
                )

    @property
    def numeric(self) -> tuple[bool, ...]:
        """Which columns hold numbers: written as such or, but in the first column, as text that begins with a digit."""
        return tuple(
            bool(self.rows) and all(_is_number(row[index], text=index > 0) for row in self.rows)
            for index in range(len(self.columns))
        )


def _is_number(value: Value, *, text: bool) -> bool:
    if not isinstance(value, str):
        return True
    return text and (value.lstrip("+-−±<>≤≥~ ")[:1].isdigit() or value in ("", "n/a"))


class Chart(msgspec.Struct, frozen=True, kw_only=True):
    """A drawing of `web`, with its title and what to see in it. `full` gives it a row of its own."""

    kind: ClassVar[str] = "chart"
    title: str
    svg: Markup
    caption: str = ""
    full: bool = False


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """A data URI (`web.picture` makes them) and its caption, the first line of which stands out."""

    uri: str
    caption: str


class Pictures(msgspec.Struct, frozen=True, kw_only=True):
    """Pictures side by side."""

    kind: ClassVar[str] = "pictures"
    items: tuple[Picture, ...]
    title: str = ""
    caption: str = ""


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """Names with their values."""

    kind: ClassVar[str] = "facts"
    items: tuple[Fact, ...]
    title: str = ""
    full: bool = True  # False: a list with the values at its right, to stand beside a chart


class Code(msgspec.Struct, frozen=True, kw_only=True):
    """Text in columns, such as a model's summary: kept as it is, scrolling in its own box."""

    kind: ClassVar[str] = "code"
    body: str
    title: str = ""
    caption: str = ""


Block = Text | Table | Chart | Pictures | Facts | Code


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """A heading, a sentence or two on what it shows, and its blocks, which stand side by side where there is room."""

    title: str
    lead: str = ""
    blocks: tuple[Block, ...]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """A page: `facts` are the cards at its head, the most important first; `created` is a date for its foot."""

    title: str
    subtitle: str = ""
    facts: tuple[Fact, ...] = ()
    sections: tuple[Section, ...] = ()
    created: str = ""


def report_html(report: Report) -> str:
    """The report as one HTML page: no script, no request to anywhere, everything in it escaped."""
    return render("report.html", report=report)


def write_report(path: Path | str, report: Report) -> Path:
    """Write the report to `path`, whole or not at all, and return the path.

    Raises: StorageError if it cannot be written; an old report is then untouched.
    """
    place = Path(path)
    write_atomic(place, report_html(report).encode("utf-8"))
    return place
