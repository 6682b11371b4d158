"""Lines over steps, epochs or thresholds."""

import math
from collections.abc import Mapping, Sequence

from markupsafe import Markup

from lepton_ai.core import ShapeError
from lepton_ai.web.numbers import significant, tick_labels, ticks
from lepton_ai.web.svg import SERIES, WIDTH, drawing, element, label, line, nothing_to_show, number, text_width

HEIGHT = 216.0
MOST_POINTS = 400  # of one line: more cannot be seen at this size
MOST_DOTS = 40

Point = tuple[float, float]


def line_chart(
    series: Mapping[str, Sequence[float]],
    *,
    title: str,
    x: Sequence[float] | None = None,
    x_label: str = "",
    y_range: tuple[float, float] | None = None,
    diagonal: bool = False,
) -> Markup:
    """Lines by name over one `x` (1, 2, 3, ... if none is given), as inline SVG.

    Values that are not finite leave gaps; lines of more than 400 points are thinned, keeping each stretch's extremes.
    `diagonal` draws the line y = x for reference.

    Raises: ShapeError if a series is longer than `x`.

    Example:
        >>> line_chart({"training": [0.9, 0.4, 0.2]}, title="Loss", x_label="epoch")[:18]
        Markup('<svg class="chart"')
    """
    longest = max((len(values) for values in series.values()), default=0)
    if x is not None and len(x) < longest:
        raise ShapeError(at="line_chart.x", got=len(x), expected=f"{longest} values, one for each point of the lines")
    places = [float(value) for value in x] if x is not None else [float(index + 1) for index in range(longest)]
    points = {name: list(zip(places, map(float, values), strict=False)) for name, values in series.items()}
    finite = [point for line_ in points.values() for point in line_ if _finite(point)]
    if not finite:
        return nothing_to_show(title, "No finite values to draw.")

    frame = _Frame(finite, whole=x is None, y_range=y_range, names=list(series))
    parts = frame.axes(x_label)
    if diagonal:
        parts.append(line(*frame.place((0, 0)), *frame.place((1, 1)), "reference"))
    for index, values in enumerate(points.values()):
        parts += _line(frame, values, index)
    parts += frame.legend(list(series))
    return drawing(parts, height=HEIGHT + frame.top, title=title, description=_describe(series, x_label))


def _finite(point: Point) -> bool:
    return math.isfinite(point[0]) and math.isfinite(point[1])


def _describe(series: Mapping[str, Sequence[float]], x_label: str) -> str:
    facts = []
    for name, values in series.items():
        kept = [float(value) for value in values if math.isfinite(value)]
        if kept:
            facts.append(f"{name} goes from {significant(kept[0])} to {significant(kept[-1])}")
    return f"{'; '.join(facts)}, over {x_label or 'steps'}."


class _Frame:
    """The plotting area: where a point lands, and the axes around it."""

    def __init__(
        self, points: list[Point], *, whole: bool, y_range: tuple[float, float] | None, names: list[str]
    ) -> None:
        xs, ys = [p[0] for p in points], [p[1] for p in points]
        self.x = (min(xs), max(xs)) if max(xs) > min(xs) else (min(xs) - 0.5, max(xs) + 0.5)
        self.x_ticks = [t for t in ticks(*self.x, about=6, whole=whole) if self.x[0] <= t <= self.x[1]]
        self.y_ticks = ticks(*(y_range or (min(ys), max(ys))), about=5)
        self.y = y_range or (self.y_ticks[0], self.y_ticks[-1])
        self.y_labels = tick_labels(self.y_ticks)
        self.rows = _legend_rows(names)
        self.top = 18.0 * len(self.rows)
        self.left = 8 + max(text_width(text) for text in self.y_labels)
        self.right = WIDTH - 12.0
        self.bottom = HEIGHT + self.top - 40

    def place(self, point: Point) -> Point:
        """A point's place in the drawing, in units."""
        x = (point[0] - self.x[0]) / (self.x[1] - self.x[0])
        y = (point[1] - self.y[0]) / (self.y[1] - self.y[0])
        upper = self.top + 10
        return self.left + x * (self.right - self.left), self.bottom - min(max(y, 0.0), 1.0) * (self.bottom - upper)

    def axes(self, x_label: str) -> list[Markup]:
        """Grid lines, ticks and the name of the x axis."""
        parts = []
        for value, text in zip(self.y_ticks, self.y_labels, strict=True):
            if self.y[0] <= value <= self.y[1]:
                _, y = self.place((self.x[0], value))
                parts += [line(self.left, y, self.right, y, "grid"), label(self.left - 6, y + 4, text, anchor="end")]
        parts += [
            label(self.place((value, 0))[0], self.bottom + 16, text)
            for value, text in zip(self.x_ticks, tick_labels(self.x_ticks), strict=True)
        ]
        if x_label:
            parts.append(label((self.left + self.right) / 2, self.bottom + 33, x_label, class_="axis-label"))
        return parts

    def legend(self, names: list[str]) -> list[Markup]:
        """Names beside a stroke in their colour, in as many rows as they need; a line without a name has none."""
        parts = []
        for row, indices in enumerate(self.rows):
            x, y = 2.0, 12 + 18.0 * row
            for index in indices:
                parts.append(line(x, y - 4, x + 20, y - 4, f"line series-{index % SERIES}"))
                parts.append(label(x + 26, y, names[index], anchor="start", class_="legend"))
                x += 44 + text_width(names[index])
        return parts


def _legend_rows(names: list[str]) -> list[list[int]]:
    rows: list[list[int]] = []
    used = float(WIDTH)
    for index, name in enumerate(names):
        if not name:
            continue
        width = 44 + text_width(name)
        if used + width > WIDTH + 18:
            rows.append([])
            used = 0.0
        rows[-1].append(index)
        used += width
    return rows


def _line(frame: _Frame, points: list[Point], index: int) -> list[Markup]:
    """A path with a gap wherever a value is not finite, and dots that tell their value where there is room for them."""
    steps, pen_down = [], False
    for point in _thinned(points):
        if not _finite(point):
            pen_down = False
            continue
        x, y = frame.place(point)
        steps.append(f"{'L' if pen_down else 'M'}{number(x)} {number(y)}")
        pen_down = True
    parts = [element("path", d="".join(steps), class_=f"line series-{index % SERIES}")]
    kept = [point for point in points if _finite(point)]
    for point in kept if len(points) <= MOST_DOTS else []:
        x, y = frame.place(point)
        tip = element("title", f"{significant(point[0])}: {significant(point[1], 4)}")
        parts.append(element("circle", tip, cx=x, cy=y, r=2.4, class_=f"dot series-{index % SERIES}"))
    return parts


def _thinned(points: list[Point]) -> list[Point]:
    if len(points) <= MOST_POINTS:
        return points
    size = math.ceil(len(points) / (MOST_POINTS // 2))
    kept: list[Point] = []
    for start in range(0, len(points), size):
        stretch = [point for point in points[start : start + size] if _finite(point)]
        if not stretch:
            kept.append(points[start])
            continue
        ends = {min(stretch, key=lambda p: p[1]), max(stretch, key=lambda p: p[1])}
        kept += sorted(ends)
    return kept
