"""Names of categories as numbers: the same in numpy and in the graph, unknown ones counted."""

import math
from collections import Counter
from typing import Any

import numpy as np
import pandas
import pytest
import torch

from lepton_ai.core import ConfigError, DataError, UsageError
from lepton_ai.layers import Input, StringLookup
from lepton_ai.layers.stage import Stage
from tests.contracts.stage import ODD, Graph, StageContract

TERMS = ["", *ODD[3:9], "a", "b"]


class TestStringLookup(StageContract):
    def make(self) -> Stage:
        return StringLookup(vocabulary=TERMS)


class TestOneHotColumn(StageContract):
    shapes = ((1,),)

    def make(self) -> Stage:
        return StringLookup(vocabulary=TERMS, output_mode="one_hot", num_oov_indices=3)


class TestMaskedHashedAndMissing(StageContract):
    def make(self) -> Stage:
        return StringLookup(vocabulary=TERMS[1:], mask_token="?", num_oov_indices=4, missing="?")


class TestTfIdf(StageContract):
    def make(self) -> Stage:
        stage = StringLookup(output_mode="tf_idf", mask_token="a", max_tokens=20, pad_to_max_tokens=True)
        stage.adapt(TERMS * 2 + ["b"])
        return stage


def test_the_vocabulary_is_by_frequency_and_ties_go_as_in_keras() -> None:
    stage = StringLookup(max_tokens=4)
    stage.adapt(["c", "a", "b", "b", "d"])
    assert stage.get_vocabulary() == ["[UNK]", "b", "d", "c"]
    assert stage(["b", "a", "c"]).tolist() == [1, 0, 3]
    assert stage.vocabulary_size() == 4


def test_a_mask_stands_first_in_int_mode_and_counts_for_nothing_in_others() -> None:
    numbers = StringLookup(vocabulary=["a", "b"], mask_token="")
    assert numbers.get_vocabulary() == ["", "[UNK]", "a", "b"]
    assert numbers([["a", "", "z"]]).tolist() == [[2, 0, 1]]
    counts = StringLookup(vocabulary=["a", "b"], mask_token="", output_mode="count")
    assert counts([["a", "", "a", "z"]]).tolist() == [[1.0, 2.0, 0.0]]


@pytest.mark.parametrize(
    ("mode", "values", "wanted"),
    [
        ("one_hot", ["b", "z"], [[0, 0, 1], [1, 0, 0]]),
        ("one_hot", [["b"], ["z"]], [[0, 0, 1], [1, 0, 0]]),
        ("one_hot", [["a", "b"]], [[[0, 1, 0], [0, 0, 1]]]),
        ("multi_hot", [["a", "a", "z"]], [[1, 1, 0]]),
        ("count", [["a", "a", "z"]], [[1, 2, 0]]),
    ],
)
def test_output_modes_give_what_keras_gives(mode: str, values: Any, wanted: Any) -> None:
    stage = StringLookup(vocabulary=["a", "b"], output_mode=mode)
    answer = stage(values)
    assert answer.dtype == torch.float32 and answer.tolist() == wanted
    shape = np.asarray(values, object).shape
    assert np.array_equal(Graph(stage, Input(shape[1:], dtype="string"))(np.asarray(values, object)), wanted)


def test_tf_idf_weighs_by_the_documents_that_hold_a_term() -> None:
    stage = StringLookup(output_mode="tf_idf")
    stage.adapt([["a", "b"], ["a", "a"], ["a", "c"]])
    weight = {term: math.log(1 + 3 / (1 + found)) for term, found in {"a": 3, "b": 1, "c": 1}.items()}
    assert stage.get_vocabulary() == ["[UNK]", "a", "c", "b"]
    mean = np.mean([weight["a"], weight["c"], weight["b"]])
    np.testing.assert_allclose(stage([["a", "a", "z"]]), [[float(mean), 2 * weight["a"], 0.0, 0.0]], rtol=1e-6)


def test_unknown_terms_are_counted() -> None:
    stage = StringLookup(vocabulary=["a", "b"])
    assert stage.unknown(["a", "z", "y", "z"]) == Counter({"z": 2, "y": 1})
    assert StringLookup(vocabulary=["a"], missing="a").unknown([None, "", "q"]) == Counter({"q": 1})


