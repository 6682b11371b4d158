"""Bars: lying, for things with names; standing, for the bins of a histogram."""

import math
from collections.abc import Callable, Mapping, Sequence

from markupsafe import Markup

from lepton_ai.core import ShapeError
from lepton_ai.web.numbers import compact, significant, tick_labels, ticks
from lepton_ai.web.svg import WIDTH, drawing, element, label, line, nothing_to_show, shorten, text_width

ROW = 22.0
HEIGHT = 200.0


def bar_chart(
    values: Mapping[str, float], *, title: str, show: Callable[[float], str] = significant, highest: float | None = None
) -> Markup:
    """One lying bar for each name, its value written at its end by `show`, as inline SVG.

    Bars start at 0 and are scaled to `highest`, or to the largest value. Values that are not finite, or below 0,
    get no bar but keep their text.

    Example:
        >>> "training" in bar_chart({"training": 41.0, "export": 6.5}, title="Time")
        True
    """
    finite = [value for value in values.values() if math.isfinite(value)]
    if not values:
        return nothing_to_show(title, "Nothing to show.")
    scale = highest or max([*finite, 0.0]) or 1.0
    texts = [show(value) for value in values.values()]
    names = [shorten(name, WIDTH * 0.42) for name in values]
    left = 8 + max(text_width(name) for name in names)
    right = WIDTH - 8 - max(text_width(text) for text in texts)
    parts = []
    for row, ((name, value), short, text) in enumerate(zip(values.items(), names, texts, strict=True)):
        y = 4 + row * ROW
        width = max(0.0, min(value / scale, 1.0)) * (right - left) if math.isfinite(value) else 0.0
        tip = element("title", f"{name}: {text}")
        bar = element("rect", x=left, y=y + 5, width=width, height=ROW - 10, rx=2, class_="bar")
        parts += [
            label(left - 8, y + 15, short, anchor="end", class_="legend"),
            element("g", tip + bar),
            label(left + width + 6, y + 15, text, anchor="start", class_="value"),
        ]
    described = "; ".join(f"{name}: {text}" for name, text in zip(values, texts, strict=True))
    return drawing(parts, height=len(values) * ROW + 8, title=title, description=described)


def histogram(
    counts: Sequence[int],
    edges: Sequence[float],
    *,
    title: str,
    x_label: str = "",
    marks: Mapping[str, float] | None = None,
) -> Markup:
    """Standing bars: `counts[i]` values lie between `edges[i]` and `edges[i + 1]`. As inline SVG.

    `marks` draws named lines at values on the x axis, such as a median.

    Raises: ShapeError unless there is one more edge than counts.
    """
    if len(edges) != len(counts) + 1:
        raise ShapeError(
            at="histogram.edges", got=len(edges), expected=f"{len(counts) + 1}, one more than there are counts"
        )
    if not counts or not sum(counts):
        return nothing_to_show(title, "Nothing to count.")
    low, high = float(edges[0]), float(edges[-1])
    y_ticks = ticks(0, max(counts), about=4, whole=True)
    x_ticks = [tick for tick in ticks(low, high, about=6) if low <= tick <= high]
    y_labels = tick_labels(y_ticks)
    left, right = 8 + max(text_width(text) for text in y_labels), WIDTH - 12.0
    top, bottom = (30.0 if marks else 10.0), HEIGHT - 40

    def across(value: float) -> float:
        return left + (value - low) / ((high - low) or 1.0) * (right - left)

    def up(value: float) -> float:
        return bottom - value / y_ticks[-1] * (bottom - top)

    parts = []
    for value, text in zip(y_ticks, y_labels, strict=True):
        parts += [line(left, up(value), right, up(value), "grid"), label(left - 6, up(value) + 4, text, anchor="end")]
    for height, start, end in zip(counts, edges, edges[1:], strict=False):
        tip = element("title", f"{significant(start)} to {significant(end)}: {height:,d}")
        width = max(0.5, across(end) - across(start) - 1)
        bar = element(
            "rect", x=across(start) + 0.5, y=up(height), width=width, height=bottom - up(height), class_="bar"
        )
        parts.append(element("g", tip + bar))
    parts += [label(across(v), bottom + 16, t) for v, t in zip(x_ticks, tick_labels(x_ticks), strict=True)]
    parts += _marks(marks or {}, across, top, bottom)
    if x_label:
        parts.append(label((left + right) / 2, bottom + 33, x_label, class_="axis-label"))
    described = f"{compact(sum(counts))} values between {significant(low)} and {significant(high)}."
    return drawing(parts, height=HEIGHT, title=title, description=described)


def _marks(marks: Mapping[str, float], across: Callable[[float], float], top: float, bottom: float) -> list[Markup]:
    """Named lines; a name that would run into the one before it, or out of the chart, moves or is left to its tip."""
    parts: list[Markup] = []
    free = 0.0
    for name, value in sorted(marks.items(), key=lambda mark: mark[1]):
        x = min(max(across(value), 0.0), float(WIDTH))
        tip = element("title", f"{name}: {significant(value)}")
        parts.append(element("g", tip + line(x, top - 8, x, bottom, "mark")))
        start = min(x - text_width(name) / 2, WIDTH - text_width(name))
        if start >= free:
            parts.append(label(start, top - 13, name, anchor="start", class_="legend"))
            free = start + text_width(name) + 6
    return parts
