"""Projections of weights, alone and after each step of training, against Keras 3."""

import os

os.environ["KERAS_BACKEND"] = "torch"

from typing import Any

import keras
import numpy as np
import pytest
import torch

from lepton_ai import layers
from lepton_ai.models import Sequential
from tests.parity.test_layers import assert_equal, double_precision

__all__ = ["double_precision"]  # a fixture of every test here


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("MaxNorm", {}),
        ("MaxNorm", {"max_value": 0.7, "axis": 1}),
        ("NonNeg", {}),
        ("UnitNorm", {}),
        ("UnitNorm", {"axis": (0, 1)}),
        ("MinMaxNorm", {}),
        ("MinMaxNorm", {"min_value": 1.5, "max_value": 2.0, "rate": 0.3, "axis": 1}),
    ],
)
def test_projections(name: str, arguments: dict[str, Any]) -> None:
    weight = np.random.default_rng(0).normal(size=(4, 3, 5))
    weight[:, 0, 0] = 0
    theirs = getattr(keras.constraints, name)(**arguments)(torch.from_numpy(weight))
    assert_equal(getattr(layers, name)(**arguments)(torch.from_numpy(weight)), theirs)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_training_under_constraints(optimizer: str) -> None:
    noise = np.random.default_rng(0)
    x, y = noise.normal(size=(48, 5)).astype("float32"), noise.normal(size=(48, 2)).astype("float32")
    keras.config.set_floatx("float32")
    theirs = keras.Sequential(
        [
            keras.layers.Input((5,)),
            keras.layers.Dense(8, "tanh", kernel_constraint=keras.constraints.MaxNorm(0.6), bias_constraint="non_neg"),
            keras.layers.Dense(2, kernel_constraint=keras.constraints.UnitNorm()),
        ]
    )
    ours = Sequential(
        [
            layers.Dense(8, "tanh", kernel_constraint=layers.MaxNorm(0.6), bias_constraint="non_neg", input_shape=(5,)),
            layers.Dense(2, kernel_constraint=layers.UnitNorm()),
        ]
    )
    ours.set_weights(theirs.get_weights())
    for model in (ours, theirs):
        model.compile(optimizer=optimizer, loss="mse")
        model.fit(x, y, batch_size=16, epochs=3, shuffle=False, verbose=0)
    for got, want in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
