"""Hashes: one in Python, numpy and the graph."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lepton_ai.core import ConfigError
from lepton_ai.layers import HashedCrossing, Hashing, Input
from lepton_ai.layers.hashing import murmur3
from lepton_ai.layers.stage import Stage
from tests.contracts.stage import Graph, StageContract

whole = st.integers(-(2**63), 2**63 - 1)


class TestHashing(StageContract):
    def make(self) -> Stage:
        return Hashing(num_bins=7)


class TestHashingWithSaltAndMask(StageContract):
    shapes = ((1,),)

    def make(self) -> Stage:
        return Hashing(num_bins=5, salt=99, mask_value="", output_mode="one_hot")


class TestHashingCounts(StageContract):
    def make(self) -> Stage:
        return Hashing(num_bins=5, output_mode="count")


class TestHashedCrossing(StageContract):
    shapes = ((1,), (1,))

    def make(self) -> Stage:
        return HashedCrossing(num_bins=11, output_mode="one_hot")


class TestHashedCrossingOfThree(StageContract):
    shapes = ((), (1,), ())

    def make(self) -> Stage:
        return HashedCrossing(num_bins=1000)


@pytest.mark.parametrize(
    ("content", "seed", "hashed"),  # from the reference implementation's published test vectors
    [
        (b"", 0, 0),
        (b"", 1, 0x514E28B7),
        (b"", 0xFFFFFFFF, 0x81F16F39),
        (b"\xff\xff\xff\xff", 0, 0x76293B50),
        (b"!Ce\x87", 0, 0xF55B516B),
        (b"!Ce\x87", 0x5082EDEE, 0x2362F9DE),
        (b"!Ce", 0, 0x7E4A8634),
        (b"!C", 0, 0xA0F7B07A),
        (b"!", 0, 0x72661CF4),
    ],
)
def test_the_hash_is_murmur3(content: bytes, seed: int, hashed: int) -> None:
    assert murmur3(content, seed) == hashed


@settings(max_examples=60, deadline=None)
@given(st.lists(whole, min_size=1, max_size=8), st.integers(0, 2**31 - 1))
def test_whole_numbers_hash_by_their_bytes(values: list[int], salt: int) -> None:
    stage = Hashing(num_bins=1_000_003, salt=salt)
    wanted = [murmur3(value.to_bytes(8, "little", signed=True), salt) % 1_000_003 for value in values]
    assert stage.compute(np.array(values, np.int64)).tolist() == wanted


def test_whole_numbers_hash_alike_in_the_graph() -> None:
    values = np.array([0, 1, -1, 7, 2**62, -(2**63)], np.int64)
    for stage in (Hashing(num_bins=9), Hashing(num_bins=9, mask_value=7), Hashing(num_bins=9, mask_value="7")):
        assert np.array_equal(Graph(stage, Input((), dtype="int64"))(values), stage.compute(values))
    cross = HashedCrossing(num_bins=50)
    texts = np.array(["a", "b", "", "中", "a", "x"], object)
    graph = Graph(cross, Input((), dtype="string"), Input((), dtype="int64"))
    assert np.array_equal(graph(texts, values), cross.compute(texts, values))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Hashing(num_bins=0), "Hashing.num_bins: got 0, expected a positive int"),
        (
            lambda: Hashing(num_bins=1, mask_value=""),
            "Hashing.num_bins: got 1, expected at least 2 beside a mask_value",
        ),
        (lambda: Hashing(2, salt=-1), "Hashing.salt: got -1, expected a whole number from 0 to 2**31 - 1"),
        (lambda: Hashing(2, mask_value=1.5), "Hashing.mask_value: got 1.5, expected a text, a whole number or None"),
        (lambda: HashedCrossing(4, "count"), "HashedCrossing.output_mode: got 'count', expected 'int' or 'one_hot'"),
    ],
)
def test_settings_that_cannot_be_are_refused(make: Any, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make()
    assert str(caught.value) == said


def test_a_cross_needs_two_columns() -> None:
    with pytest.raises(ConfigError, match="got one input, expected at least two to cross"):
        HashedCrossing(4)([Input((), dtype="string")])
    with pytest.raises(ConfigError, match=r"got an input of shape \(None, 3\), expected one value for each row"):
        HashedCrossing(4)([Input((3,), dtype="string"), Input((3,), dtype="string")])
