"""Curves as text: each character cell holds 2x4 dots of Unicode's braille patterns."""

import math
from collections.abc import Mapping, Sequence
from itertools import zip_longest

# The bit of each dot in a cell, by row and column; U+2800 is the empty pattern.
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
_EMPTY = 0x2800
Cells = list[list[tuple[str, int]]]


def plot(curves: Mapping[str, Sequence[float]], width: int, height: int) -> Cells:
    """`height` rows of at most `width` characters, each with the number of its curve (-1: of none).

    Each curve has one value per epoch, of which all are shown, side by side from the first to the last; one that is
    not finite leaves a gap. The axis at the left tells the highest and the lowest. Where curves cross, the later is on
    top.

    Example:
        >>> for row in plot({"loss": [4.0, 2.0, 1.0, 0.5]}, width=14, height=3):
        ...     print("".join(character for character, _ in row).rstrip())
          4 ┤⠱⡀
            │ ⠈⠣⡀
        0.5 ┤   ⠈⠑⠢⠤⣀
    """
    finite = [value for values in curves.values() for value in values if math.isfinite(value)]
    low, high = min(finite, default=0.0), max(finite, default=0.0)
    labels = [f"{high:.4g}", f"{low:.4g}"]
    margin = max(map(len, labels))
    columns, longest = max(1, width - margin - 3), max((len(values) for values in curves.values()), default=0)
    cells = [[(" ", -1)] * columns for _ in range(height)]
    for number, values in enumerate(curves.values()):
        dots: dict[tuple[int, int], int] = {}
        for x, y in _dots(values, longest, columns * 2, height * 4, low, high):
            place = (y // 4, x // 2)
            dots[place] = dots.get(place, 0) | _DOTS[y % 4][x % 2]
        for (row, column), pattern in dots.items():
            cells[row][column] = (chr(_EMPTY + pattern), number)
    made: Cells = []
    for index, line in enumerate(cells):
        label = {0: labels[0], height - 1: labels[1]}.get(index, "")
        made.append([(each, -1) for each in f"{label:>{margin}} {'┤' if label else '│'}"] + line)
    return made


def _dots(
    values: Sequence[float], longest: int, width: int, height: int, low: float, high: float
) -> list[tuple[int, int]]:
    """Where a curve has dots: its values, joined by straight lines."""
    across, up = (width - 1) / max(1, longest - 1), (height - 1) / ((high - low) or 1.0)
    points = [
        (index * across, (high - value) * up) if math.isfinite(value) else None for index, value in enumerate(values)
    ]
    found = []
    for start, end in zip_longest(points, points[1:]):
        if start is None:
            continue
        last = end or start
        steps = max(1, math.ceil(max(abs(last[0] - start[0]), abs(last[1] - start[1]))))
        for step in range(steps + 1):
            x, y = (a + (b - a) * step / steps for a, b in zip(start, last, strict=True))
            found.append((round(x), round(y)))
    return found
