"""What every chart is drawn with. Colours and fonts are classes of the stylesheet, never attributes, so that
a strict content policy holds and both colour schemes work."""

from collections.abc import Iterable
from typing import Any

from markupsafe import Markup, escape

WIDTH = 340  # units of every chart; fonts in the stylesheet are chosen for it, legible when drawn 300 px wide
WIDE = frozenset("mwMW@%—…")  # letters as wide as they are high
SERIES = 6  # colours in the palette


def text_width(text: str, size: float = 12) -> float:
    """A generous estimate of a text's width in units: nothing here can measure a font."""
    return sum(1.0 if ord(letter) > 0x2E80 or letter in WIDE else 0.6 for letter in text) * size


def shorten(text: str, room: float, size: float = 12) -> str:
    """`text`, ended with an ellipsis if it is wider than `room` units."""
    if text_width(text, size) <= room:
        return text
    while text and text_width(text + "…", size) > room:
        text = text[:-1]
    return text + "…"


def number(value: float) -> str:
    """A coordinate, to a tenth of a unit."""
    return f"{value:.1f}".removesuffix(".0")


def element(name: str, content: Markup | str = "", **attributes: object) -> Markup:
    """One element; all is escaped but content that is markup already. `class_` writes `class`, `a_b` writes `a-b`.

    Example:
        >>> element("text", "a < b", x=1.25, class_="tick")
        Markup('<text x="1.2" class="tick">a &lt; b</text>')
    """
    written = Markup("").join(
        Markup(' {}="{}"').format(
            key.rstrip("_").replace("_", "-"), number(value) if isinstance(value, float) else value
        )
        for key, value in attributes.items()
    )
    return Markup("<{0}{1}>{2}</{0}>").format(Markup(name), written, content)


def label(x: float, y: float, text: str, *, anchor: str = "middle", class_: str = "tick", size: float = 0) -> Markup:
    """A piece of text at a place. `size` fixes its height in units where it must fit a cell."""
    sized: dict[str, Any] = {"font_size": size} if size else {}
    return element("text", text, x=float(x), y=float(y), text_anchor=anchor, class_=class_, **sized)


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    """A straight line."""
    return element("line", x1=float(x1), y1=float(y1), x2=float(x2), y2=float(y2), class_=class_)


def drawing(
    parts: Iterable[Markup], *, width: float = WIDTH, height: float, title: str, description: str, wide: bool = False
) -> Markup:
    """The whole chart: an image with a name and a description for those who do not see it.

    A `wide` one keeps its natural size, and its box scrolls where the screen is narrower.
    """
    size = Markup("")
    if wide:
        size = Markup(' width="{}" height="{}"').format(number(width), number(height))
    return Markup(
        '<svg class="chart{}" viewBox="0 0 {} {}"{} role="img" aria-label="{}"><title>{}</title><desc>{}</desc>{}</svg>'
    ).format(
        Markup(" chart-wide" if wide else ""), number(width), number(height), size,
        f"{title}. {description}", title, description, Markup("").join(parts),
    )  # fmt: skip


def nothing_to_show(title: str, reason: str) -> Markup:
    """A chart's place when there is nothing to draw."""
    return drawing(
        [label(WIDTH / 2, 40, escape(reason), class_="axis-label")], height=80, title=title, description=reason
    )
