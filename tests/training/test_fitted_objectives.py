"""Losses and metrics through `fit`, `evaluate`, `save` and `load`: one of every kind that the others do not cover."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import lepton_ai
from lepton_ai.core import LeptonError
from lepton_ai.layers import Conv2D, Dense, Input, Reshape, UnitNormalization
from lepton_ai.models import Model, Sequential
from lepton_ai.training import Muon, Pinball, get_loss, get_metric

RANDOM = np.random.default_rng(3)
X = RANDOM.normal(size=(30, 4)).astype("float32")
LABELS = np.arange(30) % 3
ONEHOT = np.eye(3, dtype="float32")[LABELS]
IMAGES = RANDOM.random((30, 6, 6, 1), dtype="float32")
SIGNS = np.where(X[:, 0] > 0, 1.0, -1.0).astype("float32")
WORDS = RANDOM.integers(1, 4, (30, 2))


def dense(units: int, activation: str | None = None, *after: Any) -> Sequential:
    return Sequential([Dense(8, activation="tanh", input_shape=(4,)), Dense(units, activation=activation), *after])


def segmenter(channels: int, activation: str) -> Sequential:
    return Sequential([Input((6, 6, 1)), Conv2D(4, 3, padding="same"), Conv2D(channels, 1, activation=activation)])


CASES: list[tuple[str, Any, list[Any], Any, Any]] = [
    ("focal", "binary_focal_crossentropy", ["accuracy", "mcc", "true_positives"], X, (SIGNS > 0).astype("float32")),
    ("focals", "categorical_focal_crossentropy", ["accuracy", "balanced_accuracy", "f_beta_score"], X, ONEHOT),
    ("robust", "categorical_generalized_cross_entropy", ["accuracy", "cohen_kappa"], X, LABELS),
    ("divergence", "kld", ["kl_divergence", "categorical_crossentropy"], X, ONEHOT),
    ("hinge", "hinge", ["accuracy", "squared_hinge"], X, SIGNS),
    ("hinges", "categorical_hinge", ["accuracy"], X, ONEHOT),
    ("counts", "poisson", ["poisson", "rmse"], X, LABELS.astype("float32")),
    ("angle", "cosine_similarity", ["cosine_similarity", "pearson_correlation"], X, X[:, :3]),
    ("quantiles", Pinball([0.1, 0.5, 0.9]), [Pinball([0.1, 0.5, 0.9])], X, X[:, 0]),
    ("areas", "dice", ["binary_iou", "jaccard"], IMAGES, (IMAGES > 0.5).astype("float32")),
    ("paths", "ctc", [], X, WORDS),
    ("circle", "circle", [], X, X[:, :3].argmax(1)),
    ("triplet", "triplet", [], X, X[:, :3].argmax(1)),
]


def model_for(kind: str) -> Model:
    if kind == "areas":
        return segmenter(1, "sigmoid")
    if kind in ("circle", "triplet"):
        return dense(3, None, UnitNormalization())
    if kind == "paths":
        return dense(24, None, Reshape((6, 4)))
    units = {"focal": (1, "sigmoid"), "hinge": (1, None), "counts": (1, "exponential")}
    softmax = kind in ("focals", "robust", "divergence")
    return dense(*units.get(kind, (3, "softmax" if softmax else None)))


@pytest.mark.parametrize(("kind", "loss", "metrics", "x", "y"), CASES, ids=[case[0] for case in CASES])
def test_it_learns_measures_and_comes_back(
    kind: str, loss: Any, metrics: list[Any], x: Any, y: Any, tmp_path: Path
) -> None:
    model = model_for(kind)
    model.compile("adam", loss, metrics=metrics)
    rows = 30 if get_loss(loss).pairs_rows else 10
    history = model.fit(x, y, epochs=12, batch_size=rows, verbose=0)
    assert history["loss"][-1] < history["loss"][0]
    assert all(math.isfinite(value) for values in history.history.values() for value in values)
    whole = model.evaluate(x, y, return_dict=True)
    if not get_loss(loss).pairs_rows:
        assert model.evaluate(x, y, batch_size=7, return_dict=True) == pytest.approx(whole, rel=1e-5)
    model.save(tmp_path / "model.lepton")
    assert lepton_ai.load(tmp_path / "model.lepton").evaluate(x, y, return_dict=True) == whole


def test_muon_and_its_state_come_back(tmp_path: Path) -> None:
    model = dense(3, "softmax")
    model.compile(Muon(0.01, exclude_layers=["^dense_1"]), "sparse_categorical_crossentropy")
    model.fit(X, LABELS, epochs=2, verbose=0, run=tmp_path / "run")
    again = dense(3, "softmax")
    again.compile(Muon(0.01, exclude_layers=["^dense_1"]), "sparse_categorical_crossentropy")
    again.fit(X, LABELS, epochs=4, verbose=0, run=tmp_path / "run")
    through = dense(3, "softmax")
    through.compile(Muon(0.01, exclude_layers=["^dense_1"]), "sparse_categorical_crossentropy")
    through.fit(X, LABELS, epochs=4, verbose=0)
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), through.parameters(), strict=True))


def test_one_class_alone_is_no_reason_to_stop() -> None:
    model = dense(1, "sigmoid")
    model.compile("adam", "bce", metrics=["auc"])
    history = model.fit(X, np.zeros(30), epochs=2, verbose=0)
    assert [math.isnan(value) for value in history["auc"]] == [True, True]


def test_a_metric_is_refused_before_training() -> None:
    model = dense(3, "softmax")
    mean = get_metric({"class": "MeanIoU", "config": {"num_classes": 2, "sparse_y_pred": False}})
    model.compile("adam", "sparse_categorical_crossentropy", metrics=[mean])
    with pytest.raises(LeptonError, match="mean_io_u: targets are no classes from 0 to 1: 2 at row 2"):
        model.fit(X, LABELS, verbose=0)
