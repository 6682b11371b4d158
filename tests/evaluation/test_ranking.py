"""Judged by scikit-learn and torchmetrics."""

import numpy as np
import pytest
import torch
import torchmetrics.functional.retrieval as judge
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import label_ranking_average_precision_score, ndcg_score

from lepton_ai.core import ConfigError, DataError, ShapeError
from lepton_ai.evaluation import (
    hit_rate,
    mean_average_precision,
    mean_reciprocal_rank,
    ndcg,
    precision_at_k,
    recall_at_k,
)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 6), st.integers(2, 7), st.integers(0, 2**31), st.data())
def test_like_the_judges(rows: int, items: int, seed: int, data: st.DataObject) -> None:
    random = np.random.default_rng(seed)
    # torchmetrics does not count items whose score is 0
    scores = random.permuted(np.tile(np.arange(items) + 1.0, (rows, 1)), axis=1) / items
    relevance = random.integers(0, 2, (rows, items))
    relevance[np.arange(rows), random.integers(0, items, rows)] = 1
    degrees = relevance * random.integers(1, 4, (rows, items))
    k = data.draw(st.integers(1, items))
    for place in (None, k):
        assert ndcg(scores, degrees, place) == pytest.approx(ndcg_score(degrees, scores, k=place), rel=1e-9)
    if items > 2:
        expected = label_ranking_average_precision_score(relevance, scores)
        assert mean_average_precision(scores, relevance) == pytest.approx(expected, rel=1e-9)
    pairs = [(torch.from_numpy(s), torch.from_numpy(r)) for s, r in zip(scores, relevance, strict=True)]

    def mean(function: object, **settings: int) -> float:
        assert callable(function)
        return sum(float(function(s, r, **settings)) for s, r in pairs) / rows

    for found, expected in (
        (mean_reciprocal_rank(scores, relevance), mean(judge.retrieval_reciprocal_rank)),
        (hit_rate(scores, relevance, k), mean(judge.retrieval_hit_rate, top_k=k)),
        (precision_at_k(scores, relevance, k), mean(judge.retrieval_precision, top_k=k)),
        (recall_at_k(scores, relevance, k), mean(judge.retrieval_recall, top_k=k)),
    ):
        assert found == pytest.approx(expected, rel=1e-6)


def test_what_a_cut_leaves_out() -> None:
    scores, relevance = [[0.9, 0.8, 0.7, 0.6]], [[0, 0, 1, 1]]
    assert mean_reciprocal_rank(scores, relevance, k=2) == 0.0
    assert mean_reciprocal_rank(scores, relevance) == pytest.approx(1 / 3)
    assert mean_average_precision(scores, relevance, k=3) == pytest.approx(1 / 3 / 2)
    assert ndcg(scores, relevance, k=2) == 0.0


def test_nothing_relevant_counts_nothing_and_ties_go_to_the_lower_column() -> None:
    scores, relevance = np.zeros((2, 3)), np.array([[0, 0, 0], [1, 0, 0]])
    for measure in (ndcg, mean_reciprocal_rank, mean_average_precision):
        assert measure(scores, relevance) == 0.5
    assert recall_at_k(scores, relevance, 1) == hit_rate(scores, relevance, 1) == 0.5


def test_errors() -> None:
    with pytest.raises(
        ShapeError, match=r"ndcg: scores have shape \(2, 3\), relevance \(2,\), .*numpy.eye\(C\)\[items\]"
    ):
        ndcg(np.zeros((2, 3)), [0, 1])
    with pytest.raises(ShapeError, match="hit_rate: scores has 2 rows, relevance has 1 rows"):
        hit_rate(np.zeros((2, 3)), np.zeros((1, 3)), 1)
    with pytest.raises(ConfigError, match="hit_rate.k: got 4, expected from 1 to 3, the number of items"):
        hit_rate(np.zeros((2, 3)), np.zeros((2, 3)), 4)
    with pytest.raises(DataError, match="ndcg: row 1 has the relevance -1, expected 0 or more"):
        ndcg(np.zeros((2, 2)), [[0, 1], [0, -1]])
    with pytest.raises(DataError, match="ndcg.scores: 1 of 1 rows hold NaN"):
        ndcg([[float("nan"), 1.0]], [[0, 1]])
