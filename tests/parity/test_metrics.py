"""Metrics against Keras 3, torchmetrics and scikit-learn, weighted and not, in two batches."""

import os

os.environ["KERAS_BACKEND"] = "torch"

import inspect
from typing import Any

import keras
import numpy as np
import pytest
import sklearn.metrics
import torch
import torchmetrics.functional as judge
from keras.src.metrics import ALL_OBJECTS_DICT
from torch import Tensor
from torchmetrics.functional.segmentation import mean_iou as judge_maps

from lepton_ai.training import metrics
from lepton_ai.training.losses import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    Loss,
    SparseCategoricalCrossentropy,
)
from lepton_ai.training.metrics import AUC, F1Score, Metric, Precision, R2Score, Recall, get_metric

torch.set_num_threads(1)
GENERATOR = torch.Generator().manual_seed(5)
N = 240


def uniform(*shape: int) -> Tensor:
    return torch.rand(shape, generator=GENERATOR)


ROWS = (3 * uniform(N, 6)).softmax(-1)
LABELS = torch.where(uniform(N) < 0.5, ROWS.argmax(-1), (uniform(N) * 6).long())
ONEHOT = torch.eye(6)[LABELS]
YES = (uniform(N, 1) < 0.4).float()
SCORES = (0.3 * YES + 0.7 * uniform(N, 1)).clamp(0, 1)
SEVERAL = (uniform(N, 6) < 0.4).float()
AMOUNTS, GUESSES = uniform(N, 3) + 1, uniform(N, 3) + 1
WEIGHT = uniform(N) + 0.1
SIGNS = 2 * YES - 1
MAPS, COLOURS = (uniform(N, 5) * 6).long(), (5 * uniform(N, 5, 6)).softmax(-1)

