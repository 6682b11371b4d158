"""Small tables of all kinds, for the readers to agree upon."""

from typing import Any

import numpy as np
import pandas as pd
import torch
from hypothesis import strategies as st

from lepton_ai.data import Indexed, Table


@st.composite
def frames(draw: st.DrawFn) -> pd.DataFrame:
    """1 to 40 rows: numbers with gaps, whole numbers, texts with gaps (not in the first row, so that there is one), and
    a target of numbers or texts."""
    rows = draw(st.integers(1, 40))

    def column(values: st.SearchStrategy[Any], first: st.SearchStrategy[Any] | None = None) -> list[Any]:
        rest = draw(st.lists(values, min_size=rows - 1, max_size=rows - 1))
        return [draw(values if first is None else first), *rest]

    texts = st.sampled_from(["red", "green", "blue", "grün", "a,b", 'q"t'])
    target = st.integers(0, 3) if draw(st.booleans()) else st.sampled_from(["no", "yes"])
    floats = st.floats(-1e6, 1e6, width=32)
    return pd.DataFrame(
        {
            "size": pd.Series(column(st.none() | floats, floats), dtype="float64"),
            "count": pd.Series(column(st.integers(-5, 1000)), dtype="int64"),
            "colour": pd.Series(column(st.none() | texts, texts), dtype="object"),
            "y": pd.Series(column(target)),
        }
    )


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Its rows as Python values, None where missing."""
    rows = frame.to_dict("records")
    return [{str(name): None if value != value else value for name, value in row.items()} for row in rows]  # noqa: PLR0124 - NaN


def same_as_table(found: Table | Indexed, frame: pd.DataFrame) -> None:
    """`found` holds what `Table.from_frame` makes of `frame`: names, labels, features, targets and their dtypes."""
    table = Table.from_frame(frame, target="y")
    x, y = table.features(), table.target_values()
    assert found.labels == table.labels
    if isinstance(found, Table):
        assert found.feature_names() == table.feature_names()
        got_x, got_y = found.features(), found.target_values()
    else:
        assert found.names == table.feature_names() and len(found) == len(frame)
        back = torch.arange(len(frame)).flip(0)
        tensors = found.fetch(back)
        got_x, got_y = tensors[0].numpy()[::-1], tensors[1].numpy()[::-1]
        assert len(found.fetch(torch.empty(0, dtype=torch.int64))[0]) == 0
    np.testing.assert_array_equal(got_x, x)
    np.testing.assert_array_equal(got_y, y)
    assert got_x.dtype == np.float32 and got_y.dtype == y.dtype
