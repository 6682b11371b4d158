import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from lepton_ai.core import DataError, ShapeError
from lepton_ai.evaluation import (
    Chart,
    ClassificationResult,
    Facts,
    Pictures,
    Section,
    Table,
    Text,
    calibration_section,
    confusion_section,
    curves_section,
    evaluate_classification,
    evaluate_regression,
    learning_curves,
    per_class_section,
    regression_section,
    slices,
    slices_section,
    worst_mistakes_section,
)


def judged(classes: int, rows: int = 300, seed: int = 0) -> ClassificationResult:
    random = np.random.default_rng(seed)
    targets = random.integers(0, classes, rows)
    scores = random.dirichlet(np.ones(classes), rows)
    scores[np.arange(rows), targets] += 0.2
    return evaluate_classification(scores / scores.sum(axis=1, keepdims=True), targets)


def table(section: Section) -> Table:
    return next(block for block in section.blocks if isinstance(block, Table))


def charts(section: Section) -> list[Chart]:
    return [block for block in section.blocks if isinstance(block, Chart)]


def test_learning_curves_pair_training_with_validation() -> None:
    section = learning_curves(
        {
            "epoch": [1, 2, 3],
            "loss": [3, 2, 1],
            "val_loss": [3, 1.5, math.nan],
            "lr": [0.1, 0.1, 0.01],
            "val_auc": [0.6, 0.9, 0.8],
        }
    )
    assert [chart.title for chart in charts(section)] == ["Loss", "Learning rate", "Auc"]
    loss, rate, auc = charts(section)
    assert "training" in loss.svg and "validation" in loss.svg
    assert "training" not in rate.svg and "validation" in auc.svg
    assert loss.caption == "Lowest validation loss: 1.5, at epoch 2 of 3."
    assert auc.caption == "Highest validation auc: 0.9, at epoch 2 of 3."
    assert rate.caption == ""


def test_a_diverged_history_is_drawn() -> None:
    section = learning_curves({"loss": [math.nan], "val_loss": [math.nan]})
    assert "No finite values" in charts(section)[0].svg and charts(section)[0].caption == ""


@pytest.mark.parametrize("history", [{}, {"loss": []}, {"epoch": [1]}])
def test_an_empty_history(history: dict[str, list[float]]) -> None:
    with pytest.raises(DataError, match="the history is empty. Pass what fit returned"):
        learning_curves(history)


def test_confusion_counts_its_mistakes() -> None:
    result = evaluate_classification(np.eye(3)[[0, 1, 1, 1, 2, 0]], [0, 1, 0, 0, 2, 2], ["a", "b", "c"])
    section = confusion_section(result)
    assert table(section).rows == (("a → b", 2, "66.7\u202f%"), ("c → a", 1, "50.0\u202f%"))
    assert section.lead == "3 of 6 answers are right, 3 wrong."


def test_confusion_without_mistakes() -> None:
    section = confusion_section(evaluate_classification(np.eye(2), [0, 1]))
    assert section.lead == "Not a single mistake." and len(section.blocks) == 1


def test_many_classes_are_cut_to_those_that_matter() -> None:
    result = judged(60, rows=900)
    drawn = charts(confusion_section(result))[0]
    assert drawn.full and "The 30 most confused of 60 classes are drawn." in drawn.caption
    scores = per_class_section(result)
    assert len(table(scores).rows) == 42
    assert "The 40 weakest of 60 are shown." in scores.lead


def test_per_class_has_averages() -> None:
    result = judged(4)
    rows = table(per_class_section(result)).rows
    assert [row[0] for row in rows] == ["0", "1", "2", "3", "class mean", "sample mean"]
    assert rows[-1][-1] == result.count


def test_calibration_of_two_and_of_more_classes() -> None:
    assert "share of right answers" in charts(calibration_section(judged(3)))[0].svg
    two = calibration_section(judged(2))
    assert "stated probability of “1”" in charts(two)[0].svg
    facts = next(block for block in two.blocks if isinstance(block, Facts))
    assert [fact.label for fact in facts.items][1] == "Expected calibration error"


def test_curves() -> None:
    section = curves_section(judged(2))
    assert len(charts(section)) == 2
    with pytest.raises(DataError, match="this result has no curves, expected two classes, both among the targets"):
        curves_section(judged(3))


@pytest.mark.parametrize("kind", ["uint8", "float", "bool", "list", "nan"])
def test_worst_mistakes_show_any_picture(kind: str) -> None:
    result = judged(3)
    images: npt.NDArray[Any] = np.random.default_rng(0).random((result.count, 4, 4, 1))
    if kind == "uint8":
        images = (images * 255).astype(np.uint8)
    if kind == "bool":
        images = images > 0.5
    if kind == "nan":
        images[:] = math.nan
    section = worst_mistakes_section(list(images) if kind == "list" else images, result, ["x", "y", "z"])
    (block,) = section.blocks
    assert isinstance(block, Pictures) and len(block.items) == len(result.worst) > 5
    first = result.worst[0]
    assert block.items[0].caption.startswith(f"{'xyz'[first.target]} → {'xyz'[first.predicted]}\n")
    assert f"#{first.index}" in block.items[0].caption


def test_no_mistakes_and_missing_pictures() -> None:
    right = evaluate_classification(np.eye(2), [0, 1])
    (block,) = worst_mistakes_section(np.zeros((2, 3, 3), np.uint8), right).blocks
    assert isinstance(block, Text)
    with pytest.raises(ShapeError, match="images: got 1, expected 2, as evaluated"):
        worst_mistakes_section(np.zeros((1, 3, 3), np.uint8), right)


def test_slices_and_regression() -> None:
    section = slices_section({"time": slices(["day", "night"], [1, 0])})
    assert [row[0] for row in table(section).rows] == ["night", "day"]
    errors = regression_section(evaluate_regression([1.0, 2.0, 4.0], [1.0, 2.5, 3.0]))
    labels = [fact.label for block in errors.blocks if isinstance(block, Facts) for fact in block.items]
    assert labels[:3] == ["Mean absolute error", "Root mean squared error", "Bias"] and len(labels) == 5
