"""Judged by scikit-learn."""

import numpy as np
import pytest
import sklearn.metrics as judge
from hypothesis import given, settings
from hypothesis import strategies as st

from lepton_ai.core import ConfigError, DataError, ShapeError, UnknownNameError
from lepton_ai.evaluation import (
    accuracy,
    average_scores,
    balanced_accuracy,
    brier_score,
    class_scores,
    cohen_kappa,
    confusion_matrix,
    fbeta_scores,
    log_loss,
    matthews_correlation,
    top_k_accuracy,
)
from lepton_ai.evaluation.checks import Floats, Ints


def sample(seed: int, rows: int = 200, classes: int = 5) -> tuple[Floats, Ints]:
    random = np.random.default_rng(seed)
    targets = random.integers(0, classes, rows)
    targets[:classes] = np.arange(classes)
    scores = random.dirichlet(np.ones(classes), rows)
    scores[np.arange(rows), targets] += 0.3
    return scores / scores.sum(axis=1, keepdims=True), targets


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("classes", [2, 5, 11])
def test_like_scikit_learn(seed: int, classes: int) -> None:
    scores, targets = sample(seed, classes=classes)
    said = scores.argmax(axis=1)
    assert accuracy(said, targets) == judge.accuracy_score(targets, said)
    assert log_loss(scores, targets) == pytest.approx(judge.log_loss(targets, scores), rel=1e-12)
    assert brier_score(scores, targets) == pytest.approx(judge.brier_score_loss(targets, scores), rel=1e-12)
    for k in range(1, classes if classes > 2 else 1):
        expected = judge.top_k_accuracy_score(targets, scores, k=k)
        assert top_k_accuracy(scores, targets, k) == pytest.approx(expected)
    matrix = confusion_matrix(said, targets)
    assert np.array_equal(matrix, judge.confusion_matrix(targets, said))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=40))
def test_scores_of_classes_like_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    said, targets = (np.array(values) for values in zip(*pairs, strict=True))
    matrix = confusion_matrix(said, targets, 5)
    expected = judge.precision_recall_fscore_support(targets, said, labels=range(5), zero_division=0)
    found = class_scores(matrix)
    for name, values in zip(("precision", "recall", "f1", "support"), expected, strict=True):
        assert [getattr(one, name) for one in found] == pytest.approx(list(values))
    averages: tuple[str, ...] = ("macro", "weighted", "micro")
    for average in averages:
        mean = average_scores(matrix, average)  # type: ignore[arg-type]
        wanted = judge.precision_recall_fscore_support(targets, said, average=average, zero_division=0)
        assert (mean.precision, mean.recall, mean.f1) == pytest.approx(wanted[:3])
        assert mean.support == len(pairs)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=2, max_size=40))
def test_agreement_like_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    said, targets = (np.array(values) for values in zip(*pairs, strict=True))
    matrix = confusion_matrix(said, targets, 5)
    recall = judge.recall_score(targets, said, labels=np.unique(targets), average="macro")
    assert balanced_accuracy(matrix) == pytest.approx(recall)
    for beta in (0.5, 2.0):
        expected = judge.fbeta_score(targets, said, beta=beta, labels=range(5), average=None, zero_division=0)
        assert fbeta_scores(matrix, beta).tolist() == pytest.approx(expected.tolist())
    if len(np.union1d(said, targets)) > 1:
        assert matthews_correlation(matrix) == pytest.approx(judge.matthews_corrcoef(targets, said), abs=1e-9)
        for weighting in (None, "linear", "quadratic"):
            expected = judge.cohen_kappa_score(targets, said, labels=range(5), weights=weighting)
            assert cohen_kappa(matrix, weighting) == pytest.approx(expected, abs=1e-9)


def test_one_class_alone_agrees_by_chance() -> None:
    assert cohen_kappa([[5, 0], [0, 0]]) == matthews_correlation([[5, 0], [0, 0]]) == 0.0
    assert balanced_accuracy([[0, 0], [0, 0]]) == 0.0


def test_two_classes_by_one_score() -> None:
    scores, targets = sample(3, classes=2)
    for second in (scores[:, 1], scores[:, 1:]):
        assert log_loss(second, targets) == pytest.approx(log_loss(scores, targets))
        assert brier_score(second, targets) == pytest.approx(judge.brier_score_loss(targets, scores[:, 1]))


