"""Columns: what a text means, what is missing, what does not fit, and hashes that agree across files."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lepton_ai.cleaning.columns import Column, number, parse


def column(*values: object, name: str = "x") -> Column:
    return parse(name, list(values))


def test_numbers_with_faults_stay_numbers() -> None:
    found = column("1", "2.5", "", "NA", "four", "-3e2", " 7 ", "8", "9")
    assert found.kind == "number"
    assert found.missing.nonzero()[0].tolist() == [2, 3] and found.odd.nonzero()[0].tolist() == [4]
    assert found.present.tolist() == [1.0, 2.5, -300.0, 7.0, 8.0, 9.0]
    assert not found.whole and found.show(1) == "2.5"


def test_more_faults_than_a_fifth_make_it_texts() -> None:
    assert column("1", "2", "x", "y").kind == "text"


def test_leading_zeros_are_names() -> None:
    assert column("00123", "04711", "12345").kind == "text"
    assert column("0", "0.5", "10").kind == "number"


@pytest.mark.parametrize(
    ("first", "second", "days"),
    [
        ("2024-01-31", "2024-02-01", 1),
        ("2024-01-31 10:00:00", "2024-01-31T22:00:00", 0.5),
        ("31/01/2024", "13/02/2024", 13),
        ("01/31/2024", "02/13/2024", 13),
        ("31.01.2024", "13.02.2024", 13),
        ("2024-01-31T10:00:00+02:00", "2024-01-31T08:00:00+00:00", 0),
    ],
)
def test_dates_are_seconds(first: str, second: str, days: float) -> None:
    found = column(first, second)
    assert found.kind == "date" and (found.values[1] - found.values[0]) / 86400 == days


def test_dates_with_faults_stay_dates() -> None:
    found = column(*["2024-01-31"] * 9, "soon")
    assert found.kind == "date" and found.odd.tolist() == [False] * 9 + [True]


def test_typed_values_keep_their_kind() -> None:
    assert column(1, 2.0, None).missing.tolist() == [False, False, True]
    assert parse("x", np.array([True, False])).values.tolist() == [1.0, 0.0]
    when = parse("x", np.array(["2024-01-01", "NaT"], "datetime64[D]"))
    assert when.kind == "date" and when.missing.tolist() == [False, True]
    assert column(b"a", "b", None, float("nan")).missing.tolist() == [False, False, True, True]


def test_codes_count_from_the_smallest() -> None:
    codes, values = column("b", "a", "", "b").codes
    assert codes.tolist() == [1, 0, -1, 1] and values == ["a", "b"]
    assert column("b", "a", "", "b").counts.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("values", "is_one"),
    [
        ([str(i) for i in range(60)], True),
        ([str(i * i) for i in range(60)], True),
        ([str(i % 30) for i in range(60)], False),
        ([f"u{i:03}" for i in range(60)], True),
        ([f"a long text about matter number {i}" for i in range(60)], False),
        ([str(i + 0.5) for i in range(60)], False),
        (["1", "2"], False),
    ],
)
def test_identifiers_name_rows(values: list[str], is_one: bool) -> None:
    assert column(*values).identifier is is_one


def test_a_name_can_tell_an_identifier() -> None:
    shuffled = [str(value) for value in np.random.default_rng(0).permutation(100)]
    assert not column(*shuffled).identifier and column(*shuffled, name="user_id").identifier


def test_hashes_agree_where_values_do() -> None:
    one, other = column("1", "2.0", "", "-0"), column(2, 1, 0, None)
    assert one.hashes[[0, 1, 2, 3]].tolist() == other.hashes[[1, 0, 3, 2]].tolist()
    with_fault = column("1", "2", "3", "4", "5", "x")
    assert with_fault.hashes[0] == one.hashes[0] and len(set(with_fault.hashes.tolist())) == 6
    assert column("a", name="x").hashes[0] != column("a", name="y").hashes[0]
    assert column("a").hashes[0] == column(" a ").hashes[0]


@given(st.floats(allow_nan=False))
@settings(max_examples=80, deadline=None)
def test_every_number_that_python_writes_is_read(value: float) -> None:
    assert number(repr(value)) == value


@given(st.text(max_size=12))
@settings(max_examples=80, deadline=None)
def test_no_text_breaks_the_reading(text: str) -> None:
    found = number(text)
    if found is not None:
        assert not math.isnan(found) and float(text) == found
    assert len(parse("x", [text, "1", "b"]).hashes) == 3
