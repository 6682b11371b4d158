"""Train on all folds but one, answer the one, in turn."""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from lepton_ai.core import ConfigError, DataError, ShapeError
from lepton_ai.data import fold_indices, take_rows
from lepton_ai.evaluation import CrossValidation, Measure, get_measure


class Learner(Protocol):
    """What can be judged: a compiled `Model`, a `LinearRegression`, or anything else that fits and predicts."""

    @property
    def fit(self) -> Callable[..., Any]:
        """`fit(x, y)` learns from rows."""

    @property
    def predict(self) -> Callable[..., Any]:
        """`predict(x)` answers each row: with probabilities of classes, or with numbers."""


Build = Callable[[Any], Learner]


def cross_validate(
    build: Build,
    x: Any,
    y: npt.ArrayLike,
    measure: str | Measure = "accuracy",
    *,
    folds: int = 5,
    stratify: Any = None,
    groups: Any = None,
    time: Any = None,
    seed: int = 0,
    **fit: Any,
) -> CrossValidation:
    """Judge a way to make a model, by rows that each of its models did not see.

    Args:
        build: called for each fold with the rows of `x` to train on, gives a new model, compiled. What has to be
            adapted to data, such as `Normalization`, is adapted here, and so never sees the rows held out.
        x: rows as for `fit`: an array, a table, a data frame, or a tuple or dict of them.
        y: (N,) or (N, K) targets.
        measure: "accuracy", "balanced_accuracy", "f1", "roc_auc", "average_precision", "log_loss", "brier", "r2",
            "mae", "mse" or "rmse"; or a `Measure` of your own.
        stratify, groups, time: see `fold_indices`.
        fit: further arguments of the model's `fit`, such as `epochs`.

    Raises: ConfigError if `build` gives one and the same model twice; DataError and ShapeError for data that cannot
        be split, and for answers that the measure cannot take.

    Example:
        >>> from lepton_ai.models import LinearRegression
        >>> x = np.arange(20.0)[:, None]
        >>> cross_validate(lambda rows: LinearRegression(), x, 3 * x[:, 0] + 1, "r2", folds=4).mean
        1.0
    """
    judged, targets = get_measure(measure), np.asarray(y)
    if targets.ndim == 0:
        raise ShapeError(at="cross_validate.y", got=targets.item(), expected="a target for each row")
    pairs = fold_indices(len(targets), folds, seed=seed, stratify=stratify, groups=groups, time=time)
    # Held until the end, so that no new model can stand where an old one stood.
    models: list[Learner] = []
    answers: list[npt.NDArray[Any]] = []
    for train, held_out in pairs:
        rows = take_rows(x, train)
        model = build(rows)
        if any(model is each for each in models):
            fix = "It must make a new one each time: def build(x): return Sequential([...])."
            raise ConfigError("build gave the same model again", at="cross_validate.build", fix=fix)
        models.append(model)
        model.fit(rows, targets[train], **fit)
        answer = np.asarray(model.predict(take_rows(x, held_out)))
        if len(answer) != len(held_out):
            raise ShapeError(at="cross_validate", got=len(answer), expected=f"{len(held_out)} answers from predict")
        answers.append(answer)
    if len({answer.shape[1:] for answer in answers}) > 1:
        shapes = sorted({answer.shape[1:] for answer in answers})
        fix = "Pass stratify=y, so that every fold holds every class."
        raise DataError(f"the folds' models answer in different shapes: {shapes}", at="cross_validate", fix=fix)
    rows_held = np.concatenate([held_out for _, held_out in pairs])
    order = np.argsort(rows_held, kind="stable")
    parts = np.concatenate([np.full(len(held_out), number) for number, (_, held_out) in enumerate(pairs)])
    return CrossValidation(
        judged,
        rows=rows_held[order],
        parts=parts[order],
        answers=np.concatenate(answers)[order],
        targets=targets[rows_held[order]],
    )
