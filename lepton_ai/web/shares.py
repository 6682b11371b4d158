"""A matrix of shares as shaded cells: which part of a column is so in which stretch of rows."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from lepton_ai.core import ShapeError
from lepton_ai.web.numbers import count, percent
from lepton_ai.web.svg import WIDTH, drawing, element, label, shorten, text_width

ROW = 16.0
NAME = 120.0  # units for the names at the left


def share_matrix(shares: npt.ArrayLike, *, columns: Sequence[str], rows_per_stretch: int, title: str) -> Markup:
    """Shares from 0 to 1, `(stretches, columns)`: a line for each column, a cell for each stretch of rows.

    Raises: ShapeError if the matrix does not fit the columns.

    Example:
        >>> "age" in share_matrix([[0.0, 1.0]], columns=["age", "town"], rows_per_stretch=10, title="Gaps")
        True
    """
    matrix = np.asarray(shares, np.float64)
    if matrix.ndim != 2 or matrix.shape[1] != len(columns) or not matrix.size:
        raise ShapeError(at="share_matrix.shares", got=matrix.shape, expected=f"(stretches, {len(columns)})")
    names = [shorten(name, NAME) for name in columns]
    left = 10 + max(text_width(name) for name in names)
    wide = (WIDTH - left - 4) / len(matrix)
    parts = []
    for row, name in enumerate(columns):
        y = 2 + row * ROW
        parts.append(label(left - 6, y + 12, names[row], anchor="end", class_="legend"))
        parts.append(element("rect", x=left, y=y + 1, width=wide * len(matrix), height=ROW - 2, class_="cell-empty"))
        for place, share in enumerate(matrix[:, row].tolist()):
            if share > 0:
                low = place * rows_per_stretch
                tip = element("title", f"{name}, rows from {count(low)}: {percent(share)}")
                box = element(
                    "rect", x=left + place * wide, y=y + 1, width=max(0.6, wide - 0.4), height=ROW - 2,
                    class_="cell-miss", fill_opacity=f"{0.2 + 0.8 * share:.2f}",
                )  # fmt: skip
                parts.append(element("g", tip + box))
    bottom = 2 + len(columns) * ROW
    parts.append(label(left, bottom + 14, "first row", anchor="start"))
    parts.append(label(WIDTH - 4, bottom + 14, "last row", anchor="end"))
    described = "; ".join(f"{name}: {percent(share)}" for name, share in zip(columns, matrix.mean(axis=0), strict=True))
    return drawing(parts, height=bottom + 20, title=title, description=described)
