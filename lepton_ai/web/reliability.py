"""How sure a model says it is, against how often it is right."""

from collections.abc import Sequence
from typing import Any, Protocol

from markupsafe import Markup

from lepton_ai.web.numbers import compact, count, percent
from lepton_ai.web.svg import WIDTH, drawing, element, label, line, nothing_to_show

LEFT, RIGHT = 46.0, WIDTH - 20.0
TOP, BOTTOM = 28.0, 222.0
BARS_TOP, BARS_BOTTOM = 268.0, 316.0


class Bin(Protocol):
    """One bin of answers: `count` of them said `confidence` on average, and `observed` of them were so.

    `low` to `high` is the interval in which the true share probably lies. All but `count` are shares from 0 to 1.
    """

    @property
    def confidence(self) -> float: ...
    @property
    def observed(self) -> float: ...
    @property
    def count(self) -> int: ...
    @property
    def low(self) -> float: ...
    @property
    def high(self) -> float: ...


def reliability_diagram(
    bins: Sequence[Bin],
    edges: Sequence[float],
    *,
    title: str,
    x_label: str = "confidence",
    y_label: str = "observed share",
) -> Markup:
    """Points with their intervals against the diagonal of perfect calibration, and below them the count of each bin.

    `bins` without answers are left out of the upper part; `edges` are their borders, one more than there are bins.
    As inline SVG.
    """
    total = sum(point.count for point in bins)
    if not total:
        return nothing_to_show(title, "No answers to compare.")
    parts = []
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        text = percent(tick, 0)
        parts += [
            line(LEFT, _up(tick), RIGHT, _up(tick), "grid"),
            label(LEFT - 6, _up(tick) + 4, text, anchor="end"),
            label(_across(tick), BOTTOM + 16, text),
        ]
    parts.append(line(_across(0), _up(0), _across(1), _up(1), "reference"))
    parts.append(label(2, 12, f"↑ {y_label}", anchor="start", class_="axis-label"))
    parts.append(label((LEFT + RIGHT) / 2, BOTTOM + 33, x_label, class_="axis-label"))

    seen = [point for point in bins if point.count]
    path = " ".join(f"{_across(p.confidence):.1f},{_up(p.observed):.1f}" for p in seen)
    parts += [line(_across(p.confidence), _up(p.low), _across(p.confidence), _up(p.high), "whisker") for p in seen]
    parts.append(element("polyline", points=path, class_="line series-0"))
    for point in seen:
        tip = f"said {percent(point.confidence)}, was {percent(point.observed)} ({count(point.count)} answers)"
        place: dict[str, Any] = {"cx": _across(point.confidence), "cy": _up(point.observed)}
        parts.append(element("circle", element("title", tip), r=4.0, class_="dot series-0", **place))
    parts += _counts(bins, edges)
    described = "; ".join(f"said {percent(p.confidence)}, was {percent(p.observed)}" for p in seen)
    return drawing(parts, height=BARS_BOTTOM + 18, title=title, description=described)


def _across(share: float) -> float:
    return LEFT + share * (RIGHT - LEFT)


def _up(share: float) -> float:
    return BOTTOM - share * (BOTTOM - TOP)


def _counts(bins: Sequence[Bin], edges: Sequence[float]) -> list[Markup]:
    largest = max(point.count for point in bins)
    parts = [
        line(LEFT, BARS_BOTTOM, RIGHT, BARS_BOTTOM, "grid"),
        label(LEFT, BARS_BOTTOM + 15, "answers in each bin", anchor="start", class_="axis-label"),
    ]
    for point, start, end in zip(bins, edges, edges[1:], strict=False):
        if not point.count:
            continue
        height = max(1.5, point.count / largest * (BARS_BOTTOM - BARS_TOP - 14))
        box: dict[str, Any] = {
            "x": _across(start) + 1,
            "y": BARS_BOTTOM - height,
            "width": _across(end) - _across(start) - 2,
        }
        tip = element("title", f"{percent(start, 0)} to {percent(end, 0)}: {count(point.count)} answers")
        parts.append(element("g", tip + element("rect", height=height, rx=1, class_="bar quiet", **box)))
        middle = (_across(start) + _across(end)) / 2
        parts.append(label(middle, BARS_BOTTOM - height - 4, compact(point.count), class_="value"))
    return parts
