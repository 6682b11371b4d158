"""Judged by scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score, jaccard_score

from lepton_ai.core import ConfigError, DataError, ShapeError
from lepton_ai.evaluation import area_scores, dice_score, mean_iou, pixel_accuracy


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 4))
def test_like_scikit_learn(seed: int, classes: int) -> None:
    random = np.random.default_rng(seed)
    true = random.integers(0, classes, (3, 4, 5))
    said = np.where(random.random(true.shape) < 0.6, true, random.integers(0, classes, true.shape))
    seen = np.union1d(true, said)
    flat = (true.ravel(), said.ravel())
    found = area_scores(said, true, classes)
    assert found.iou[seen].tolist() == pytest.approx(jaccard_score(*flat, labels=seen, average=None).tolist())
    assert found.dice[seen].tolist() == pytest.approx(f1_score(*flat, labels=seen, average=None).tolist())
    assert found.elements.tolist() == np.bincount(true.ravel(), minlength=classes).tolist()
    assert mean_iou(said, true) == pytest.approx(jaccard_score(*flat, average="macro"))
    assert dice_score(said, true, classes) == pytest.approx(f1_score(*flat, average="macro"))
    assert pixel_accuracy(said, true) == accuracy_score(*flat)


def test_absent_and_ignored_classes() -> None:
    said, true = [[0, 0, 1, 1]], [[0, 255, 1, 0]]
    found = area_scores(said, true, 3, ignore=255)
    assert found.iou[:2].tolist() == [0.5, 0.5] and np.isnan(found.iou[2])
    assert mean_iou(said, true, 3, ignore=255) == 0.5
    assert pixel_accuracy(said, true, ignore=255) == pytest.approx(2 / 3)


def test_masks_of_truths_are_two_classes() -> None:
    assert mean_iou(np.array([[True, False]]), np.array([[1.0, 0.0]])) == 1.0


def test_errors() -> None:
    with pytest.raises(
        ShapeError, match=r"predicted has shape \(1, 2, 3\), targets \(1, 2\).*scores.argmax\(axis=-1\)"
    ):
        mean_iou(np.zeros((1, 2, 3)), np.zeros((1, 2)))
    with pytest.raises(DataError, match="mean_iou|area_scores.targets: 1 elements are of no class, the first is 255"):
        mean_iou([[0, 1]], [[0, 255]], 2)
    with pytest.raises(DataError, match="area_scores.predicted: got 0.5, expected whole numbers, the classes"):
        mean_iou([[0.5, 1]], [[0, 1]])
    with pytest.raises(DataError, match="there are no elements that count"):
        pixel_accuracy([[0, 1]], [[255, 255]], ignore=255)
    with pytest.raises(ConfigError, match="area_scores.classes: got 0, expected an int of at least 1"):
        mean_iou([[0]], [[0]], 0)
    with pytest.raises(DataError, match="got '<U1', expected numbers"):
        mean_iou([["a"]], [[0]])
    with pytest.raises(ShapeError, match="got 3, expected a map, or several"):
        mean_iou(3, 3)
