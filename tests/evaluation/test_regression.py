"""Judged by scikit-learn."""

import numpy as np
import pytest
import sklearn.metrics as judge

from lepton_ai.core import DataError, ShapeError
from lepton_ai.evaluation import (
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_squared_error,
    r2_score,
    root_mean_squared_error,
)

PAIRS = [
    (mean_squared_error, judge.mean_squared_error),
    (mean_absolute_error, judge.mean_absolute_error),
    (root_mean_squared_error, judge.root_mean_squared_error),
    (r2_score, judge.r2_score),
    (mean_absolute_percentage_error, judge.mean_absolute_percentage_error),
]


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
@pytest.mark.parametrize("shape", [(30,), (30, 1), (30, 4)])
def test_like_scikit_learn(ours: object, theirs: object, shape: tuple[int, ...]) -> None:
    assert callable(ours) and callable(theirs)
    random = np.random.default_rng(0)
    targets = random.normal(size=shape) + 5
    predicted = targets + random.normal(size=shape)
    assert ours(predicted, targets) == pytest.approx(theirs(targets, predicted), rel=1e-12)


@pytest.mark.parametrize("predicted", [[2.0, 2.0], [1.0, 3.0]])
def test_r2_of_constant_targets_like_scikit_learn(predicted: list[float]) -> None:
    assert r2_score(predicted, [2.0, 2.0]) == judge.r2_score([2.0, 2.0], predicted)


def test_a_column_and_a_row_of_numbers_are_the_same_but_no_broadcasting() -> None:
    assert mean_squared_error([[1.0], [2.0]], [1.0, 4.0]) == 2.0
    with pytest.raises(ShapeError, match="predicted has 3 outputs, targets 1, expected the same number. Broadcasting"):
        mean_squared_error(np.zeros((8, 3)), np.zeros((8, 1)))


def test_errors() -> None:
    with pytest.raises(ShapeError, match="predicted has 2 rows, targets has 1 rows"):
        mean_absolute_error([1, 2], [1])
    with pytest.raises(DataError, match="targets: 1 of 2 rows hold NaN"):
        mean_absolute_error([1, 2], [1, np.nan])
    with pytest.raises(DataError, match="1 targets are 0, expected targets that are not 0. Use mean_absolute_error"):
        mean_absolute_percentage_error([1, 2], [0, 1])
    with pytest.raises(DataError, match="a variance needs two samples"):
        r2_score([1], [1])
    with pytest.raises(DataError, match="there are no samples"):
        mean_squared_error([], [])