CASES: list[tuple[str, dict[str, Any], Tensor, Tensor]] = [
    ("Accuracy", {}, LABELS, ROWS.argmax(-1)),
    ("BinaryAccuracy", {}, YES, SCORES),
    ("BinaryAccuracy", {"threshold": 0.3}, SEVERAL, ROWS),
    ("CategoricalAccuracy", {}, ONEHOT, ROWS),
    ("SparseCategoricalAccuracy", {}, LABELS, ROWS),
    ("SparseCategoricalAccuracy", {}, LABELS.unsqueeze(-1), ROWS),
    ("TopKCategoricalAccuracy", {"k": 3}, ONEHOT, ROWS),
    ("SparseTopKCategoricalAccuracy", {"k": 2}, LABELS, ROWS),
    ("SparseTopKCategoricalAccuracy", {"k": 2}, LABELS, (ROWS * 10).round()),
    ("Precision", {}, YES, SCORES),
    ("Precision", {"thresholds": 0.2}, SEVERAL, ROWS),
    ("Precision", {"top_k": 2}, ONEHOT, ROWS),
    ("Precision", {"top_k": 3, "class_id": 2}, ONEHOT, ROWS),
    ("Recall", {}, YES, SCORES),
    ("Recall", {"thresholds": 0.2, "class_id": 4}, ONEHOT, ROWS),
    ("F1Score", {"average": "macro"}, ONEHOT, ROWS),
    ("F1Score", {"average": "micro", "threshold": 0.2}, SEVERAL, ROWS),
    ("F1Score", {"average": "weighted"}, ONEHOT, ROWS),
    ("AUC", {}, YES, SCORES),
    ("AUC", {"curve": "PR"}, YES, SCORES),
    ("AUC", {"curve": "PR", "summation_method": "minoring", "num_thresholds": 50}, YES, SCORES),
    ("AUC", {"summation_method": "majoring", "thresholds": [0.1, 0.45, 0.8]}, YES, SCORES),
    ("AUC", {"from_logits": True}, YES, 6 * SCORES - 3),
    ("AUC", {"multi_label": True}, SEVERAL, ROWS),
    ("AUC", {"multi_label": True, "curve": "PR", "num_thresholds": 20}, ONEHOT, ROWS),
    ("AUC", {}, ONEHOT, ROWS),
    ("MeanSquaredError", {}, AMOUNTS, GUESSES),
    ("RootMeanSquaredError", {}, AMOUNTS, GUESSES),
    ("MeanAbsoluteError", {}, AMOUNTS, GUESSES),
    ("MeanAbsolutePercentageError", {}, AMOUNTS, GUESSES),
    ("MeanSquaredLogarithmicError", {}, AMOUNTS, GUESSES),
    ("R2Score", {}, AMOUNTS, GUESSES),
    ("R2Score", {"class_aggregation": "variance_weighted_average"}, AMOUNTS, GUESSES),
    ("R2Score", {"num_regressors": 5}, AMOUNTS[:, :1], GUESSES[:, :1]),
    ("AUC", {"multi_label": True, "label_weights": [0.1, 0.3, 0.1, 0.2, 0.2, 0.1]}, SEVERAL, ROWS),
    ("FBetaScore", {"beta": 2.0, "average": "macro"}, ONEHOT, ROWS),
    ("FBetaScore", {"beta": 0.5, "average": "weighted", "threshold": 0.2}, SEVERAL, ROWS),
    ("TruePositives", {}, YES, SCORES),
    ("TrueNegatives", {"thresholds": 0.3}, SEVERAL, ROWS),
    ("FalsePositives", {}, YES, SCORES),
    ("FalseNegatives", {"thresholds": 0.7}, YES, SCORES),
    ("SensitivityAtSpecificity", {"specificity": 0.6}, YES, SCORES),
    ("SensitivityAtSpecificity", {"specificity": 0.6, "num_thresholds": 1}, YES, SCORES),
    ("SpecificityAtSensitivity", {"sensitivity": 0.7}, YES, SCORES),
    ("SpecificityAtSensitivity", {"sensitivity": 0.7, "class_id": 3}, ONEHOT, ROWS),
    ("PrecisionAtRecall", {"recall": 0.8}, YES, SCORES),
    ("RecallAtPrecision", {"precision": 0.6}, YES, SCORES),
    ("RecallAtPrecision", {"precision": 0.99, "num_thresholds": 30}, YES, SCORES),
    ("BinaryCrossentropy", {}, YES, SCORES * 0.98 + 0.01),
    ("BinaryCrossentropy", {"from_logits": True, "label_smoothing": 0.2}, YES, SCORES),
    ("CategoricalCrossentropy", {"label_smoothing": 0.1}, ONEHOT, ROWS),
    ("SparseCategoricalCrossentropy", {"from_logits": True}, LABELS, ROWS),
    ("Hinge", {}, SIGNS, SCORES),
    ("SquaredHinge", {}, SIGNS, SCORES),
    ("CategoricalHinge", {}, ONEHOT, ROWS),
    ("KLDivergence", {}, ROWS.flip(0), ROWS),
    ("Poisson", {}, AMOUNTS, GUESSES),
    ("LogCoshError", {}, AMOUNTS, GUESSES),
    ("CosineSimilarity", {}, AMOUNTS, GUESSES),
    ("PearsonCorrelation", {}, AMOUNTS, GUESSES),
    ("ConcordanceCorrelation", {}, AMOUNTS, GUESSES),
    ("Sum", {}, AMOUNTS, GUESSES),
    ("MeanIoU", {"num_classes": 6, "sparse_y_pred": False}, MAPS[:, 0], COLOURS[:, 0]),
    ("MeanIoU", {"num_classes": 7, "ignore_class": 2}, MAPS[:, 0], COLOURS[:, 0].argmax(-1)),
    ("IoU", {"num_classes": 6, "target_class_ids": [1, 4]}, MAPS[:, 0], COLOURS[:, 0].argmax(-1)),
    ("OneHotIoU", {"num_classes": 6, "target_class_ids": [0, 5]}, torch.eye(6)[MAPS[:, 0]], COLOURS[:, 0]),
    ("OneHotMeanIoU", {"num_classes": 6, "ignore_class": 0}, torch.eye(6)[MAPS[:, 0]], COLOURS[:, 0]),
    ("BinaryIoU", {"threshold": 0.4}, YES, SCORES),
    ("BinaryIoU", {"target_class_ids": [1]}, SEVERAL, ROWS),
]


