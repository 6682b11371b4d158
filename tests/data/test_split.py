import itertools
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lepton_ai.core import ConfigError, DataError
from lepton_ai.data import Arrays, Subset, Table, split, split_indices

fractions = st.sampled_from([(0.8, 0.2), (0.5, 0.5), (0.7, 0.15, 0.15), (0.25, 0.25, 0.25, 0.25), (0.98, 0.02)])
bounded = settings(max_examples=100, deadline=None)


def covered(parts: tuple[Any, ...], rows: int) -> bool:
    return sorted(np.concatenate(parts).tolist()) == list(range(rows)) and all(len(part) > 0 for part in parts)


@bounded
@given(st.integers(4, 200), fractions, st.integers(0, 9))
def test_random_parts_cover_all_rows_once_in_proportion(rows: int, shares: tuple[float, ...], seed: int) -> None:
    parts = split_indices(rows, fractions=shares, seed=seed)
    assert covered(parts, rows)
    again = split_indices(rows, fractions=shares, seed=seed)
    assert all(np.array_equal(a, b) for a, b in zip(parts, again, strict=True))
    for part, share in zip(parts, shares, strict=True):
        assert abs(len(part) - rows * share) < 1 or len(part) == 1 or rows * min(shares) < 1


@bounded
@given(st.lists(st.integers(4, 60), min_size=1, max_size=6), fractions, st.integers(0, 9))
def test_stratified_parts_keep_the_share_of_each_class(counts: list[int], shares: tuple[float, ...], seed: int) -> None:
    classes = np.repeat(np.arange(len(counts)), counts)
    np.random.default_rng(seed).shuffle(classes)
    parts = split_indices(len(classes), fractions=shares, seed=seed, stratify=classes)
    assert covered(parts, len(classes))
    for value, count in enumerate(counts):
        for part, share in zip(parts, shares, strict=True):
            held = int((classes[part] == value).sum())
            assert held >= 1
            assert abs(held - count * share) < 1 or count * min(shares) < 1


@bounded
@given(st.lists(st.integers(0, 12), min_size=4, max_size=120), fractions, st.integers(0, 9))
def test_groups_never_straddle(groups: list[int], shares: tuple[float, ...], seed: int) -> None:
    assume(len(set(groups)) >= len(shares))
    parts = split_indices(len(groups), fractions=shares, seed=seed, groups=groups)
    assert covered(parts, len(groups))
    homes = [{groups[row] for row in part} for part in parts]
    assert sum(map(len, homes)) == len(set(groups))


@bounded
@given(st.lists(st.integers(0, 30), min_size=4, max_size=120), fractions)
def test_time_only_goes_forward(times: list[int], shares: tuple[float, ...]) -> None:
    assume(len(set(times)) >= len(shares))
    parts = split_indices(len(times), fractions=shares, time=np.array(times))
    assert covered(parts, len(times))
    for earlier, later in itertools.pairwise(parts):
        assert max(times[row] for row in earlier) < min(times[row] for row in later)


def test_time_cuts_where_it_was_asked_to() -> None:
    train, test = split_indices(10, test=0.3, time=np.arange(10)[::-1])
    assert train.tolist() == [9, 8, 7, 6, 5, 4, 3] and test.tolist() == [2, 1, 0]
    dates = pd.Series(pd.date_range("2020-01-01", periods=10))
    assert split_indices(10, time=dates)[1].tolist() == [8, 9]


def test_groups_have_about_their_share() -> None:
    groups = np.repeat(np.arange(50), 4)
    train, test = split_indices(200, test=0.2, groups=groups)
    assert (len(train), len(test)) == (160, 40)


def test_seeds_differ() -> None:
    assert not np.array_equal(split_indices(100, seed=0)[1], split_indices(100, seed=1)[1])


def test_everything_with_rows_is_split_alike() -> None:
    x = np.arange(10) * 1.0
    frame = pd.DataFrame({"a": x})
    things = (x, torch.arange(10), frame, list(range(10)), Table.from_frame(frame), Arrays(x), {"a": x, "b": (x, x)})
    train, test = split(*things, test=0.3)
    assert isinstance(test[5], Subset)
    expected = test[0].tolist()
    values = [
        test[1].tolist(),
        test[2].a.tolist(),
        test[3],
        test[4].features()[:, 0].tolist(),
        test[6]["b"][1].tolist(),
    ]
    assert all(each == expected for each in values)
    assert test[5].fetch(torch.arange(3))[0].tolist() == expected
    assert len(train[0]) == 7


def test_one_array_comes_without_a_tuple() -> None:
    parts = split(np.arange(4), fractions=(0.5, 0.25, 0.25))
    assert [len(part) for part in parts] == [2, 1, 1]


@pytest.mark.parametrize(
    ("arguments", "kind", "text"),
    [
        ({"test": 1.0}, ConfigError, "split.test: got 1.0, expected a share between 0 and 1. For example test=0.2"),
        ({"fractions": (0.5, 0.4)}, ConfigError, "split.fractions: got (0.5, 0.4)"),
        ({"stratify": [0] * 9 + [1]}, DataError, "class 1 has 1 row, but there are 2 parts. Add rows of that class"),
        ({"stratify": ["a"] * 9 + ["b"]}, DataError, "class 'b' has 1 row"),
        ({"stratify": [0] * 9}, DataError, "split.stratify: got (9,), expected one value for each of 10 rows"),
        ({"stratify": [0] * 9 + [None]}, DataError, "split.stratify: 1 missing, the first in row 9"),
        ({"groups": [1] * 10}, DataError, "split.groups: 1 groups for 2 parts"),
        ({"time": [1] * 10}, DataError, "split.time: 1 distinct times for 2 parts"),
        ({"time": [1.0] * 9 + [np.nan]}, DataError, "split.time: 1 missing, the first in row 9"),
        ({"time": np.array(["NaT"] * 10, "datetime64[D]")}, DataError, "split.time: 10 missing"),
        ({"time": ["1 May"] * 10}, DataError, "split.time: strings or objects, the first '1 May'"),
        ({"time": [1] * 10, "groups": [1] * 10}, ConfigError, "groups and time together. Choose one"),
    ],
)
def test_splits_that_cannot_be(arguments: dict[str, Any], kind: type[Exception], text: str) -> None:
    with pytest.raises(kind) as caught:
        split_indices(10, **arguments)
    assert text in str(caught.value)


def test_arrays_that_cannot_be_split() -> None:
    with pytest.raises(DataError, match="array 0 has 3 rows, array 1 has 2"):
        split(np.ones(3), np.ones(2))
    with pytest.raises(DataError, match=r"array 0\['a'\] has 3 rows, array 0\['b'\] has 2"):
        split({"a": np.ones(3), "b": np.ones(2)})
    with pytest.raises(DataError, match="1 rows for 2 parts"):
        split(np.ones(1))
    with pytest.raises(DataError, match="a str, expected arrays with rows"):
        split("abc")
    with pytest.raises(ConfigError, match="no arrays"):
        split()
