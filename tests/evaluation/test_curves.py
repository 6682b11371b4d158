"""Judged by scikit-learn."""

import numpy as np
import pytest
import sklearn.metrics as judge
from hypothesis import given, settings
from hypothesis import strategies as st

from lepton_ai.core import DataError, ShapeError
from lepton_ai.evaluation import average_precision, precision_recall_curve, roc_auc, roc_curve

# Few different scores, so that there are ties.
Sample = list[tuple[int, int]]
samples = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 1)), min_size=2, max_size=60).filter(
    lambda rows: len({target for _, target in rows}) == 2
)


@settings(max_examples=100, deadline=None)
@given(samples)
def test_like_scikit_learn(rows: Sample) -> None:
    scores, targets = np.array([row[0] for row in rows]) / 12, np.array([row[1] for row in rows])
    roc = roc_curve(scores, targets)
    for found, expected in zip(roc, judge.roc_curve(targets, scores, drop_intermediate=False), strict=True):
        assert found == pytest.approx(expected)
    for found, expected in zip(
        precision_recall_curve(scores, targets), judge.precision_recall_curve(targets, scores), strict=True
    ):
        assert found == pytest.approx(expected)
    assert roc_auc(scores, targets) == pytest.approx(judge.roc_auc_score(targets, scores))
    assert average_precision(scores, targets) == pytest.approx(judge.average_precision_score(targets, scores))


def test_any_score_serves_not_only_probabilities() -> None:
    assert roc_auc([[-3.0], [5.0], [100.0]], [[0], [1], [1]]) == 1.0


@pytest.mark.parametrize("measure", [roc_curve, roc_auc, precision_recall_curve, average_precision])
def test_one_class_is_not_enough(measure: object) -> None:
    assert callable(measure)
    with pytest.raises(DataError, match="all 2 targets are of class 1, expected samples of both classes.*stratify"):
        measure([0.1, 0.2], [1, 1])


def test_errors() -> None:
    with pytest.raises(ShapeError, match=r"got \(1, 2\), expected \(N,\) or \(N, 1\)"):
        roc_curve([[0.5, 0.5]], [1])
    with pytest.raises(ShapeError, match="scores has 1 rows, targets has 2 rows"):
        roc_auc([0.5], [0, 1])
    with pytest.raises(DataError, match="row 1 has class 2"):
        roc_auc([0.5, 0.1], [0, 2])
