"""Judged by scikit-learn."""

import numpy as np
import pytest
import sklearn.metrics as judge
import torch
from scipy.stats import pearsonr
from torchmetrics.functional import concordance_corrcoef

from lepton_ai.core import ConfigError, DataError, ShapeError
from lepton_ai.evaluation import (
    concordance_correlation,
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_squared_error,
    mean_squared_logarithmic_error,
    pearson_correlation,
    pinball_loss,
    r2_score,
    root_mean_squared_error,
)

PAIRS = [
    (mean_squared_error, judge.mean_squared_error),
    (mean_absolute_error, judge.mean_absolute_error),
    (root_mean_squared_error, judge.root_mean_squared_error),
    (r2_score, judge.r2_score),
    (mean_absolute_percentage_error, judge.mean_absolute_percentage_error),
    (mean_squared_logarithmic_error, judge.mean_squared_log_error),
    (pinball_loss, judge.mean_pinball_loss),
]


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
@pytest.mark.parametrize("shape", [(30,), (30, 1), (30, 4)])
def test_like_scikit_learn(ours: object, theirs: object, shape: tuple[int, ...]) -> None:
    assert callable(ours) and callable(theirs)
    random = np.random.default_rng(0)
    targets = random.normal(size=shape) + 9
    predicted = targets + random.normal(size=shape)
    assert ours(predicted, targets) == pytest.approx(theirs(targets, predicted), rel=1e-12)


@pytest.mark.parametrize("predicted", [[2.0, 2.0], [1.0, 3.0]])
def test_r2_of_constant_targets_like_scikit_learn(predicted: list[float]) -> None:
    assert r2_score(predicted, [2.0, 2.0]) == judge.r2_score([2.0, 2.0], predicted)


def test_a_column_and_a_row_of_numbers_are_the_same_but_no_broadcasting() -> None:
    assert mean_squared_error([[1.0], [2.0]], [1.0, 4.0]) == 2.0
    with pytest.raises(ShapeError, match="predicted has 3 outputs, targets 1, expected the same number. Broadcasting"):
        mean_squared_error(np.zeros((8, 3)), np.zeros((8, 1)))


@pytest.mark.parametrize("quantile", [0.1, 0.9])
def test_quantiles_like_scikit_learn(quantile: float) -> None:
    targets, predicted = np.random.default_rng(0).normal(size=(2, 40))
    assert pinball_loss(predicted, targets, quantile) == pytest.approx(
        judge.mean_pinball_loss(targets, predicted, alpha=quantile), rel=1e-12
    )


def test_correlations_like_scipy_and_torchmetrics() -> None:
    targets = np.random.default_rng(0).normal(size=(40, 3))
    predicted = targets * [1.0, 2.0, -1.0] + np.random.default_rng(1).normal(size=(40, 3))
    each = [pearsonr(predicted[:, i], targets[:, i]).statistic for i in range(3)]
    assert pearson_correlation(predicted, targets) == pytest.approx(np.mean(each), rel=1e-9)
    expected = concordance_corrcoef(torch.from_numpy(predicted), torch.from_numpy(targets)).mean()
    # torchmetrics divides the moments by n - 1 in part
    assert concordance_correlation(predicted, targets) == pytest.approx(float(expected), abs=0.01)
    first, second = predicted[:, 0], targets[:, 0]
    bias = (first.mean() - second.mean()) ** 2
    by_hand = 2 * np.cov(first, second, ddof=0)[0, 1] / (first.var() + second.var() + bias)
    assert concordance_correlation(first, second) == pytest.approx(by_hand, rel=1e-12)


def test_constants_have_no_correlation() -> None:
    assert pearson_correlation([1.0, 1.0], [1.0, 2.0]) == 0.0
    assert concordance_correlation([1.0, 1.0], [1.0, 1.0]) == 1.0
    assert concordance_correlation([1.0, 1.0], [2.0, 2.0]) == 0.0


def test_errors() -> None:
    with pytest.raises(
        DataError, match="error.predicted: 1 rows are negative, expected numbers from 0 on. Use mean_sq"
    ):
        mean_squared_logarithmic_error([1, -2], [1, 2])
    with pytest.raises(ConfigError, match=r"pinball_loss.quantile: got 1.0, expected a number in \(0, 1\)"):
        pinball_loss([1], [1], 1.0)
    with pytest.raises(DataError, match="pearson_correlation: a correlation needs two samples"):
        pearson_correlation([1], [1])
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