def test_without_a_bucket_an_unknown_term_is_an_error_here_and_in_the_graph() -> None:
    stage = StringLookup(vocabulary=["a", "b"], num_oov_indices=0, name="job")
    with pytest.raises(DataError) as caught:
        stage(["a", "z", "y"])
    assert str(caught.value) == (
        "StringLookup 'job': 'z' in row 1 is not in the vocabulary, nor are 1 more. "
        "Give unknown terms a bucket: num_oov_indices=1."
    )
    graph = Graph(stage, Input((), dtype="string"))
    assert graph(np.array(["b"], object)).tolist() == [1] and graph(np.array([], object)).shape == (0,)
    with pytest.raises(Exception, match="refused: a text that job does not know"):
        graph(np.array(["a", "z"], object))


def test_missing_values_get_the_term_that_stands_for_them_or_an_error_with_the_row() -> None:
    stage = StringLookup(vocabulary=["a", "none"], missing="none")
    assert stage(["a", None, ""]).tolist() == [1, 2, 2]
    assert stage(pandas.Series(["a", None, float("nan")])).tolist() == [1, 2, 2]
    with pytest.raises(DataError) as caught:
        StringLookup(vocabulary=["a"], name="job")(["a", None])
    assert str(caught.value) == (
        "StringLookup 'job': None in row 1, expected a text. Fill the gap (column.fillna(\"\")), or say what stands "
        'for it in the layer: missing="[MISSING]".'
    )


@pytest.mark.parametrize(
    "values",
    [
        ["a", "b"],
        np.array(["a", "b"]),
        np.array(["a", "b"], object),
        np.array(["a", "b"], np.dtypes.StringDType()),
        np.array([b"a", b"b"]),
        [b"a", "b"],
        pandas.Series(["a", "b"]),
        pandas.Series(["a", "b"], dtype="string"),
        pandas.Series(["a", "b"], dtype="category"),
        ("a", "b"),
    ],
    ids=lambda values: type(values).__name__ + str(getattr(values, "dtype", "")),
)
def test_texts_come_in_any_container(values: Any) -> None:
    stage = StringLookup()
    stage.adapt(values)
    assert stage(values).tolist() == [2, 1]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: StringLookup(vocabulary=["a", "a"]), "StringLookup.vocabulary[1]: 'a' comes twice. Leave it out."),
        (
            lambda: StringLookup(vocabulary="ab"),
            "StringLookup.vocabulary: got 'ab', expected a list of terms",
        ),
        (
            lambda: StringLookup(output_mode="onehot"),
            "StringLookup.output_mode: got 'onehot', expected 'int' or 'one_hot' or 'multi_hot' or 'count' or 'tf_idf'",
        ),
        (lambda: StringLookup(max_tokens=1), "StringLookup.max_tokens: got 1, expected more than 1"),
        (lambda: StringLookup(num_oov_indices=-1), "StringLookup.num_oov_indices: got -1, expected 0 or more"),
        (
            lambda: StringLookup(vocabulary=["a"], output_mode="tf_idf"),
            'StringLookup.vocabulary: idf_weights go with output_mode="tf_idf" and a vocabulary',
        ),
    ],
)
def test_settings_that_cannot_be_are_refused(make: Any, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make()
    assert str(caught.value) == said


def test_before_adapt_it_says_so() -> None:
    for given in (["a"], Input((), dtype="string")):
        with pytest.raises(UsageError) as caught:
            StringLookup(name="job")(given)
        assert str(caught.value) == (
            "StringLookup 'job': has no vocabulary yet. Call adapt(x_train) before, on the training data."
        )
    with pytest.raises(UsageError, match="got no terms to learn"):
        StringLookup().adapt([])


def test_numbers_are_not_taken_for_texts() -> None:
    with pytest.raises(ConfigError, match="got float32, expected string"):
        StringLookup(vocabulary=["a"])(Input((3,)))
    with pytest.raises(DataError, match="3 in row 1, expected a text. If numbers are names here"):
        StringLookup(vocabulary=["a"])(["a", 3])