def test_log_loss_of_a_sure_mistake_is_finite_in_its_dtype() -> None:
    for dtype in (np.float32, np.float64):
        scores = np.array([[1, 0], [0.5, 0.5]], dtype)
        assert log_loss(scores, [1, 0]) == pytest.approx(judge.log_loss([1, 0], scores), rel=1e-6)


def test_one_hot_and_column_targets() -> None:
    scores, targets = sample(0)
    for same in (np.eye(5)[targets], targets[:, None], targets.astype(np.float32), targets.tolist()):
        assert log_loss(scores, same) == log_loss(scores, targets)


def test_of_equal_scores_the_lower_class_wins() -> None:
    scores = np.full((3, 3), 1 / 3)
    assert [top_k_accuracy(scores, [0, 1, 2], k) for k in (1, 2, 3)] == pytest.approx([1 / 3, 2 / 3, 1])


def test_quantised_rows_are_scaled() -> None:
    assert log_loss([[0.51, 0.51]], [0]) == pytest.approx(np.log(2))


SCORES = [[0.2, 0.8], [0.6, 0.4]]


@pytest.mark.parametrize(
    ("scores", "targets", "error", "text"),
    [
        ([[-1.0, 3.0], [0.1, 0.9]], [0, 1], DataError, "from -1 to 3 are not probabilities. If .* logits"),
        ([[0.2, 0.8], [float("nan"), 0.4]], [0, 1], DataError, "1 of 2 rows hold NaN or infinity, the first is row 1"),
        ([[0.2, 0.8], [0.9, 0.9]], [0, 1], DataError, "row 1 sums to 1.8, expected probabilities that sum to 1"),
        ([["a", "b"]], [0], DataError, "got '<U1', expected numbers"),
        ([[[0.1]]], [0], ShapeError, r"got \(1, 1, 1\), expected \(N, C\)"),
        (0.5, [0], ShapeError, "got 0.5, expected an array"),
        (SCORES, [0, 1, 1], ShapeError, "scores has 2 rows, targets has 3 rows, expected one row for each sample"),
        (SCORES, [0, 2], DataError, "row 1 has class 2, expected .* from 0 to 1, .* Classes are counted from 0"),
        (SCORES, [-1, 0], DataError, "row 0 has class -1"),
        (SCORES, [0.5, 1], DataError, "got 0.5, expected whole numbers"),
        (SCORES, ["cat", "dog"], DataError, r"targets are text \(\['cat'\]\), .*\. Write numpy"),
        (SCORES, [[0.3, 0.7], [1, 0]], DataError, "must be one-hot"),
        (SCORES, [[1, 0, 0], [1, 0, 0]], ShapeError, "one-hot rows of 2 classes"),
        (SCORES, [0, float("nan")], DataError, "targets: 1 of 2 rows hold NaN"),
        (np.zeros((0, 2)), [], DataError, "there are no samples"),
    ],
)  # fmt: skip
def test_errors(scores: object, targets: object, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        log_loss(scores, targets)  # type: ignore[arg-type]


def test_errors_of_settings() -> None:
    with pytest.raises(ConfigError, match="top_k_accuracy.k: got 3, expected from 1 to 2"):
        top_k_accuracy(SCORES, [0, 1], 3)
    with pytest.raises(UnknownNameError, match="unknown average 'macros'. Did you mean 'macro'"):
        average_scores([[1, 0], [0, 1]], "macros")  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match=r"got \(1, 2\), expected a square matrix"):
        class_scores([[1, 2]])
    with pytest.raises(ShapeError, match="class_scores.labels: got 1, expected 2"):
        class_scores([[1, 0], [0, 1]], ["a"])
    with pytest.raises(ConfigError, match="fbeta_scores.beta: got 0, expected a number above 0"):
        fbeta_scores([[1, 0], [0, 1]], 0)
    with pytest.raises(UnknownNameError, match="unknown weighting 'lin'"):
        cohen_kappa([[1, 0], [0, 1]], "lin")  # type: ignore[arg-type]
