"""What the pages say is true: their code runs, prints what stands below it, and mistakes get the errors they show.

A page is one program: its blocks marked `python` run in order, in one namespace and an empty folder. A block marked
`text` right below one is what that prints; `...` stands for anything. In a table with the columns "Write" and "Lepton
says", each row's code must raise the error with that message. Blocks marked `sh` are not run.
"""

import builtins
import contextlib
import doctest
import importlib
import io
import operator
import re
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import lepton_ai
from lepton_ai.core import LeptonError

HERE = Path(__file__).parent.parent
PAGES = sorted([HERE / "README.md", HERE / "CONTRIBUTING.md", HERE / "CHANGELOG.md", *(HERE / "docs").rglob("*.md")])

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```\n", re.MULTILINE | re.DOTALL)
ROW = re.compile(r"^\|(.+)\|$")
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[\w-]+)?\)|src(?:set)?=\"([^\"]+)\"")


class Step(NamedTuple):
    """A block of code with what it prints (None: anything), or a row of a table with what it raises."""

    line: int
    code: str
    printed: str | None = None
    raised: str | None = None


def name_of(path: Path) -> str:
    return path.relative_to(HERE).as_posix()


def steps(text: str) -> list[Step]:
    return sorted([*blocks(text), *rows(text)])


def blocks(text: str) -> Iterator[Step]:
    found = list(BLOCK.finditer(text))
    for block, after in zip_longest(found, found[1:]):
        if block[1] == "python":
            follows = after is not None and after[1] == "text" and not text[block.end() : after.start()].strip()
            printed = after[2] if follows and after is not None else None
            yield Step(text.count("\n", 0, block.start(2)), block[2], printed)


def rows(text: str) -> Iterator[Step]:
    columns: list[str] = []
    for number, line in enumerate(text.splitlines()):
        row = ROW.match(line)
        cells = [cell.strip() for cell in row[1].replace("\\|", "\0").split("|")] if row else []
        if not cells:
            columns = []
        elif not columns:
            columns = cells
        elif "Lepton says" in columns and not set(line) <= set("|-: "):
            code, said = (cells[columns.index(each)].replace("\0", "|") for each in ("Write", "Lepton says"))
            yield Step(number, code.strip("`"), raised=said)


@pytest.fixture
def clean_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.chdir(tmp_path)
    return {"__name__": "__main__", "__builtins__": builtins}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_the_code_of_a_page_runs(page: Path, clean_room: dict[str, Any]) -> None:
    for step in steps(page.read_text()):
        at = f"{name_of(page)}:{step.line + 1}"
        code = compile("\n" * step.line + step.code, str(page), "exec")
        if step.raised is not None:
            with pytest.raises(LeptonError) as caught:
                exec(code, clean_room)
            assert same(f"{type(caught.value).__name__}: {caught.value}", step.raised), f"{at}: {caught.value}"
            continue
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            exec(code, clean_room)
        if step.printed is not None:
            assert same(output.getvalue(), step.printed), f"{at} prints:\n{output.getvalue()}"


def same(got: str, shown: str) -> bool:
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    return doctest.OutputChecker().check_output(shown.strip() + "\n", got.strip() + "\n", flags)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    prose = BLOCK.sub("", page.read_text())
    for link in (found[1] or found[2] for found in LINK.finditer(prose)):
        if "://" not in link:
            assert (page.parent / link).exists(), link


@pytest.mark.parametrize("room", lepton_ai._ROOMS)
def test_a_room_s_page_names_what_is_there(room: str) -> None:
    page = (HERE / "docs" / "rooms" / f"{room}.md").read_text()
    names = re.search(r"^## Main names\n(.*?)^## ", page, re.MULTILINE | re.DOTALL)
    if names is None:
        assert room == "cli", "the command's page lists verbs, which test_surfaces.py holds"
        return
    door = importlib.import_module(f"lepton_ai.{room}")
    for name in re.findall(r"`([A-Z]\w*(?:\.\w+)*)`", names[1]) + re.findall(r"^\| `(\w+)`", names[1], re.MULTILINE):
        assert name.partition(".")[0] in door.__all__, f"{room} has no {name}"
        operator.attrgetter(name)(door)


def test_every_page_is_reached_from_the_index() -> None:
    index = HERE / "docs" / "index.md"
    linked = {(index.parent / found[1]).resolve() for found in LINK.finditer(index.read_text()) if found[1]}
    assert {page for page in PAGES if page.is_relative_to(HERE / "docs")} <= {*linked, index}