def streamed(metric: Metric, target: Tensor, output: Tensor, weight: Tensor | None = None) -> Metric:
    for rows in (slice(0, 100), slice(100, N)):
        metric.update(target[rows], output[rows], None if weight is None else weight[rows])
    return metric


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("name", "arguments", "target", "output"), CASES)
def test_results_are_those_of_keras(
    name: str, arguments: dict[str, Any], target: Tensor, output: Tensor, weighted: bool
) -> None:
    weight = WEIGHT if weighted else None
    if name == "BinaryIoU" and target is SEVERAL and weighted:
        pytest.skip("Keras cannot weigh rows of several elements here")
    theirs = getattr(keras.metrics, name)(**arguments, **({"dtype": "float32"} if "IoU" in name else {}))
    for rows in (slice(0, 100), slice(100, N)):
        values = () if name == "Sum" else (target[rows],)
        theirs.update_state(*values, output[rows], None if weight is None else weight[rows])
    metric = streamed(get_metric({"class": name, "config": arguments}), target, output, weight)
    assert metric.result() == pytest.approx(float(theirs.result()), rel=2e-5, abs=1e-6)
    assert metric.name == theirs.name.rstrip("_0123456789") or theirs.name in (metric.name, *SPELLED)


SPELLED = ("logcosh", "fbeta_score")  # where Keras' object is not named as its class is
KERAS = [name for name in dir(keras.metrics) if inspect.isclass(getattr(keras.metrics, name))]
ABSTRACT = {"Metric", "MeanMetricWrapper"}  # the second is what a function among metrics becomes
SHARED = [name for name in KERAS if name not in {*ABSTRACT, "Mean"}]
OWN = {"BalancedAccuracy", "CohenKappa", "LossMetric", "MatthewsCorrelation", "SignAccuracy"}


def test_every_metric_is_keras_or_said_to_be_our_own() -> None:
    assert {metrics.METRICS.get(name).__name__ for name in metrics.METRICS} == {*KERAS, *OWN} - ABSTRACT
    missing = {"MeanMetricWrapper", "mean_metric_wrapper", "metric"}
    assert set(ALL_OBJECTS_DICT) - set(metrics.METRICS) - missing == {"Metric"}


@pytest.mark.parametrize("weighted", [False, True])
def test_agreement_is_that_of_scikit_learn(weighted: bool) -> None:
    weight = WEIGHT if weighted else None
    w = None if weight is None else weight.numpy()
    binary = (YES, SCORES, YES.numpy().ravel(), SCORES.numpy().ravel() > 0.5)
    several = (LABELS, ROWS, LABELS.numpy(), ROWS.argmax(-1).numpy())
    for target, output, true, said in (binary, several):
        assert streamed(metrics.MatthewsCorrelation(), target, output, weight).result() == pytest.approx(
            sklearn.metrics.matthews_corrcoef(true, said, sample_weight=w), rel=1e-6
        )
        assert streamed(metrics.BalancedAccuracy(), target, output, weight).result() == pytest.approx(
            sklearn.metrics.balanced_accuracy_score(true, said, sample_weight=w), rel=1e-6
        )
        for weighting in (None, "linear", "quadratic"):
            found = streamed(metrics.CohenKappa(weighting=weighting), target, output, weight).result()
            assert found == pytest.approx(
                sklearn.metrics.cohen_kappa_score(true, said, weights=weighting, sample_weight=w), rel=1e-6
            )


def test_areas_are_those_of_torchmetrics() -> None:
    labels: dict[str, Any] = {"num_classes": 6, "input_format": "index", "per_class": True}
    each = judge_maps(COLOURS.argmax(-1).reshape(1, -1), MAPS.reshape(1, -1), **labels)[0]
    ours = streamed(metrics.MeanIoU(6, sparse_y_pred=False), MAPS, COLOURS)
    assert ours.each() == pytest.approx(tuple(each.tolist()), rel=1e-6)


@pytest.mark.parametrize("kind", SHARED)
def test_arguments_and_defaults_are_those_of_keras(kind: str) -> None:
    theirs = inspect.signature(getattr(keras.metrics, kind)).parameters
    for name, parameter in inspect.signature(getattr(metrics, kind)).parameters.items():
        if name != "name":
            assert parameter.default == theirs[name].default, name


