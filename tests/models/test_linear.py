"""Regressions in closed form, judged by scikit-learn and numpy."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import linear_model

from lepton_ai.core import ConfigError, DataError, ShapeError, UsageError
from lepton_ai.models import LinearRegression, LogisticRegression

RNG = np.random.default_rng(3)
X = RNG.standard_normal((40, 5)) * [1, 10, 0.1, 1, 1] + [0, 5, 0, -3, 0]
Y = X @ RNG.standard_normal((5, 2)) + [1.0, -2.0] + 0.1 * RNG.standard_normal((40, 2))
LABELS = (X @ RNG.standard_normal((5, 3)) + RNG.standard_normal((40, 3))).argmax(1)


# -- linear -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("columns", [1, 2])
def test_least_squares_is_sklearns(intercept: bool, columns: int) -> None:
    y = Y[:, 0] if columns == 1 else Y
    fit = LinearRegression(fit_intercept=intercept).fit(X, y)
    judge = linear_model.LinearRegression(fit_intercept=intercept).fit(X, y)
    assert fit.coef is not None and fit.intercept is not None
    np.testing.assert_allclose(fit.coef, np.reshape(judge.coef_, (columns, 5)).T, rtol=1e-9)
    np.testing.assert_allclose(fit.intercept, np.broadcast_to(judge.intercept_, (columns,)), rtol=1e-9, atol=1e-12)
    assert fit.predict(X).shape == y.shape
    np.testing.assert_allclose(fit.predict(X), judge.predict(X), rtol=1e-9)
    assert fit.rank == 5


def test_ridge_is_sklearns() -> None:
    fit = LinearRegression(l2=2.5).fit(X, Y)
    judge = linear_model.Ridge(alpha=2.5, solver="svd").fit(X, Y)
    assert fit.coef is not None
    np.testing.assert_allclose(fit.coef, judge.coef_.T, rtol=1e-9)
    np.testing.assert_allclose(fit.predict(X), judge.predict(X), rtol=1e-9)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 8), st.integers(1, 8), st.integers(0, 2**32 - 1))
def test_minimum_norm_where_it_is_singular(rows: int, columns: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((rows, columns))
    x = np.column_stack([x, x[:, :1], x.sum(1)])  # always singular
    y = rng.standard_normal(rows)
    fit = LinearRegression().fit(x, y)
    centred = x - x.mean(0)
    expected = np.linalg.pinv(centred, rcond=1e-12) @ (y - y.mean())
    assert fit.coef is not None
    np.testing.assert_allclose(fit.coef[:, 0], expected, rtol=1e-6, atol=1e-8)
    assert fit.rank <= min(rows, columns)


def test_constant_columns_and_one_row() -> None:
    fit = LinearRegression().fit([[1.0, 2.0]], [3.0])
    assert fit.rank == 0
    assert fit.predict([[9.0, 9.0]]).tolist() == [3.0]
    assert LinearRegression().fit(np.ones((4, 2)), [1.0, 2.0, 3.0, 4.0]).predict([[1.0, 1.0]])[0] == pytest.approx(2.5)


# -- logistic -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("l2", [0.1, 1.0, 10.0])
@pytest.mark.parametrize("classes", [2, 3])
def test_likelihood_is_sklearns(l2: float, classes: int) -> None:
    labels = np.minimum(LABELS, classes - 1)
    fit = LogisticRegression(l2=l2).fit(X, labels)
    if classes == 2:
        judge = linear_model.LogisticRegression(C=1 / l2, tol=1e-12, max_iter=10_000).fit(X, labels)
        np.testing.assert_allclose(fit.predict_proba(X), judge.predict_proba(X), atol=1e-6)
    assert (fit.predict(X) == fit.predict_proba(X).argmax(1)).all()
    np.testing.assert_allclose(fit.predict_proba(X).sum(1), 1)
    assert fit.iterations < 30


def test_three_classes_reach_the_maximum() -> None:
    """The penalty is on the scores against the first class, so only its absence can be compared with others."""
    fit = LogisticRegression(l2=0.0).fit(X, LABELS)
    judge = linear_model.LogisticRegression(C=np.inf, tol=1e-12, max_iter=100_000).fit(X, LABELS)
    rows = np.arange(len(X))
    mine = -np.log(fit.predict_proba(X)[rows, LABELS]).sum()
    theirs = -np.log(judge.predict_proba(X)[rows, LABELS]).sum()
    assert mine <= theirs + 1e-6


@pytest.mark.parametrize("labels", [["no", "yes"] * 20, [3.5, -1.0] * 20, [True, False] * 20])
def test_labels_of_any_kind(labels: list[Any]) -> None:
    fit = LogisticRegression().fit(X, labels)
    assert set(fit.predict(X).tolist()) <= set(labels)
    assert fit.classes.tolist() == sorted(set(labels))


def test_separable_and_degenerate_data_end() -> None:
    x = np.linspace(-1, 1, 20)[:, None]
    for l2 in (0.0, 1e-6):
        fit = LogisticRegression(l2=l2).fit(x, x[:, 0] > 0)
        assert (fit.predict(x) == (x[:, 0] > 0)).all()
        assert fit.coef is not None and np.isfinite(fit.coef).all()
    constant = np.column_stack([x, np.ones(20), x])
    assert np.isfinite(LogisticRegression().fit(constant, x[:, 0] > 0).predict_proba(constant)).all()
    far = x * 1e6 + 1e9
    assert (LogisticRegression().fit(far, x[:, 0] > 0).predict(far) == (x[:, 0] > 0)).all()


# -- what is refused ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [LinearRegression, LogisticRegression])
def test_bad_data_is_named(kind: Any) -> None:
    broken = X.copy()
    broken[3, 1] = np.nan
    labels = LABELS
    for x, y, error, message in (
        (X[:, 0], labels, ShapeError, rf"{kind.__name__}: x: got \(40,\), expected \(rows, features\)"),
        (broken, labels, DataError, "x: 1 NaN in 1 of 40 rows, the first in row 3, column 1"),
        (X[:0], labels[:0], DataError, "empty data"),
        (X, labels[:-1], DataError, "different lengths: x has 40 rows, y has 39"),
        ([["a"], ["b"]], [0, 1], DataError, "strings where numbers belong, the first 'a'"),
    ):
        with pytest.raises(error, match=message):
            kind().fit(x, y)
    with pytest.raises(UsageError, match=rf"{kind.__name__} is not fitted. Call fit\(x, y\) first"):
        kind().predict(X)
    with pytest.raises(ShapeError, match=r"x: got \(40, 4\), expected \(rows, 5\) as in fit"):
        kind().fit(X, labels).predict(X[:, :4])
    with pytest.raises(ConfigError, match=rf"{kind.__name__}.l2: got -1, expected a number >= 0"):
        kind(l2=-1)


def test_bad_targets_are_named() -> None:
    with pytest.raises(DataError, match="y: 1 NaN"):
        LinearRegression().fit(X, np.where(np.arange(40) == 3, np.nan, 1.0))
    with pytest.raises(DataError, match=r"y holds one class only: \[1\]"):
        LogisticRegression().fit(X, np.ones(40, int))
    with pytest.raises(ShapeError, match=r"expected \(rows,\) of labels. From one-hot: y.argmax\(1\)"):
        LogisticRegression().fit(X, np.eye(3)[LABELS])
    with pytest.raises(DataError, match="strings where numbers belong"):
        LinearRegression().fit(X, ["a"] * 40)
    with pytest.raises(DataError, match="NaN"):
        LogisticRegression().fit(X, np.where(np.arange(40) == 3, np.nan, 1.0))
