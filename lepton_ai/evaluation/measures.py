"""Measures by name: what `cross_validate`, `select` and `compare` judge by."""

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from lepton_ai.core import ConfigError, Registry
from lepton_ai.evaluation.checks import class_indices, finite, probabilities
from lepton_ai.evaluation.classification import accuracy, average_scores, balanced_accuracy, confusion_matrix, log_loss
from lepton_ai.evaluation.curves import average_precision, roc_auc
from lepton_ai.evaluation.regression import (
    mean_absolute_error,
    mean_squared_error,
    r2_score,
    root_mean_squared_error,
)
from lepton_ai.evaluation.reliability import brier_score

Statistic = Callable[[npt.NDArray[Any], npt.NDArray[Any]], float]


class Measure(msgspec.Struct, frozen=True, kw_only=True):
    """A figure of `(answers, targets)`, and whether more of it is better."""

    name: str
    compute: Statistic
    rising: bool

    def __call__(self, answers: npt.ArrayLike, targets: npt.ArrayLike) -> float:
        return float(self.compute(np.asarray(answers), np.asarray(targets)))

    def better(self, one: float, other: float) -> bool:
        """Whether `one` is better than `other`."""
        return one > other if self.rising else one < other


def _classes(answers: npt.NDArray[Any], targets: npt.NDArray[Any]) -> tuple[Any, Any, int]:
    chances = probabilities(answers, at="answers")
    return chances.argmax(axis=1), class_indices(targets, chances.shape[1], at="targets"), chances.shape[1]


def _accuracy(answers: npt.NDArray[Any], targets: npt.NDArray[Any]) -> float:
    said, true, _ = _classes(answers, targets)
    return accuracy(said, true)


def _balanced(answers: npt.NDArray[Any], targets: npt.NDArray[Any]) -> float:
    said, true, classes = _classes(answers, targets)
    return balanced_accuracy(confusion_matrix(said, true, classes))


def _f1(answers: npt.NDArray[Any], targets: npt.NDArray[Any]) -> float:
    said, true, classes = _classes(answers, targets)
    return average_scores(confusion_matrix(said, true, classes), "macro").f1


def _second(answers: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The score of class 1 of two, of any scale: ranks need no probabilities."""
    numbers = finite(answers, at="answers")
    return numbers[:, 1] if numbers.ndim == 2 and numbers.shape[1] == 2 else numbers


_MEASURES = Registry[Measure]("measure")
for _measure in (
    Measure(name="accuracy", compute=_accuracy, rising=True),
    Measure(name="balanced_accuracy", compute=_balanced, rising=True),
    Measure(name="f1", compute=_f1, rising=True),
    Measure(name="roc_auc", compute=lambda answers, targets: roc_auc(_second(answers), targets), rising=True),
    Measure(
        name="average_precision",
        compute=lambda answers, targets: average_precision(_second(answers), targets),
        rising=True,
    ),
    Measure(name="log_loss", compute=log_loss, rising=False),
    Measure(name="brier", compute=brier_score, rising=False),
    Measure(name="r2", compute=r2_score, rising=True),
    Measure(name="mae", compute=mean_absolute_error, rising=False),
    Measure(name="mse", compute=mean_squared_error, rising=False),
    Measure(name="rmse", compute=root_mean_squared_error, rising=False),
):
    _MEASURES.add(_measure.name, _measure)


def get_measure(measure: Any) -> Measure:
    """A measure by name, or as it is: `Measure(name=..., compute=function(answers, targets), rising=True)`.

    Raises: UnknownNameError with the nearest name; ConfigError for anything else.

    Example:
        >>> get_measure("accuracy")([[0.9, 0.1], [0.2, 0.8]], [0, 0])
        0.5
    """
    if isinstance(measure, Measure):
        return measure
    if not isinstance(measure, str):
        fix = "For a function of your own: Measure(name='...', compute=function, rising=True)."
        raise ConfigError(at="measure", got=measure, expected="a name or a Measure", fix=fix)
    return _MEASURES.get(measure)
