"""What every chart owes: well-formed SVG, a name and a description, nothing that a strict policy forbids."""

import math
import re
from collections.abc import Callable
from xml.etree import ElementTree

import msgspec
import numpy as np
import pytest
from markupsafe import Markup

from lepton_ai.core import ShapeError
from lepton_ai.web import bar_chart, heatmap, histogram, line_chart, reliability_diagram

SVG = "{http://www.w3.org/2000/svg}"
EVIL = '<script>alert("1")</script>&\''


class Bin(msgspec.Struct, frozen=True):
    confidence: float
    observed: float
    count: int
    low: float = 0.0
    high: float = 1.0


BINS = [Bin(0.25, 0.5, 0), Bin(0.8, 0.7, 12345)]

CHARTS: dict[str, Callable[[str], Markup]] = {
    "line": lambda title: line_chart({EVIL: [1.0, 2.0, 0.5], "b": [0.2, 0.1]}, title=title, x_label=EVIL),
    "line of nothing": lambda title: line_chart({"a": [math.nan]}, title=title),
    "bars": lambda title: bar_chart({EVIL: 3.0, "none": 0.0, "gap": math.nan}, title=title),
    "no bars": lambda title: bar_chart({}, title=title),
    "histogram": lambda title: histogram([1, 5, 2], [0, 1, 2, 3], title=title, x_label=EVIL, marks={EVIL: 1.5}),
    "empty histogram": lambda title: histogram([0], [0, 1], title=title),
    "heatmap": lambda title: heatmap([[3, 1], [0, 4]], labels=[EVIL, "dog"], title=title),
    "large heatmap": lambda title: heatmap(np.eye(20), labels=[EVIL, *map(str, range(19))], title=title),
    "reliability": lambda title: reliability_diagram(BINS, [0, 0.5, 1], title=title, x_label=EVIL),
    "no answers": lambda title: reliability_diagram([Bin(0.5, 0, 0)], [0, 1], title=title),
}


def parse(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(str(svg).replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1))


@pytest.mark.parametrize("name", CHARTS)
def test_contract(name: str) -> None:
    svg = CHARTS[name](EVIL)
    root = parse(svg)
    assert isinstance(svg, Markup)
    assert root.get("role") == "img"
    assert (root.get("aria-label") or "").startswith(EVIL)
    assert [root[0].tag, root[0].text] == [f"{SVG}title", EVIL]
    assert root[1].tag == f"{SVG}desc" and root[1].text
    assert "script" not in {node.tag.removeprefix(SVG) for node in root.iter()}
    for node in root.iter():
        # Inline styles, handlers and links would need a weaker policy; NaN draws nothing and says nothing.
        assert not [key for key in node.attrib if key == "style" or key.startswith("on") or "href" in key]
        assert not [value for value in node.attrib.values() if re.search(r"\bnan\b|\binf\b", value.lower())]


@pytest.mark.parametrize("name", CHARTS)
def test_nothing_leaves_the_drawing(name: str) -> None:
    root = parse(CHARTS[name]("t"))
    _, _, width, height = (float(value) for value in (root.get("viewBox") or "").split())
    for node in root.iter():
        x, y = float(node.get("x", 0)), float(node.get("y", 0))
        assert 0 <= x + float(node.get("width", 0)) * (node.tag != f"{SVG}svg") <= width + 0.11
        assert 0 <= y + float(node.get("height", 0)) * (node.tag != f"{SVG}svg") <= height + 0.11


def paths(svg: str) -> list[str]:
    return [node.get("d") or "" for node in parse(svg).iter(f"{SVG}path")]


def test_values_that_are_not_finite_leave_gaps() -> None:
    (path,) = paths(line_chart({"loss": [3, 2, math.nan, 1, math.inf, 0.5, 0.4]}, title="t"))
    assert path.count("M") == 3 and path.count("L") == 2


def test_a_long_line_is_thinned_but_keeps_its_spike() -> None:
    values = [1.0] * 10_000
    values[7_003] = 50.0
    (path,) = paths(line_chart({"loss": values}, title="t"))
    heights = [float(y) for y in re.findall(r"[ML][\d.]+ ([\d.]+)", path)]
    assert len(heights) <= 402
    assert sum(height < 60 for height in heights) == 1


def test_a_single_value_and_equal_values_are_drawn() -> None:
    for values in ([0.5], [0.5, 0.5], [0.0]):
        assert "circle" in line_chart({"a": values}, title="t")


def test_points_tell_their_value() -> None:
    assert "<title>2: 0.1235</title>" in line_chart({"a": [1, 0.12345]}, title="t")


def test_many_series_get_a_legend_in_rows() -> None:
    svg = line_chart({f"a long series name {index}": [index, 1.0] for index in range(7)}, title="t")
    legend = [node for node in parse(svg).iter(f"{SVG}text") if node.get("class") == "legend"]
    assert len({node.get("y") for node in legend}) > 1
    assert len(legend) == 7


def test_a_series_longer_than_x() -> None:
    with pytest.raises(ShapeError, match=r"line_chart\.x: got 1, expected 2 values"):
        line_chart({"a": [1, 2]}, title="t", x=[1.0])


def test_bars_are_in_proportion() -> None:
    rects = list(parse(bar_chart({"a": 2.0, "b": 1.0, "c": -1.0}, title="t")).iter(f"{SVG}rect"))
    widths = [float(rect.get("width") or 0) for rect in rects]
    assert widths[0] == pytest.approx(2 * widths[1], abs=0.2)
    assert widths[2] == 0


def test_histogram_needs_one_more_edge() -> None:
    with pytest.raises(ShapeError, match="got 2, expected 3, one more than there are counts"):
        histogram([1, 2], [0, 1], title="t")


def test_heatmap_shows_counts_and_names_cells() -> None:
    svg = heatmap([[12345, 1], [0, 4]], labels=["cat", "dog"], title="t")
    assert ">12.3k</text>" in svg
    assert "cat, taken for dog: 1" in svg
    assert "12,349 of 12,350 lie on the diagonal." in svg


def test_many_classes_scroll_instead_of_shrinking() -> None:
    assert 'class="chart chart-wide"' in CHARTS["large heatmap"]("t")
    assert "chart-wide" not in CHARTS["heatmap"]("t")


def test_heatmap_of_a_wrong_shape() -> None:
    with pytest.raises(ShapeError, match=r"got \(1, 2\), expected \(3, 3\)"):
        heatmap([[1, 2]], labels=["a", "b", "c"], title="t")


def test_reliability_leaves_empty_bins_out_and_counts_the_rest() -> None:
    svg = CHARTS["reliability"]("t")
    assert svg.count("<circle") == 1
    assert "12.3k" in svg and "said 80.0" in svg
