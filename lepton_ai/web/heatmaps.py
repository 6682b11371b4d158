"""A matrix of counts as shaded cells."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from lepton_ai.core import ShapeError
from lepton_ai.web.numbers import compact, count
from lepton_ai.web.svg import WIDTH, drawing, element, label, shorten, text_width

FITS = 12  # so many cells in a row are legible on a telephone; more keep their size and scroll
CELL = 28.0
SMALLEST_CELL, LARGEST_CELL = 20.0, 84.0


def heatmap(
    counts: npt.ArrayLike,
    *,
    labels: Sequence[str],
    title: str,
    row_label: str = "true class",
    column_label: str = "predicted class",
) -> Markup:
    """A square matrix `(C, C)` of counts with its numbers in it, as inline SVG.

    The diagonal is shaded by its share of the row. Other cells have a colour of their own and are shaded by the
    square root of their share of the largest of them, so that a rare mistake can be seen beside a thousand hits.

    Raises: ShapeError if the matrix does not fit the labels.
    """
    matrix = np.asarray(counts)
    size = len(labels)
    if matrix.shape != (size, size) or not size:
        raise ShapeError(at="heatmap.counts", got=matrix.shape, expected=f"({size}, {size}), one row for each label")
    names = [shorten(name, 92) for name in labels]
    widths = [text_width(name) for name in names]
    left = 30 + max(widths)
    cell = min((WIDTH - left - 2) / size, LARGEST_CELL)
    upright = max(widths) <= cell - 1
    # A slanted name rises to the right of its column's middle, and needs room there.
    slants = [0.0 if upright else 0.75 * width for width in widths]
    cell = min([cell, *((WIDTH - left - slant) / (index + 0.5) for index, slant in enumerate(slants))])
    wide = size > FITS or cell < SMALLEST_CELL
    cell = CELL if wide else cell
    top = 34.0 if upright else 24 + max(slants)
    width = left + max(size * cell + 2, *((index + 0.5) * cell + slant for index, slant in enumerate(slants)))
    left += max(0.0, WIDTH - width) / 2

    middle, beside = left + size * cell / 2, left - max(widths) - 17
    parts = [
        label(middle, 13, column_label, class_="axis-label"),
        element(
            "text", row_label, transform=f"translate({beside:.1f} {top + size * cell / 2:.1f}) rotate(-90)",
            text_anchor="middle", class_="axis-label",
        ),
    ]  # fmt: skip
    for index, name in enumerate(names):
        along = left + (index + 0.5) * cell
        parts.append(_column_name(name, along, top - 6, upright=upright))
        parts.append(label(left - 6, top + (index + 0.5) * cell + 4, name, anchor="end", class_="legend"))
    parts += _cells(matrix, labels, left, top, cell)
    right = int(np.trace(matrix))
    described = f"{count(right)} of {count(int(matrix.sum()))} lie on the diagonal."
    height = top + size * cell + 4
    return drawing(parts, width=max(width, WIDTH), height=height, title=title, description=described, wide=wide)


def _column_name(name: str, x: float, y: float, *, upright: bool) -> Markup:
    if upright:
        return label(x, y, name, class_="legend")
    return element("text", name, transform=f"translate({x:.1f} {y:.1f}) rotate(-45)", class_="legend")


def _cells(
    matrix: npt.NDArray[np.generic], labels: Sequence[str], left: float, top: float, cell: float
) -> list[Markup]:
    numbers = matrix.astype(np.float64)
    rows = np.maximum(numbers.sum(axis=1), 1.0)
    mistakes = numbers - np.diag(np.diag(numbers))
    largest = max(float(mistakes.max()), 1.0)
    parts = []
    for i, true in enumerate(labels):
        for j, said in enumerate(labels):
            value = float(numbers[i, j])
            shade = value / rows[i] if i == j else 0.75 * (value / largest) ** 0.5
            box: dict[str, Any] = {
                "x": left + j * cell + 0.75,
                "y": top + i * cell + 0.75,
                "width": cell - 1.5,
                "height": cell - 1.5,
            }
            content = element("title", f"{true}, taken for {said}: {count(int(value))}")
            content += element("rect", rx=2.0, class_="cell-empty", **box)
            if value:
                opacity = 0.12 + 0.88 * shade
                kind = "cell-hit" if i == j else "cell-miss"
                content += element("rect", rx=2.0, class_=kind, fill_opacity=f"{opacity:.2f}", **box)
                text = compact(value)
                size = min(13.0, 1.4 * cell / max(len(text), 2.4))
                class_ = "cell on-full" if opacity > 0.85 else "cell on-mid" if opacity > 0.6 else "cell"
                x, y = left + (j + 0.5) * cell, top + (i + 0.5) * cell + size * 0.36
                content += label(x, y, text, class_=class_, size=size)
            parts.append(element("g", content))
    return parts