@pytest.mark.parametrize("weighted", [False, True])
def test_counts_are_those_of_scikit_learn(weighted: bool) -> None:
    weight = WEIGHT if weighted else None
    y, p = YES.numpy().ravel(), SCORES.numpy().ravel() > 0.5
    w = None if weight is None else weight.numpy()
    assert streamed(Precision(), YES, SCORES, weight).result() == pytest.approx(
        sklearn.metrics.precision_score(y, p, sample_weight=w)
    )
    assert streamed(Recall(), YES, SCORES, weight).result() == pytest.approx(
        sklearn.metrics.recall_score(y, p, sample_weight=w)
    )
    labels, guesses = LABELS.numpy(), ROWS.argmax(-1).numpy()
    for average in ("micro", "macro", "weighted"):
        assert streamed(F1Score(average), LABELS, ROWS, weight).result() == pytest.approx(
            sklearn.metrics.f1_score(labels, guesses, average=average, sample_weight=w)
        )
    each = sklearn.metrics.f1_score(labels, guesses, average=None, sample_weight=w)
    assert streamed(F1Score(), ONEHOT, ROWS, weight).each() == pytest.approx(tuple(each))
    for aggregation, name in (("uniform_average",) * 2, ("variance_weighted_average", "variance_weighted")):
        assert streamed(R2Score(aggregation), AMOUNTS, GUESSES, weight).result() == pytest.approx(
            sklearn.metrics.r2_score(AMOUNTS.numpy(), GUESSES.numpy(), sample_weight=w, multioutput=name), rel=1e-6
        )


def test_fine_thresholds_come_near_the_exact_area() -> None:
    exact = sklearn.metrics.roc_auc_score(YES.numpy().ravel(), SCORES.numpy().ravel())
    assert streamed(AUC(2000), YES, SCORES).result() == pytest.approx(exact, abs=1e-3)
    average = sklearn.metrics.average_precision_score(YES.numpy().ravel(), SCORES.numpy().ravel())
    assert streamed(AUC(2000, "PR"), YES, SCORES).result() == pytest.approx(average, abs=5e-3)
    per_column = sklearn.metrics.roc_auc_score(SEVERAL.numpy(), ROWS.numpy(), average=None)
    assert streamed(AUC(2000, multi_label=True), SEVERAL, ROWS).each() == pytest.approx(tuple(per_column), abs=1e-3)


def test_results_are_those_of_torchmetrics() -> None:
    labels: dict[str, Any] = {"task": "multiclass", "num_classes": 6}
    assert streamed(get_metric("sparse_categorical_accuracy"), LABELS, ROWS).result() == pytest.approx(
        float(judge.accuracy(ROWS, LABELS, average="micro", **labels))
    )
    assert streamed(metrics.SparseTopKCategoricalAccuracy(2), LABELS, ROWS).result() == pytest.approx(
        float(judge.accuracy(ROWS, LABELS, average="micro", top_k=2, **labels))
    )
    assert streamed(get_metric("mse"), AMOUNTS, GUESSES).result() == pytest.approx(
        float(judge.mean_squared_error(GUESSES, AMOUNTS)), rel=1e-6
    )
    assert streamed(get_metric("mape"), AMOUNTS, GUESSES).result() == pytest.approx(
        100 * float(judge.mean_absolute_percentage_error(GUESSES, AMOUNTS)), rel=1e-6
    )


@pytest.mark.parametrize(
    ("loss", "target", "output"),
    [
        (BinaryCrossentropy(), YES, SCORES),
        (CategoricalCrossentropy(), ONEHOT, ROWS),
        (SparseCategoricalCrossentropy(), LABELS.unsqueeze(-1), ROWS),
    ],
)
def test_accuracy_means_what_it_means_in_keras(loss: Loss, target: Tensor, output: Tensor) -> None:
    theirs = keras.Sequential([keras.Input(output.shape[1:]), keras.layers.Identity()])
    theirs.compile(loss=loss.name, metrics=["accuracy"])
    expected = theirs.evaluate(output, target, verbose=0, return_dict=True)["accuracy"]
    by_loss = get_metric("accuracy", loss=loss, output_shape=tuple(output.shape))
    by_shape = get_metric("accuracy", output_shape=tuple(output.shape), target_shape=tuple(target.shape))
    for metric in (by_loss, by_shape):
        assert streamed(metric, target, output).result() == pytest.approx(expected, abs=1e-6)


def test_float64_regression_is_exact() -> None:
    target, output = AMOUNTS.double(), GUESSES.double()
    assert streamed(R2Score(), target, output).result() == pytest.approx(
        sklearn.metrics.r2_score(target.numpy(), output.numpy()), rel=1e-9
    )
    assert streamed(get_metric("rmse"), target, output).result() == pytest.approx(
        float(np.sqrt(((target - output).numpy() ** 2).mean())), rel=1e-12
    )
