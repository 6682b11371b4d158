"""Texts as numbers of words: the same in numpy and in the graph for any text; Keras' numbers for plain ones."""

from collections import Counter
from typing import Any

import numpy as np
import pytest

from lepton_ai.core import ConfigError, DataError, UsageError
from lepton_ai.layers import TextVectorization
from lepton_ai.layers.stage import Stage
from tests.contracts.stage import ODD, StageContract


def adapted(**settings: Any) -> TextVectorization:
    stage = TextVectorization(**settings)
    stage.adapt(ODD)
    return stage


class TestTextVectorization(StageContract):
    def make(self) -> Stage:
        return adapted(output_sequence_length=6, max_tokens=25)


class TestWordsOfFreeLength(StageContract):
    shapes = ((1,),)

    def make(self) -> Stage:
        return adapted(standardize="lower")


class TestCharacters(StageContract):
    def make(self) -> Stage:
        return adapted(split="character", max_tokens=60)


class TestCharactersWithPunctuation(StageContract):
    def make(self) -> Stage:
        return adapted(split="character", standardize="strip_punctuation", output_sequence_length=9)


class TestMixedNgrams(StageContract):
    def make(self) -> Stage:
        return adapted(split="mixed", ngrams=3)


class TestNgramsCutToLength(StageContract):
    def make(self) -> Stage:
        return adapted(split="mixed", standardize=None, ngrams=2, output_sequence_length=5)


class TestWholeTexts(StageContract):
    def make(self) -> Stage:
        return adapted(split=None, missing="nothing")


class TestCountedPairs(StageContract):
    def make(self) -> Stage:
        return adapted(ngrams=2, output_mode="count", max_tokens=40)


class TestTfIdf(StageContract):
    def make(self) -> Stage:
        return adapted(output_mode="tf_idf", max_tokens=300, pad_to_max_tokens=True, standardize="strip_punctuation")


class TestMultiHotWholeTexts(StageContract):
    def make(self) -> Stage:
        return adapted(output_mode="multi_hot", split=None)


def test_words_are_numbered_as_keras_numbers_them() -> None:
    stage = TextVectorization(max_tokens=5, output_sequence_length=4)
    stage.adapt(["foo qux bar", "Foo, BAR!", "qux baz foo"])
    assert stage.get_vocabulary() == ["", "[UNK]", "foo", "qux", "bar"]
    assert stage(["foo qux baz", "", "bar bar bar bar bar"]).tolist() == [[2, 3, 1, 0], [0, 0, 0, 0], [4, 4, 4, 4]]
    assert stage.vocabulary_size() == 5


def test_counts_put_unknown_words_first() -> None:
    stage = TextVectorization(vocabulary=["a", "b"], output_mode="count")
    assert stage.get_vocabulary() == ["[UNK]", "a", "b"]
    assert stage(["a a c", ""]).tolist() == [[1, 2, 0], [0, 0, 0]]


def test_chinese_goes_by_character_and_latin_by_word() -> None:
    stage = TextVectorization(split="mixed", vocabulary=["我", "爱", "deep", "学习"])
    assert stage(["我爱 Deep，学习"]).tolist() == [[2, 3, 4, 1, 1]]
    assert stage.unknown(["我爱学"]) == Counter({"学": 1})


def test_a_stored_vocabulary_comes_with_or_without_its_special_words() -> None:
    first = TextVectorization(vocabulary=["a", "b"])
    assert TextVectorization(vocabulary=first.get_vocabulary()).vocabulary == first.vocabulary == ("a", "b")


def test_missing_texts() -> None:
    assert TextVectorization(vocabulary=["a"], missing="")([None, "a"]).tolist() == [[0], [2]]
    with pytest.raises(DataError, match="None in row 1, expected a text"):
        TextVectorization(vocabulary=["a"])(["a", None])
    with pytest.raises(DataError) as caught:
        TextVectorization(vocabulary=["a"], name="text")(["a", "ä".encode("latin-1")])
    assert str(caught.value) == (
        "TextVectorization 'text': byte 0xe4 at place 0 of row 1 is not UTF-8. Decode it with its own encoding: "
        "value.decode('latin-1'), or 'gb18030'."
    )


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (
            lambda: TextVectorization(standardize=str.lower),  # type: ignore[arg-type]
            "expected None or 'lower' or 'strip_punctuation' or 'lower_and_strip_punctuation'. "
            "A function of yours cannot travel with the model: apply it to the texts before.",
        ),
        (lambda: TextVectorization(split="words"), "TextVectorization.split: got 'words', expected None or"),
        (lambda: TextVectorization(ngrams=0), "TextVectorization.ngrams: got 0, expected a positive int or None"),
        (lambda: TextVectorization(ngrams=2, split=None), "ngrams need a split: a whole text has no neighbours"),
        (
            lambda: TextVectorization(output_mode="count", output_sequence_length=3),
            'TextVectorization: output_sequence_length goes with output_mode="int"',
        ),
        (lambda: TextVectorization(max_tokens=2), "TextVectorization.max_tokens: got 2, expected more than 2"),
        (
            lambda: TextVectorization(vocabulary=list("abc"), max_tokens=4),
            "TextVectorization.vocabulary: got '3 terms', expected at most 2, as max_tokens says",
        ),
    ],
)
def test_settings_that_cannot_be_are_refused(make: Any, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make()
    assert said in str(caught.value)


def test_it_needs_words_to_learn_and_texts_in_a_list() -> None:
    with pytest.raises(UsageError, match="got no words to learn"):
        TextVectorization().adapt(["", "..."])
    with pytest.raises(DataError, match="one text alone"):
        TextVectorization(vocabulary=["a"])("a b")


def test_a_long_text_costs_no_more_than_its_length() -> None:
    stage = TextVectorization(vocabulary=["a"], output_sequence_length=2)
    assert stage(["a " * 100_000]).tolist() == [[2, 2]]
    assert np.asarray(stage(["a"] * 3)).shape == (3, 2)
