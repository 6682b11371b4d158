"""Pages that need nothing but themselves: templates, one stylesheet, charts as inline SVG."""

from lepton_ai.web.bars import bar_chart, histogram
from lepton_ai.web.heatmaps import heatmap
from lepton_ai.web.lines import line_chart
from lepton_ai.web.numbers import compact, count, duration, percent, significant
from lepton_ai.web.pages import render
from lepton_ai.web.pictures import picture
from lepton_ai.web.reliability import reliability_diagram
from lepton_ai.web.shares import share_matrix

__all__ = [
    "bar_chart",
    "compact",
    "count",
    "duration",
    "heatmap",
    "histogram",
    "line_chart",
    "percent",
    "picture",
    "reliability_diagram",
    "render",
    "share_matrix",
    "significant",
]
