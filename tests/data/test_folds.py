from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lepton_ai.core import ConfigError, DataError
from lepton_ai.data import fold_indices


@given(rows=st.integers(4, 60), folds=st.integers(2, 4), seed=st.integers(0, 9))
@settings(max_examples=60, deadline=None)
def test_every_row_is_held_out_once(rows: int, folds: int, seed: int) -> None:
    found = fold_indices(rows, folds, seed=seed)
    assert len(found) == folds
    assert sorted(np.concatenate([held for _, held in found])) == list(range(rows))
    for train, held in found:
        assert sorted([*train, *held]) == list(range(rows))
        assert abs(len(held) - rows / folds) < 1
    again = fold_indices(rows, folds, seed=seed)
    assert all(
        np.array_equal(a, b) for one, other in zip(found, again, strict=True) for a, b in zip(one, other, strict=True)
    )


@given(sizes=st.lists(st.integers(3, 20), min_size=2, max_size=4), seed=st.integers(0, 9))
@settings(max_examples=40, deadline=None)
def test_classes_are_shared_out(sizes: list[int], seed: int) -> None:
    y = np.repeat(np.arange(len(sizes)), sizes)
    for _, held in fold_indices(len(y), 3, seed=seed, stratify=y):
        for label, size in enumerate(sizes):
            assert abs((y[held] == label).sum() - size / 3) < 1


@given(groups=st.lists(st.integers(0, 9), min_size=12, max_size=40))
@settings(max_examples=40, deadline=None)
def test_a_group_stands_on_one_side(groups: list[int]) -> None:
    if len(set(groups)) < 3:
        return
    for train, held in fold_indices(len(groups), 3, groups=groups):
        assert not {groups[i] for i in train} & {groups[i] for i in held}


@given(times=st.lists(st.integers(0, 30), min_size=12, max_size=40))
@settings(max_examples=40, deadline=None)
def test_in_time_nothing_is_learnt_from_the_future(times: list[int]) -> None:
    if len(set(times)) < 4:
        return
    found = fold_indices(len(times), 3, time=times)
    for train, held in found:
        assert max(times[i] for i in train) < min(times[i] for i in held)
    assert [len(train) for train, _ in found] == sorted(len(train) for train, _ in found)


@pytest.mark.parametrize("folds", [1, 0, True, 2.0])
def test_a_number_of_folds_that_cannot_be(folds: Any) -> None:
    with pytest.raises(ConfigError, match=r"fold_indices\.folds: got .*, expected a whole number, 2 or more"):
        fold_indices(10, folds)


def test_a_class_too_small_for_the_folds_is_named() -> None:
    with pytest.raises(DataError, match=r"class 1 has 2 rows, but there are 3 parts"):
        fold_indices(10, 3, stratify=[0] * 8 + [1] * 2)
