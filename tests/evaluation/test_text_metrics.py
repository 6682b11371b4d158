"""Judged by torchmetrics, and edit distance by its definition."""

from functools import cache

import pytest
import torchmetrics.functional.text as judge
from hypothesis import given, settings
from hypothesis import strategies as st

from lepton_ai.core import ConfigError, DataError, ShapeError, UnknownNameError
from lepton_ai.evaluation import bleu, character_error_rate, edit_distance, exact_match, word_error_rate

WORDS = st.lists(st.sampled_from(["a", "b", "the", "cat"]), min_size=1, max_size=9).map(" ".join)
PAIRS = st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=5)


@settings(max_examples=80, deadline=None)
@given(st.text("abc", max_size=8), st.text("abc", max_size=8))
def test_edit_distance_is_its_definition(first: str, second: str) -> None:
    @cache
    def distance(i: int, j: int) -> int:
        if not i or not j:
            return i + j
        changed = distance(i - 1, j - 1) + (first[i - 1] != second[j - 1])
        return min(distance(i - 1, j) + 1, distance(i, j - 1) + 1, changed)

    assert edit_distance(first, second) == distance(len(first), len(second))
    assert edit_distance(list(second), list(first)) == distance(len(first), len(second))


@settings(max_examples=60, deadline=None)
@given(PAIRS)
def test_error_rates_are_those_of_torchmetrics(pairs: list[tuple[str, str]]) -> None:
    said, true = [list(each) for each in zip(*pairs, strict=True)]
    assert word_error_rate(said, true) == pytest.approx(float(judge.word_error_rate(said, true)), rel=1e-6)
    assert character_error_rate(said, true) == pytest.approx(float(judge.char_error_rate(said, true)), rel=1e-6)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(WORDS, st.lists(WORDS, min_size=1, max_size=3)), min_size=1, max_size=5), st.integers(1, 4))
def test_bleu_is_that_of_torchmetrics(rows: list[tuple[str, list[str]]], order: int) -> None:
    said, true = [row[0] for row in rows], [row[1] for row in rows]
    expected = float(judge.bleu_score(said, true, n_gram=order))
    assert bleu(said, true, max_order=order) == pytest.approx(expected, rel=1e-5, abs=1e-7)
    smoothed = float(judge.bleu_score(said, true, n_gram=order, smooth=True))
    if expected:  # else torchmetrics gives 0 before it smooths
        assert bleu(said, true, max_order=order, smoothing="add_one") == pytest.approx(smoothed, rel=1e-5, abs=1e-7)


def test_bleu_of_the_paper_s_kind_and_of_characters() -> None:
    assert bleu(["the the the the the the the"], ["the cat is on the mat"], max_order=1) == pytest.approx(2 / 7)
    assert bleu(["今天天气很好"], ["今天天气很好"], tokens="characters") == 1.0
    assert bleu(["今天 天气"], [["今天天气"]], max_order=2, tokens="characters") == 1.0
    assert bleu([""], ["a b"]) == 0.0
    assert bleu(["a b"], ["c d"], smoothing="add_one") == 0.0
    # 2 of 3 words, (0 + 1) of (2 + 1) pairs
    assert bleu(["a x b"], ["a b c"], max_order=2, smoothing="add_one") == pytest.approx((2 / 3 * 1 / 3) ** 0.5)


def test_empty_answers_cost_all_of_the_target() -> None:
    assert word_error_rate(["", "a"], ["b c", "a"]) == 2 / 3
    assert character_error_rate([""], ["ab"]) == 1.0
    assert exact_match(["", "a"], ["", "b"]) == 0.5


def test_errors() -> None:
    with pytest.raises(ShapeError, match="word_error_rate: predicted has 1 rows, targets has 2 rows"):
        word_error_rate(["a"], ["a", "b"])
    with pytest.raises(DataError, match="character_error_rate: the targets hold no characters, expected at least one"):
        character_error_rate(["a"], [""])
    with pytest.raises(
        DataError, match="exact_match.predicted: got 'a', expected a list of texts. Write .text. for one"
    ):
        exact_match("a", ["a"])
    with pytest.raises(DataError, match=r"word_error_rate.targets\[1\]: got 3, expected a text"):
        word_error_rate(["a", "b"], ["a", 3])  # type: ignore[list-item]
    with pytest.raises(DataError, match="there are no samples"):
        bleu([], [])
    with pytest.raises(DataError, match=r"bleu.targets\[0\]: got \[\], expected a text, or one reference text or more"):
        bleu(["a"], [[]])
    with pytest.raises(ConfigError, match="bleu.max_order: got 0, expected an int of at least 1"):
        bleu(["a"], ["a"], max_order=0)
    with pytest.raises(UnknownNameError, match="bleu.tokens: unknown tokens 'word'. Did you mean 'words'"):
        bleu(["a"], ["a"], tokens="word")  # type: ignore[arg-type]
