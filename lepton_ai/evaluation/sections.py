"""Results as sections of a report."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from lepton_ai.core import DataError, ShapeError
from lepton_ai.evaluation.report import Chart, Fact, Facts, Picture, Pictures, Section, Table, Text
from lepton_ai.evaluation.results import ClassificationResult, RegressionResult
from lepton_ai.evaluation.slicing import Slice
from lepton_ai.web import (
    bar_chart,
    count,
    heatmap,
    histogram,
    line_chart,
    percent,
    picture,
    reliability_diagram,
    significant,
)

MOST_CELLS = 30  # classes in a chart
WIDE = 12  # classes that are drawn beside a table; more take a row of their own
MOST_ROWS = 40  # classes in a table
WORDS = {"lr": "learning rate", "learning_rate": "learning rate", "loss": "loss"}
FALLING = ("loss", "error", "mae", "mse", "rmse", "mape", "perplexity")


def learning_curves(history: Mapping[str, Sequence[float]]) -> Section:
    """A chart for each figure in a history `{"loss": [...], "val_loss": [...]}`, one value for each epoch.

    A figure and its `val_` twin share a chart.

    Raises: DataError for an empty history.
    """
    names = [name for name in dict.fromkeys(key.removeprefix("val_") for key in history) if name != "epoch"]
    epochs = max((len(values) for values in history.values()), default=0)
    if not names or not epochs:
        raise DataError("the history is empty", at="learning_curves", fix="Pass what fit returned.")
    charts = tuple(_curve(name, history) for name in names)
    return Section(title="Learning curves", lead=f"{count(epochs)} epochs of training.", blocks=charts)


def _curve(name: str, history: Mapping[str, Sequence[float]]) -> Chart:
    own, validation = history.get(name), history.get(f"val_{name}")
    word = WORDS.get(name, name.replace("_", " "))
    title = word[:1].upper() + word[1:]
    series = {}
    if own is not None:
        series["training" if validation is not None else ""] = own
    if validation is not None:
        series["validation"] = validation
    return Chart(
        title=title,
        svg=line_chart(series, title=title, x_label="epoch"),
        caption=_best(name, word, np.array(validation, np.float64)) if validation is not None else "",
    )


def _best(name: str, word: str, values: npt.NDArray[np.float64]) -> str:
    if not np.isfinite(values).any():
        return ""
    falling = any(name.endswith(ending) for ending in FALLING)
    best = int(np.nanargmin(values) if falling else np.nanargmax(values))
    kind = "Lowest" if falling else "Highest"
    return f"{kind} validation {word}: {significant(float(values[best]), 4)}, at epoch {best + 1} of {len(values)}."


def confusion_section(result: ClassificationResult) -> Section:
    """The confusion matrix, and a table of the classes most often taken for another.

    Of more than 30 classes, those with the most mistakes are drawn.
    """
    matrix = np.array(result.confusion)
    mistakes = matrix - np.diag(np.diag(matrix))
    involved = mistakes.sum(axis=0) + mistakes.sum(axis=1)
    shown = np.sort(np.argsort(-involved, kind="stable")[:MOST_CELLS])
    part = "" if len(shown) == len(matrix) else f" The {len(shown)} most confused of {len(matrix)} classes are drawn."
    chart = Chart(
        title="Confusion matrix",
        svg=heatmap(matrix[np.ix_(shown, shown)], labels=[result.labels[i] for i in shown], title="Confusion matrix"),
        caption="Rows are the truth, columns the answers. Blue is right; orange is wrong, on a scale of its own."
        + part,
        full=len(shown) > WIDE,
    )
    wrong = int(mistakes.sum())
    if not wrong:
        return Section(title="Confusion", lead="Not a single mistake.", blocks=(chart,))
    order = np.argsort(-mistakes, axis=None, kind="stable")[:10]
    pairs = [(int(i), int(j)) for i, j in zip(*np.unravel_index(order, matrix.shape), strict=True) if mistakes[i, j]]
    table = Table(
        title="Most frequent mistakes",
        columns=("truth → answer", "times", "of that class"),
        rows=tuple(
            (f"{result.labels[i]} → {result.labels[j]}", int(matrix[i, j]), percent(matrix[i, j] / matrix[i].sum()))
            for i, j in pairs
        ),
    )
    lead = f"{count(result.count - wrong)} of {count(result.count)} answers are right, {count(wrong)} wrong."
    return Section(title="Confusion", lead=lead, blocks=(chart, table))


def per_class_section(result: ClassificationResult) -> Section:
    """Precision, recall, F1 and support of each class, and their averages. Of many classes, the 40 weakest."""
    weakest = sorted(range(len(result.labels)), key=lambda i: result.per_class[i].f1)[:MOST_ROWS]
    each = [result.per_class[i] for i in sorted(weakest)]
    rows = [*each, result.macro, result.weighted]
    names = [one.label for one in each] + ["class mean", "sample mean"]
    part = "" if len(each) == len(result.labels) else f" The {len(each)} weakest of {len(result.labels)} are shown."
    table = Table(
        columns=("class", "precision", "recall", "F1", "samples"),
        rows=tuple(
            (name, percent(one.precision), percent(one.recall), percent(one.f1), one.support)
            for name, one in zip(names, rows, strict=True)
        ),
        title="Scores of each class",
    )
    chart = Chart(
        title="Recall, the weakest first",
        svg=bar_chart(
            {one.label: one.recall for one in sorted(each, key=lambda one: one.recall)[:MOST_CELLS]},
            title="Recall of each class",
            show=percent,
            highest=1.0,
        ),
        caption="Of the samples of a class, the share that was recognised.",
    )
    lead = "Precision: how often an answer is right. Recall: how much of a class is found. F1 joins the two." + part
    return Section(title="Class by class", lead=lead, blocks=(table, chart))


def calibration_section(result: ClassificationResult) -> Section:
    """The reliability diagram, with the expected calibration error, log loss and Brier score."""
    found = result.calibration
    positive = found.meaning == "positive"
    stated = sum(one.confidence * one.count for one in found.bins) / result.count
    happened = sum(one.observed * one.count for one in found.bins) / result.count
    svg = reliability_diagram(
        found.bins,
        found.edges,
        title="Reliability diagram",
        x_label=f"stated probability of “{result.labels[1]}”" if positive else "stated confidence",
        y_label=f"share of “{result.labels[1]}”" if positive else "share of right answers",
    )
    chart = Chart(
        title="Reliability",
        svg=svg,
        caption="On the dashed line the model is exactly as sure as it should be; below it, too sure. Bands show what "
        "chance allows (95 %).",
    )
    facts = Facts(
        title="Figures",
        full=False,
        items=(
            Fact(label="Stated on average", value=percent(stated), note=f"{percent(happened)} were so"),
            Fact(label="Expected calibration error", value=percent(found.error), note="the mean gap; 0 is perfect"),
            Fact(label="Largest gap of a bin", value=percent(found.largest), note="may rest on few answers"),
            Fact(label="Log loss", value=significant(result.log_loss), note="nats for each sample; lower is better"),
            Fact(label="Brier score", value=significant(result.brier), note="squared distance; lower is better"),
        ),
    )
    return Section(title="Calibration", lead="Can its confidence be taken at its word?", blocks=(chart, facts))


def curves_section(result: ClassificationResult) -> Section:
    """ROC and precision-recall curves of a model with two classes.

    Raises: DataError if the result has none: more than two classes, or targets of a single one.
    """
    if result.roc is None or result.precision_recall is None or result.auc is None or result.average_precision is None:
        raise DataError(
            "this result has no curves", at="curves_section", expected="two classes, both among the targets"
        )
    roc, pr = result.roc, result.precision_recall
    return Section(
        title="Every threshold",
        lead=f"What other thresholds than a half would give, for “{result.labels[1]}”.",
        blocks=(
            Chart(
                title="ROC curve",
                svg=line_chart(
                    {"": roc.y},
                    x=roc.x,
                    title="ROC curve",
                    x_label="false positive rate",
                    y_range=(0, 1),
                    diagonal=True,
                ),
                caption=f"True positive rate against false. Area under the curve: {significant(result.auc, 4)}.",
            ),
            Chart(
                title="Precision and recall",
                svg=line_chart({"": pr.y}, x=pr.x, title="Precision over recall", x_label="recall", y_range=(0, 1)),
                caption=f"Precision over recall. Average precision: {significant(result.average_precision, 4)}.",
            ),
        ),
    )


def worst_mistakes_section(
    images: npt.NDArray[Any] | Sequence[npt.NDArray[Any]],
    result: ClassificationResult,
    labels: Sequence[str] | None = None,
) -> Section:
    """The mistakes of the highest confidence as pictures; `images[i]` `(H, W)` or `(H, W, C)` is sample i.

    Numbers other than uint8 are stretched from their smallest to their largest value for the eye.

    Raises: ShapeError unless there is an image for each sample.
    """
    if len(images) != result.count:
        raise ShapeError(at="worst_mistakes_section.images", got=len(images), expected=f"{result.count}, as evaluated")
    names = labels if labels is not None else result.labels
    title = "Worst mistakes"
    if not result.worst:
        return Section(title=title, blocks=(Text(body="There are none: every answer is right."),))
    items = tuple(
        Picture(
            uri=picture(_pixels(np.asarray(images[one.index]))),
            caption=f"{names[one.target]} → {names[one.predicted]}\n{percent(one.confidence)} sure, #{one.index}",
        )
        for one in result.worst
    )
    lead = "Answers that were wrong and the most sure of themselves: the truth → the answer."
    return Section(title=title, lead=lead, blocks=(Pictures(items=items),))


def _pixels(image: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    if image.dtype == np.uint8:
        return image
    numbers = np.nan_to_num(image.astype(np.float64))
    low, high = float(numbers.min()), float(numbers.max())
    scaled: npt.NDArray[np.uint8] = ((numbers - low) / ((high - low) or 1.0) * 255).round().astype(np.uint8)
    return scaled


def slices_section(parts: Mapping[str, Sequence[Slice]]) -> Section:
    """A table of accuracy for each feature in `{feature: slices(...)}`, the weakest slice first."""
    tables = tuple(
        Table(
            title=feature,
            columns=("value", "accuracy", "95 % interval", "samples"),
            rows=tuple(
                (
                    one.name,
                    percent(one.accuracy),
                    f"{percent(one.interval.low)} – {percent(one.interval.high)}",
                    one.count,
                )
                for one in found
            ),
        )
        for feature, found in parts.items()
    )
    return Section(title="Slices", lead="Accuracy on parts of the data.", blocks=tables)


def regression_section(result: RegressionResult) -> Section:
    """The errors' histogram and the figures of a regression."""
    facts = [
        Fact(label="Mean absolute error", value=significant(result.mae), note=_range(result)),
        Fact(label="Root mean squared error", value=significant(result.rmse)),
        Fact(label="Bias", value=significant(result.bias), note="mean of predicted minus true"),
    ]
    if result.r2 is not None:
        facts.append(Fact(label="R²", value=significant(result.r2, 4), note="share of variance explained"))
    if result.mape is not None:
        facts.append(Fact(label="Mean absolute percentage error", value=percent(result.mape)))
    chart = Chart(
        title="Distribution of the errors",
        svg=histogram(
            result.residual_counts,
            result.residual_edges,
            title="Distribution of the errors",
            x_label="predicted minus true",
        ),
    )
    blocks = (chart, Facts(title="Figures", items=tuple(facts), full=False))
    return Section(title="Errors", lead=f"{count(result.count)} samples.", blocks=blocks)


def _range(result: RegressionResult) -> str:
    return f"95 %: {significant(result.interval.low)} – {significant(result.interval.high)}"
