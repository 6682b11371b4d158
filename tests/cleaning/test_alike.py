"""What is alike: texts, images, rows; and pairs joined to groups."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lepton_ai.cleaning.check import Limits
from lepton_ai.cleaning.images import ImageSubject
from lepton_ai.cleaning.labels import contradicted
from lepton_ai.cleaning.leaks import area
from lepton_ai.cleaning.learners import fold_of
from lepton_ai.cleaning.neighbours import joined
from lepton_ai.cleaning.outliers import normal_scores
from lepton_ai.cleaning.perceptual import difference_hash, frequency_hash, look_alikes
from lepton_ai.cleaning.texts import alike
from tests.contracts.dirty import COMMENTS


def scene(seed: int, size: int = 64) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 255, (6, 6)).astype(np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC))


def test_texts_are_alike_whatever_case_and_marks() -> None:
    texts = [*COMMENTS, COMMENTS[0].upper() + "!!", COMMENTS[1].replace(" ", "  "), "short", "SHORT"]
    assert alike(texts).tolist() == [[0, 4], [1, 5], [6, 7]]


@given(st.lists(st.text(max_size=30), min_size=1, max_size=8))
@settings(max_examples=40, deadline=None)
def test_any_texts_can_be_compared_and_equal_ones_are_alike(texts: list[str]) -> None:
    pairs = set(map(tuple, alike([*texts, texts[0]]).tolist()))
    assert (0, len(texts)) in pairs and all(one < other for one, other in pairs)


def test_pictures_are_alike_brighter_smaller_and_recompressed() -> None:
    scenes = [scene(seed) for seed in range(12)]
    again = [
        (scenes[0] * 0.6 + 40).astype(np.uint8),
        np.asarray(Image.fromarray(scenes[1]).resize((40, 40)).resize((64, 64))),
        (scenes[2] + np.random.default_rng(0).normal(0, 6, (64, 64))).clip(0, 255).astype(np.uint8),
    ]
    small = ImageSubject.of_arrays(np.stack([*scenes, *again]), None, Limits()).measures.small
    assert look_alikes(small, small).tolist() == [[0, 12], [1, 13], [2, 14]]
    assert look_alikes(small[12:], small[:12]).tolist() == [[0, 0], [1, 1], [2, 2]]


def test_hashes_are_64_bits_that_brightness_does_not_change() -> None:
    small = np.stack([scene(seed, 32) for seed in range(3)])
    for hashed in (difference_hash(small), frequency_hash(small)):
        assert hashed.shape == (3, 64) and hashed.dtype == bool
    assert (difference_hash(small) == difference_hash(small // 2 + 60)).mean() > 0.95


def test_pairs_become_groups() -> None:
    groups = joined(np.array([[4, 2], [0, 5], [2, 1]]), 7)
    assert [group.tolist() for group in groups] == [[0, 5], [1, 2, 4]]
    assert joined(np.zeros((0, 2), np.int64), 3) == []


def test_folds_share_every_class() -> None:
    classes = np.repeat([0, 1], [90, 10])
    folds = fold_of(classes, 0)
    assert np.bincount(folds).tolist() == [20] * 5 and np.bincount(folds[classes == 1]).tolist() == [2] * 5


def test_the_area_under_the_curve_is_scikit_learn_s() -> None:
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(0)
    for _ in range(5):
        positive, scores = rng.random(50) < 0.3, rng.integers(0, 9, 50).astype(float)
        assert abs(area(positive, scores) - roc_auc_score(positive, scores)) < 1e-12
    assert area(np.ones(3, bool), np.zeros(3)) == 0.5


def test_normal_scores_share_ranks_and_leave_gaps_in_the_middle() -> None:
    scores = normal_scores(np.array([3.0, 1.0, np.nan, 3.0, 2.0, np.inf]))
    assert scores[2] == scores[5] == 0 and scores[0] == scores[3] > scores[4] > scores[1]
    assert abs(scores[[0, 1, 3]].sum() + scores[4]) < 0.5


def test_the_most_doubtful_label_comes_first() -> None:
    chances = np.array([[0.9, 0.1]] * 6 + [[0.1, 0.9]] * 6 + [[0.01, 0.99], [0.2, 0.8], [0.55, 0.45]])
    codes = np.array([0] * 6 + [1] * 6 + [0, 0, 1])
    rows, better = contradicted(chances, codes)
    assert rows.tolist() == [12, 13] and better.tolist() == [1, 1]
