"""Terms in order, and the numbers they get."""

import numpy as np
import pytest

from lepton_ai.core import ConfigError
from lepton_ai.layers.vocabulary import Places, checked_terms, inverse_frequencies, learn


def test_terms_go_by_count_and_then_backwards() -> None:
    assert learn({"a": 2, "b": 2, "c": 5}) == ("c", "b", "a")
    assert learn({3: 1, 10: 1, 2: 4}, room=2) == (2, 10)
    assert learn({}, room=3) == ()


def test_places() -> None:
    assert Places(mask=False, oov=1) == (False, 1)
    assert [Places(mask, oov).first_term for mask in (False, True) for oov in (0, 2)] == [0, 2, 1, 3]
    assert Places(True, 1).room(10) == 8 and Places(True, 1).room(None) is None


def test_weights_fall_with_the_documents_that_hold_a_term() -> None:
    np.testing.assert_allclose(inverse_frequencies([1, 2], 4, {1: 4, 2: 1}), [np.log(1.8), np.log(3)])


def test_given_terms_are_checked() -> None:
    assert checked_terms(np.array(["a", "b"]), "v") == ("a", "b")
    assert checked_terms(["", "[UNK]", "a"], "v", ["", "[UNK]"]) == ("a",)
    for terms, said in (
        (["a", "a"], "v[1]: 'a' comes twice. Leave it out."),
        (["a", "[UNK]"], "v[1]: '[UNK]' is not for the vocabulary: it stands for something else. Leave it out."),
        ([], "v: an empty vocabulary. Leave it out, and call adapt(x_train)."),
        (5, "v: got 5, expected a list of terms"),
    ):
        with pytest.raises(ConfigError) as caught:
            checked_terms(terms, "v", ["", "[UNK]"])
        assert str(caught.value) == said
    with pytest.raises(ConfigError, match="got '3 terms', expected at most 2, as max_tokens says"):
        checked_terms([1, 2, 3], "v", room=2)
