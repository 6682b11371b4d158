"""Results as pages: tables in Markdown, between markers that leave the words around them alone."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lepton_ai.core import write_atomic

REPOSITORY = Path(__file__).parents[1]


def save(
    report: dict[str, Any], page: Callable[[dict[str, Any], str], str], name: str, text: str, out: Path | None
) -> None:
    """Write a report as `name`.json, and by `page` into the page `text`: into the folder `out`, or where the
    repository has them."""
    results = (REPOSITORY / "benchmarks" / "results" if out is None else out) / f"{name}.json"
    place = (REPOSITORY / "docs" if out is None else out) / text
    results.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(results, json.dumps(report, indent=1).encode() + b"\n")
    write_atomic(place, page(report, place.read_text() if place.exists() else "").encode())
    print(f"written to {results}", flush=True)


def filled(old: str, blank: str, name: str, text: str) -> str:
    """`old` with `text` between the markers called `name`; `blank` stands in where there is no such page yet.

    Example:
        >>> filled("", "# Speed" + chr(10) + markers("speed"), "speed", "fast").splitlines()
        ['# Speed', '<!-- speed: begin -->', 'fast', '<!-- speed: end -->']
    """
    begin, end = markers(name).splitlines()
    before, _, rest = (old if begin in old and end in old else blank).partition(begin)
    return f"{before}{begin}\n{text}\n{end}{rest.partition(end)[2]}"


def markers(name: str) -> str:
    """Two lines, between which a benchmark writes."""
    return f"<!-- {name}: begin -->\n<!-- {name}: end -->"


def table(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table under its title, numbers to the right; nothing if it has no rows.

    Example:
        >>> print(table("Speed", ["", "of a"], [["b", "2"]]))
        **Speed**
        <BLANKLINE>
        |  | of a |
        | --- | ---: |
        | b | 2 |
    """
    if not rows:
        return ""
    lines = [heads, ["---", *("---:" for _ in heads[1:])], *rows]
    return "\n".join([f"**{title}**", "", *(f"| {' | '.join(line)} |" for line in lines)])
