"""What tells one job from another is said in words."""

import pytest

from lepton_ai.training.facts import differences


@pytest.mark.parametrize(
    ("stored", "mine", "words"),
    [
        (32, 16, "it 32, this one has 16"),
        ({"a": 1, "b": {"c": [1, 2]}}, {"a": 1, "b": {"c": [1, 3]}}, "it.b.c[1] 2, this one has 3"),
        ([1, 2, 3], [1, 2], "3 it, this one has 2"),
        (
            [{"class": "Dense", "config": {"units": 3}}],
            [{"class": "Dense", "config": {"units": 4}}],
            "it[0].units 3, this one has 4",
        ),
        (
            [{"class": "Dense", "config": {"units": 3}}],
            [{"class": "Conv2D", "config": {"filters": 3}}],
            "it[0] 'Dense', this one has 'Conv2D'",
        ),
        ({"a": 1}, {"a": 1, "b": 2}, "it.b None, this one has 2"),
        (None, 3, ""),
        (3, None, ""),
        ([1, {"a": 2}], [1, {"a": 2}], ""),
    ],
)
def test_the_first_difference_is_named(stored: object, mine: object, words: str) -> None:
    assert differences({"it": stored}, {"it": mine}) == words


def test_all_facts_that_differ_are_named() -> None:
    assert differences({"a": 1, "b": 2, "c": 3}, {"a": 2, "b": 2, "c": 4}) == "a 1, this one has 2; c 3, this one has 4"
