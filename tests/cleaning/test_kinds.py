"""Texts among numbers, broken encodings, spellings."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lepton_ai.cleaning import examine
from lepton_ai.cleaning.kinds import repair, undressed

NUMBERS = [str(value) for value in range(20)]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("$1,234.50", "1234.50"), ("1 234", "1234"), ("1'000'000", "1000000"), ("-3,5", "-3.5"), ("12 kg", "12"),
        ("€7", "7"), ("7.5°C", "7.5"), ("+4 mm.", "+4"),
        ("12 %", None), ("about 4", None), ("1.2.3", None), ("4-5", None), ("1,2,3", None), ("", None),
        ("12 kilograms of", None),
    ],
)  # fmt: skip
def test_numbers_are_read_beside_what_is_sure(text: str, number: str | None) -> None:
    assert undressed(text) == number


@given(st.integers(-(10**9), 10**9))
@settings(max_examples=60, deadline=None)
def test_grouped_numbers_come_back(value: int) -> None:
    assert undressed(f"{value:,}") == str(value)


@given(st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=0x2FFF), max_size=20))
@settings(max_examples=80, deadline=None)
def test_what_latin_1_broke_is_repaired(text: str) -> None:
    broken = text.encode("utf-8").decode("latin-1")
    if broken != text:
        assert repair(broken) in (text, None)


@pytest.mark.parametrize("text", ["Köln", "São Paulo", "naïve", "Ã", "ÄÖÜ", "东京", "x² ± 3", "plain"])
def test_good_texts_are_left_alone(text: str) -> None:
    assert repair(text) is None


def test_each_finding_says_what_would_be_written() -> None:
    found = examine({"x": [*NUMBERS, "21 kg", "n/a here"]}, checks=["wrong_types"]).findings
    assert [(each.action, each.rows, each.replacements) for each in found] == [
        ("replace", (20,), {"21 kg": "21"}),
        ("set missing", (21,), {}),
    ]
    assert found[0].evidence == "1 of 22 values: texts among numbers, such as '21 kg', the first in row 20"


def test_spellings_follow_the_most_frequent() -> None:
    towns = ["Graz"] * 5 + ["graz", " Graz", "Wien", "wien", "wien"]
    (found,) = examine({"town": towns}, checks=["spellings"]).findings
    assert found.replacements == {"graz": "Graz", " Graz": "Graz", "Wien": "wien"} and found.rows == (5, 6, 7)


def test_types_in_a_frame() -> None:
    import pandas as pd

    frame = pd.DataFrame({"a": pd.Series(["1", "2", "3"], dtype=object), "b": pd.Series([1, "x", 2.5], dtype=object)})
    found = examine(frame, checks=["wrong_types"]).findings
    assert [(each.title, each.columns) for each in found] == [("numbers kept as text", ("a",)), ("mixed types", ("b",))]
