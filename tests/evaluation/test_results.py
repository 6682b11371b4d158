import msgspec
import numpy as np
import pytest
import sklearn.metrics as judge

from lepton_ai.core import DataError, ShapeError
from lepton_ai.evaluation import ClassificationResult, RegressionResult, evaluate_classification, evaluate_regression

SCORES = [[0.9, 0.1, 0.0], [0.2, 0.7, 0.1], [0.05, 0.15, 0.8], [0.3, 0.6, 0.1]]


def test_classification() -> None:
    result = evaluate_classification(SCORES, [0, 1, 0, 0], ["a", "b", "c"])
    assert (result.accuracy, result.count) == (0.5, 4)
    assert result.interval.low < 0.5 < result.interval.high
    assert result.confusion == ((1, 1, 1), (0, 1, 0), (0, 0, 0))
    assert [(one.index, one.target, one.predicted) for one in result.worst] == [(2, 0, 2), (3, 0, 1)]
    assert result.worst[0].confidence == pytest.approx(0.8)
    assert result.per_class[0].label == "a" and result.per_class[0].support == 3
    assert result.log_loss == pytest.approx(-np.log([0.9, 0.7, 0.05, 0.3]).mean())
    assert result.calibration.meaning == "top"
    assert result.auc is None and result.roc is None


@pytest.mark.parametrize("column", [False, True])
def test_two_classes_have_curves(column: bool) -> None:
    random = np.random.default_rng(0)
    targets = random.integers(0, 2, 1000)
    scores = np.clip(targets * 0.3 + random.random(1000) * 0.7, 0, 1)
    result = evaluate_classification(scores[:, None] if column else scores, targets)
    assert result.labels == ("0", "1")
    assert result.accuracy == judge.accuracy_score(targets, scores > 0.5)
    assert result.auc == pytest.approx(judge.roc_auc_score(targets, scores))
    assert result.average_precision == pytest.approx(judge.average_precision_score(targets, scores))
    assert result.calibration.meaning == "positive"
    assert result.roc and result.precision_recall
    assert (result.roc.x[0], result.roc.y[0], result.roc.x[-1], result.roc.y[-1]) == (0, 0, 1, 1)
    assert len(result.roc.x) <= 200 and list(result.precision_recall.x) == sorted(result.precision_recall.x)


def test_one_class_of_two_has_no_curve_but_a_result() -> None:
    result = evaluate_classification([0.2, 0.9], [1, 1])
    assert (result.accuracy, result.auc) == (0.5, None)


def test_only_the_surest_mistakes_are_kept() -> None:
    scores = np.stack([np.linspace(0.6, 1.0, 50), 1 - np.linspace(0.6, 1.0, 50)], axis=1)
    result = evaluate_classification(scores, np.ones(50, int), worst=3)
    assert [one.index for one in result.worst] == [49, 48, 47]


def test_results_can_be_stored() -> None:
    result = evaluate_classification([0.2, 0.9, 0.4], [1, 1, 0])
    assert msgspec.json.decode(msgspec.json.encode(result), type=ClassificationResult) == result
    numbers = evaluate_regression([1.0, 2.0], [0.0, 2.5])
    assert msgspec.json.decode(msgspec.json.encode(numbers), type=RegressionResult) == numbers


def test_regression() -> None:
    random = np.random.default_rng(0)
    targets = random.normal(size=200) + 10
    predicted = targets + random.normal(scale=0.5, size=200)
    predicted[17] += 9
    result = evaluate_regression(predicted, targets)
    assert result.mae == pytest.approx(judge.mean_absolute_error(targets, predicted))
    assert result.interval.low < result.mae < result.interval.high
    assert result.r2 == pytest.approx(judge.r2_score(targets, predicted))
    assert result.mape == pytest.approx(judge.mean_absolute_percentage_error(targets, predicted))
    assert result.bias == pytest.approx((predicted - targets).mean())
    assert result.worst[0] == 17
    assert sum(result.residual_counts) == 200


def test_figures_that_cannot_be_are_none() -> None:
    assert evaluate_regression([1.0, 2.0], [0.0, 2.0]).mape is None
    assert evaluate_regression([1.0], [2.0]).r2 is None


def test_errors_name_their_place() -> None:
    with pytest.raises(ShapeError, match="evaluate_classification.labels: got 2, expected 3, one for each class"):
        evaluate_classification(SCORES, [0, 1, 0, 0], ["a", "b"])
    with pytest.raises(ShapeError, match="evaluate_classification: scores has 4 rows, targets has 1 rows"):
        evaluate_classification(SCORES, [0])
    with pytest.raises(DataError, match="evaluate_classification.targets: row 1 has class 3.*from 0 to 2"):
        evaluate_classification(SCORES, [0, 3, 0, 0])
    with pytest.raises(DataError, match="evaluate_regression.predicted: 1 of 1 rows hold NaN"):
        evaluate_regression([np.inf], [1.0])
