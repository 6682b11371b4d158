"""Outputs: the last layer, what to train it by, and how good its answers are."""

from typing import Any

import numpy as np
import numpy.typing as npt

from lepton_ai.evaluation import ClassificationResult, RegressionResult, evaluate_classification, evaluate_regression
from lepton_ai.layers import Dense, Normalization
from lepton_ai.tasks.specification import Classes, Output
from lepton_ai.training import EarlyStopping


def size_of(outputs: Output) -> int:
    """How many numbers an answer has."""
    return len(outputs.labels) if isinstance(outputs, Classes) else outputs.count


def answer(outputs: Output, x: Any, targets: npt.NDArray[Any]) -> Any:
    """The last layers: probabilities, or numbers on the scale of `targets`."""
    if isinstance(outputs, Classes):
        return Dense(len(outputs.labels), activation="softmax", name="answer")(x)
    wide = targets.astype(np.float64)
    scale = Normalization(mean=tuple(wide.mean(0)), variance=tuple(wide.var(0)), invert=True)
    return scale(Dense(outputs.count, name="answer")(x))


def loss_of(outputs: Output) -> tuple[str, list[str]]:
    """The loss and the metrics to train with."""
    if isinstance(outputs, Classes):
        return "sparse_categorical_crossentropy", ["accuracy"]
    return "mean_squared_error", ["mean_absolute_error"]


def early_stop(patience: int) -> EarlyStopping:
    """Ends training when the rows held out get no better, with the best weights."""
    return EarlyStopping("val_loss", patience=patience, restore_best_weights=True)


def judge(outputs: Output, answers: Any, targets: npt.NDArray[Any]) -> ClassificationResult | RegressionResult:
    """How good `answers` are."""
    if isinstance(outputs, Classes):
        return evaluate_classification(answers, targets, outputs.labels)
    return evaluate_regression(answers, targets)


def figures(result: ClassificationResult | RegressionResult) -> dict[str, float]:
    """The main figures of a result, by name; those that it has."""
    if isinstance(result, ClassificationResult):
        found = {"accuracy": result.accuracy, "log_loss": result.log_loss, "roc_auc": result.auc}
    else:
        found = {"mae": result.mae, "rmse": result.rmse, "r2": result.r2}
    return {name: float(value) for name, value in found.items() if value is not None and np.isfinite(value)}
