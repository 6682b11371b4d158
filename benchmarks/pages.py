"""Results as pages: tables in Markdown, between markers that leave the words around them alone."""

from collections.abc import Sequence


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
