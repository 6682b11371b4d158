"""Checks of columns that tell the target, and would not be known when the model is asked."""

from collections.abc import Iterator

import numpy as np

from lepton_ai.cleaning.check import Check, TableSubject
from lepton_ai.cleaning.columns import Array, Column
from lepton_ai.cleaning.findings import Finding
from lepton_ai.cleaning.learners import FOLDS, fold_of
from lepton_ai.web import significant

SUSPECT, SURE = 0.985, 0.999  # area under the ROC curve, or share of variance explained, by one column alone
BINS = 64
PRIOR = 2.0  # rows of the overall mean that each bin is joined with
MOST_CLASSES = 20


class LeakingColumns(Check[TableSubject]):
    """Columns that alone predict the target too well: for each, the mean target of its quantile bins or categories,
    learnt on four fifths of the rows and judged on the last, in turn. Classes are judged one against the rest."""

    name = "leaking_columns"
    about = "columns that give the target away"

    def why_not(self, subject: TableSubject) -> str:
        if subject.problem is None:
            return "no target is named"
        return "" if subject.rows >= 30 and len(subject.goal.codes[1] if subject.goal else ()) > 1 else "needs 30 rows"

    def run(self, subject: TableSubject) -> Iterator[Finding]:
        goal = subject.goal
        assert goal is not None
        rows = np.nonzero(goal.known)[0]
        rows = subject.sample(rows)
        targets = _targets(goal, rows, subject.problem == "classification")
        for column in subject.features:
            if len(column.codes[1]) < 2:
                continue
            score = column_score(column.take(rows), targets, subject.problem == "classification", subject.limits.seed)
            if score < SUSPECT:
                continue
            equal = _same(column, goal)
            words = "area under the ROC curve" if subject.problem == "classification" else "share of variance explained"
            yield Finding(
                check=self.name,
                severity="error" if equal or score >= SURE else "warning",
                title="leaking column",
                columns=(column.name,),
                count=1,
                action="drop columns",
                evidence=f"alone it predicts {goal.name!r} on rows not learnt from: {words} {significant(score, 4)}"
                + ("; it tells the target without exception" if equal else ""),
                remedy="find out when it becomes known: if only after the target, remove it",
            )


def column_score(column: Column, targets: Array, classes: bool, seed: int) -> float:
    """The area under the ROC curve, the mean over the columns of `targets` (N, C) by size; for amounts R squared."""
    bins = _binned(column)
    folds = fold_of(np.zeros(len(bins), np.int64), seed)
    found = np.zeros(targets.shape)
    for fold in range(FOLDS):
        train, held = folds != fold, folds == fold
        overall = targets[train].mean(axis=0)
        size = np.bincount(bins[train], minlength=bins.max() + 1)[:, None]
        sums = np.stack([np.bincount(bins[train], each, bins.max() + 1) for each in targets[train].T], axis=1)
        found[held] = ((sums + PRIOR * overall) / (size + PRIOR))[bins[held]]
    if classes:
        areas = [area(each > 0, scores) for each, scores in zip(targets.T, found.T, strict=True)]
        return float(np.average(areas, weights=np.maximum(targets.sum(axis=0), 1e-9)))
    error = ((targets - found) ** 2).sum()
    return float(1 - error / max(((targets - targets.mean(axis=0)) ** 2).sum(), 1e-300))


def area(positive: Array, scores: Array) -> float:
    """The area under the ROC curve; a half where there is one class only."""
    if positive.all() or not positive.any():
        return 0.5
    _, places, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[places]
    yes, no = int(positive.sum()), int((~positive).sum())
    return float((ranks[positive].sum() - yes * (yes + 1) / 2) / (yes * no))


def _targets(goal: Column, rows: Array, classes: bool) -> Array:
    if not classes:
        values = np.where(goal.bounded, goal.values, 0.0)[rows]
        return np.asarray(values, np.float64)[:, None]
    codes = goal.codes[0][rows]
    most = np.argsort(-np.bincount(codes))[:MOST_CLASSES]
    if len(goal.codes[1]) == 2:
        most = most[:1]
    return np.asarray(codes[:, None] == most[None, :], np.float64)


def _binned(column: Column) -> Array:
    """Bins (N,) from 0: quantiles of numbers, categories by their place; 0 is for what is missing or odd."""
    codes, values = column.codes
    if column.kind == "text" or len(values) <= BINS:
        return codes + 1
    edges = np.unique(np.quantile(column.present, np.linspace(0, 1, BINS + 1)[1:-1]))
    return np.where(column.known, np.searchsorted(edges, np.nan_to_num(column.values), side="right") + 1, 0)


def _same(column: Column, goal: Column) -> bool:
    """Whether each value of the column has one target, and values repeat enough for that to mean something."""
    both = column.known & goal.known
    pairs = np.unique(np.stack([column.codes[0][both], goal.codes[0][both]], axis=1), axis=0)
    return len(pairs) == len(np.unique(pairs[:, 0])) and len(pairs) <= max(2, both.sum() // 5)
