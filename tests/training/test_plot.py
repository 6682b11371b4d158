"""Curves as text."""

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from lepton_ai.training.plot import plot

VALUES = st.floats(allow_nan=True, allow_infinity=True, width=32)


def text(curves: dict[str, list[float]], width: int = 20, height: int = 4) -> list[str]:
    return ["".join(character for character, _ in row) for row in plot(curves, width, height)]


def test_a_line_from_corner_to_corner() -> None:
    assert text({"loss": [3.0, 2.0, 1.0, 0.0]}, width=11) == ["3 ┤⠑⢄     ", "  │ ⠈⠢⡀   ", "  │   ⠈⠢⡀ ", "0 ┤     ⠑⢄"]


def test_the_later_curve_is_on_top_and_known_by_its_number() -> None:
    rows = plot({"loss": [2.0, 1.0], "val_loss": [1.0, 2.0]}, 20, 4)
    assert {number for row in rows for _, number in row} == {-1, 0, 1}
    assert {number for _, number in rows[0] if _ not in " 2┤"} == {0, 1}


def test_what_is_not_measured_is_a_gap() -> None:
    (row,) = text({"loss": [1.0, math.nan, math.nan, 1.0]}, width=12, height=1)
    assert row.count(" ") > 4 and row[3] != " " and row[-1] != " "


def test_nothing_yet() -> None:
    assert text({}) == text({"loss": []}) == text({"loss": [math.nan]})
    assert text({})[0].strip() == "0 ┤"


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(st.sampled_from(["loss", "val_loss"]), st.lists(VALUES, max_size=30)),
    st.integers(1, 90),
    st.integers(1, 20),
)
def test_any_curve_fits(curves: dict[str, list[float]], width: int, height: int) -> None:
    rows = plot(curves, width, height)
    assert len(rows) == height and len({len(row) for row in rows}) == 1
    assert len(rows[0]) <= max(width, 16)
    if any(math.isfinite(each) for values in curves.values() for each in values):
        assert any("\u2800" < character <= "\u28ff" for row in rows for character, _ in row)
