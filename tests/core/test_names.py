"""Names: spelling, uniqueness, suggestions, registries."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lepton_ai.core import ConfigError, Registry, UnknownNameError, snake_case, unique_name, unknown_name


@pytest.mark.parametrize(
    ("name", "spelled"),
    [
        ("Dense", "dense"),
        ("Conv2D", "conv2d"),
        ("GlobalAveragePooling2D", "global_average_pooling2d"),
        ("LSTM", "lstm"),
        ("GRU", "gru"),
        ("MultiHeadAttention", "multi_head_attention"),
        ("ReLU", "re_lu"),
        ("already_snake", "already_snake"),
    ],
)
def test_snake_case_is_keras_spelling(name: str, spelled: str) -> None:
    assert snake_case(name) == spelled


@settings(max_examples=100, deadline=None)
@given(st.text("abcXYZ12_", min_size=1, max_size=12))
def test_snake_case_is_small_and_stays(name: str) -> None:
    spelled = snake_case(name)
    assert spelled == spelled.lower()
    assert snake_case(spelled) == spelled
    assert spelled.replace("_", "") == name.replace("_", "").lower()


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(["dense", "dense_1", "dense_1_1", "x"]), max_size=12))
def test_unique_names_are_unique(bases: list[str]) -> None:
    taken: set[str] = set()
    names = [unique_name(base, taken) for base in bases]
    assert len(set(names)) == len(names) and taken == set(names)
    assert all(name.startswith(base) for name, base in zip(names, bases, strict=True))


def test_unique_name_counts_from_one() -> None:
    taken: set[str] = set()
    assert [unique_name("dense", taken) for _ in range(3)] == ["dense", "dense_1", "dense_2"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("adm", "compile: unknown optimizer 'adm'. Did you mean 'Adam'?"),
        ("ADAM", "compile: unknown optimizer 'ADAM'. Did you mean 'Adam'?"),
        ("zzz", "compile: unknown optimizer 'zzz'. Known: Adam, SGD."),
        (7, "compile: unknown optimizer 7. Known: Adam, SGD."),
    ],
)
def test_an_unknown_name_gets_the_nearest_or_all(name: object, text: str) -> None:
    assert str(unknown_name("optimizer", name, ["SGD", "Adam"], at="compile")) == text


def test_an_unknown_name_where_there_is_none_at_all() -> None:
    assert str(unknown_name("model", "digits", [])) == "unknown model 'digits'. Known: none."


def test_a_registry_finds_by_name_and_alias() -> None:
    registry = Registry[int]("shape")
    registry.add("square", 4, "quad")
    registry.add("square", 4)  # the same thing again is no conflict
    assert registry.get("square") == registry.get("quad") == 4
    assert "quad" in registry and "circle" not in registry and list(registry) == ["square", "quad"]
    with pytest.raises(UnknownNameError, match=r"^unknown shape 'sqare'\. Did you mean 'square'\?$"):
        registry.get("sqare")


def test_a_taken_name_is_refused_and_nothing_is_registered() -> None:
    registry = Registry[int]("shape")
    registry.add("square", 4)
    with pytest.raises(ConfigError, match=r"^shape 'square' is already registered as 4\. Choose another name\.$"):
        registry.add("rectangle", 5, "square")
    assert list(registry) == ["square"]
    registry.add("rectangle", 5, "square", replace=True)
    assert registry.get("square") == 5
