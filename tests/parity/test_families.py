"""Families against Keras 3 on the torch backend."""

import os

os.environ["KERAS_BACKEND"] = "torch"

import keras
import numpy as np

from lepton_ai.models import mobilenet_v2


def test_mobilenet_answers_as_keras_with_its_weights() -> None:
    theirs = keras.applications.MobileNetV2((96, 96, 3), alpha=0.35, weights=None, classes=7)
    generator = np.random.default_rng(0)
    weights = [generator.normal(0.0, 0.2, each.shape).astype("float32") for each in theirs.get_weights()]
    weights = [
        np.abs(w) + 0.5 if v.path.endswith("variance") else w for w, v in zip(weights, theirs.weights, strict=True)
    ]
    theirs.set_weights(weights)
    ours = mobilenet_v2((96, 96, 3), 7, alpha=0.35)
    ours.set_weights(weights)
    x = generator.normal(size=(2, 96, 96, 3)).astype("float32")
    assert np.allclose(ours.predict(x), theirs.predict(x, verbose=0), atol=1e-4)
