"""What a text is, letter by letter: the tables are part of what bundles promise, so they are pinned."""

import hashlib
import string
import unicodedata
from typing import Any

import numpy as np
import pandas
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lepton_ai.core import DataError
from lepton_ai.layers.texts import LOWER, PUNCTUATION, SPACES, as_texts, joined_tokens, standardized, tokens_of

PINNED = (714, "6caf1668eebdfef3")  # how many letters, and the hash of the table
anything = st.text(max_size=40).filter(lambda text: not any(0xD800 <= ord(each) <= 0xDFFF for each in text))


def test_lower_case_is_a_table_that_does_not_change() -> None:
    told = ",".join(f"{code:x}:{low:x}" for code, low in sorted(LOWER.items()))
    assert len(LOWER) == PINNED[0] and hashlib.sha256(told.encode()).hexdigest()[:16] == PINNED[1]
    assert not set(LOWER) & set(LOWER.values()), "lower case of lower case is itself"
    assert all(unicodedata.category(chr(code)) in ("Lu", "Lt") for code in LOWER)


@settings(max_examples=80, deadline=None)
@given(anything)
def test_spaces_are_those_of_python(text: str) -> None:
    listed = {chr(code) for first, last in SPACES for code in range(first, last + 1)}
    assert all((each in listed) == (not each.split()) for each in text)
    assert tokens_of(text, "mixed") == tokens_of(text, "mixed") and "".join(tokens_of(text, "character")) == text
    assert "".join(tokens_of(text, "mixed")) == "".join(text.split())


@settings(max_examples=80, deadline=None)
@given(anything)
def test_standards_commute_and_repeat(text: str) -> None:
    both = standardized(text, "lower_and_strip_punctuation")
    assert both == standardized(standardized(text, "lower"), "strip_punctuation") == standardized(both, "lower")
    assert standardized(text, None) == text


def test_every_space_and_sign_there_is() -> None:
    spaces = {chr(code) for code in range(0x110000) if not 0xD800 <= code <= 0xDFFF and not chr(code).split()}
    assert spaces == {chr(code) for first, last in SPACES for code in range(first, last + 1)}
    signs = {chr(code) for first, last in PUNCTUATION for code in range(first, last + 1)}
    assert set(string.punctuation) < signs and not signs & spaces
    assert not any(each.isalnum() for each in signs)
    assert standardized("ABC xyz", "lower") == "abc xyz" and standardized("ΟΔΟΣ İ", "lower") == "οδοσ İ"


def test_neighbours() -> None:
    assert joined_tokens(["a", "b", "c"], 3) == ["a", "b", "c", "a b", "b c", "a b c"]
    assert joined_tokens(["a"], 3) == ["a"] and joined_tokens([], 2) == []


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["a", None], "x: None in row 1, expected a text. Fill the gap"),
        (pandas.Series(["a", np.nan]), "x: NaN in row 1, expected a text. Fill the gap"),
        (pandas.Series(["a", None], dtype="string"), "in row 1, expected a text. Fill the gap"),
        ([["a", "b"], ["c", 5]], "x: 5 in row 1, column 1, expected a text. If numbers are names here"),
        ([b"a", b"\xff"], "x: byte 0xff at place 0 of row 1 is not UTF-8. Decode it with its own encoding"),
        (["a", "\ud800"], "x: half a character ('\\ud800') in row 1"),
        (np.array([1.5, 2.0]), "x: 1.5 in row 0, expected a text"),
    ],
)
def test_what_is_no_text_is_named(given: Any, said: str) -> None:
    with pytest.raises(DataError) as caught:
        as_texts(given, "x")
    assert said in str(caught.value)


def test_missing_texts_are_empty_where_they_may_be() -> None:
    given = [None, np.nan, pandas.NA, "a", b"\xc3\xa4"]
    assert as_texts(given, "x", missing=True).tolist() == ["", "", "", "a", "ä"]
