"""Judged by scipy, and by how often the truth lies inside."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from scipy.stats import bootstrap as scipy_bootstrap

from lepton_ai.core import ConfigError, DataError, ShapeError
from lepton_ai.evaluation import bootstrap_interval, roc_auc, wilson_interval


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 5000), st.floats(0, 1), st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_wilson_like_scipy(trials: int, share: float, level: float) -> None:
    successes = round(trials * share)
    found = wilson_interval(successes, trials, level=level)
    expected = binomtest(successes, trials).proportion_ci(level, method="wilson")
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert 0 <= found.low <= successes / trials <= found.high <= 1


@pytest.mark.parametrize(("successes", "trials"), [(1, 0), (3, 2), (-1, 2)])
def test_wilson_of_nonsense(successes: int, trials: int) -> None:
    with pytest.raises(DataError, match="0 <= successes <= trials and at least one trial"):
        wilson_interval(successes, trials)


def test_bootstrap_like_scipy_and_repeatable() -> None:
    values = np.random.default_rng(0).gamma(2.0, size=200)
    found = bootstrap_interval(lambda x: float(np.median(x)), values, resamples=4000)
    expected = scipy_bootstrap((values,), np.median, method="percentile", n_resamples=4000, rng=1).confidence_interval
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.05)
    assert found == bootstrap_interval(lambda x: float(np.median(x)), values, resamples=4000)
    assert found != bootstrap_interval(lambda x: float(np.median(x)), values, resamples=4000, seed=1)


def test_bootstrap_covers_the_truth_about_as_often_as_it_says() -> None:
    random = np.random.default_rng(0)
    hits = 0
    for _ in range(100):
        interval = bootstrap_interval(lambda x: float(x.mean()), random.normal(3.0, 1.0, 80), resamples=200)
        hits += interval.low <= 3.0 <= interval.high
    assert hits >= 87


def test_bootstrap_draws_rows_together() -> None:
    rows = np.arange(50)
    interval = bootstrap_interval(lambda a, b: float((a == b).mean()), rows, rows, resamples=20)
    assert (interval.low, interval.high) == (1.0, 1.0)


def test_bootstrap_skips_resamples_of_one_class() -> None:
    scores, targets = np.linspace(0, 1, 20), np.array([0] * 18 + [1] * 2)
    assert bootstrap_interval(roc_auc, scores, targets, resamples=200).low == 1.0
    with pytest.raises(DataError, match="could be computed in 0 of 50 resamples. Give more rows"):
        bootstrap_interval(roc_auc, scores, np.zeros(20, int), resamples=50)


def test_errors() -> None:
    with pytest.raises(ConfigError, match="wilson_interval.level: got 95, expected a share between 0 and 1"):
        wilson_interval(1, 2, level=95)
    with pytest.raises(ShapeError, match="array 0 has 2 rows, array 1 has 3 rows"):
        bootstrap_interval(lambda a, b: 0.0, [1, 2], [1, 2, 3])
    with pytest.raises(ConfigError, match="at least one array"):
        bootstrap_interval(lambda: 0.0)
