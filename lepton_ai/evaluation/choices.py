"""Choices as sections of a report: among models, and among thresholds."""

import numpy as np
import numpy.typing as npt

from lepton_ai.evaluation.curves import roc_curve
from lepton_ai.evaluation.report import Chart, Section, Table
from lepton_ai.evaluation.thresholds import cheapest_threshold
from lepton_ai.evaluation.validation import Selection
from lepton_ai.web import count, line_chart, percent, significant


def choice_section(selection: Selection) -> Section:
    """A table of the candidates, the best first, and their scores fold by fold."""
    rows = []
    for each in selection.candidates:
        found, against = each.result, each.against_best
        rows.append(
            (
                each.name,
                significant(found.mean, 4),
                f"{significant(found.interval.low, 4)} – {significant(found.interval.high, 4)}",
                significant(found.spread, 2),
                "" if against is None else significant(against.difference, 3),
                "" if each.p_adjusted is None else significant(each.p_adjusted, 2),
            )
        )
    table = Table(
        title="Candidates",
        columns=("model", selection.measure, "95 % interval", "spread over folds", "best minus it", "p"),
        rows=tuple(rows),
        caption="p: how often chance alone gives such a difference, corrected for the number of candidates.",
        full=True,
    )
    chart = Chart(
        title="Fold by fold",
        svg=line_chart(
            {each.name: each.result.scores for each in selection.candidates},
            title=f"{selection.measure} in each fold",
            x_label="fold",
        ),
        caption="Every model was trained and judged on the same folds.",
    )
    tied = f" Not to be told from it by these rows: {', '.join(selection.tied)}." if selection.tied else ""
    return Section(title="Choice of the model", lead=f"Best: {selection.best}.{tied}", blocks=(table, chart))


def threshold_section(
    scores: npt.ArrayLike, targets: npt.ArrayLike, *, false_positive: float = 1.0, false_negative: float = 1.0
) -> Section:
    """What each threshold costs, and the cheapest. Arguments as of `cheapest_threshold`."""
    best = cheapest_threshold(scores, targets, false_positive=false_positive, false_negative=false_negative)
    true = np.asarray(targets).reshape(-1)
    curve = roc_curve(scores, true)
    share = float(true.mean())
    costs = (
        curve.false_positive_rate * (1 - share) * false_positive
        + (1 - curve.true_positive_rate) * share * false_negative
    )
    chart = Chart(
        title="Cost of a row",
        svg=line_chart(
            {"": costs[:0:-1].tolist()}, x=curve.thresholds[:0:-1].tolist(), title="Mean cost", x_label="threshold"
        ),
        caption=f"A false alarm costs {significant(false_positive)}, a miss {significant(false_negative)}.",
    )
    table = Table(
        title=f"At {significant(best.threshold, 4)}, the cheapest",
        columns=("", "called positive", "called negative"),
        rows=(
            ("positive", count(best.true_positives), count(best.false_negatives)),
            ("negative", count(best.false_positives), count(best.true_negatives)),
        ),
        caption=f"Precision {percent(best.precision)}, recall {percent(best.recall)}, "
        f"mean cost {significant(best.cost or 0.0, 4)}.",
    )
    return Section(
        title="Threshold", lead="Where the line is best drawn, by what mistakes cost.", blocks=(chart, table)
    )
