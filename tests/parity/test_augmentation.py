"""Augmentation of images against Keras 3, where bounds that meet leave nothing to chance."""

import inspect
import os
import warnings
from typing import Any

os.environ["KERAS_BACKEND"] = "torch"

import keras
import numpy as np
import pytest
import torch

from lepton_ai import layers
from tests.contracts.random_layer import train

IMAGES = np.random.default_rng(0).uniform(20, 230, (4, 10, 8, 3))
IMAGES[1, 2:5, 3:6] = IMAGES[1, 2, 3]  # flat parts, and grey ones
IMAGES[2, :3, :3, 1] = IMAGES[2, :3, :3, 0]
IMAGES[2, :3, :3, 2] = IMAGES[2, :3, :3, 0]


def ours(kind: str, *arguments: Any, **named: Any) -> np.ndarray:
    answer: torch.Tensor = train(getattr(layers, kind)(*arguments, **named), torch.from_numpy(IMAGES), torch.arange(4))
    return answer.numpy()


def theirs(kind: str, *arguments: Any, **named: Any) -> np.ndarray:
    layer = getattr(keras.layers, kind)(*arguments, dtype="float64", **named)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch, at what Keras' equalisation does
        return np.stack([np.asarray(layer(image[None], training=True))[0] for image in IMAGES])


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        ("RandomBrightness", {"factor": (0.3, 0.3)}),
        ("RandomBrightness", {"factor": (-0.25, -0.25), "value_range": (0, 200)}),
        ("RandomColorDegeneration", {"factor": (0.4, 0.4)}),
        ("RandomGrayscale", {"factor": 1.0}),
        ("RandomPosterization", {"factor": (3, 3)}),
        ("RandomInvert", {"factor": (1.0, 1.0)}),
        ("AutoContrast", {}),
        ("Equalization", {}),
        ("Equalization", {"bins": 32}),
    ],
)
def test_colours(kind: str, arguments: dict[str, Any]) -> None:
    if hasattr(layers, kind) and not issubclass(getattr(layers, kind), layers.RandomLayer):
        got = getattr(layers, kind)(**arguments)(torch.from_numpy(IMAGES)).numpy()
    else:
        got = ours(kind, **arguments)
    np.testing.assert_allclose(got, theirs(kind, **arguments), rtol=1e-6, atol=1e-3)


def test_saturation() -> None:
    """Keras takes the saturation of pixels from 0 to 1 right only."""
    got = ours("RandomSaturation", (0.7, 0.7))
    layer = keras.layers.RandomSaturation((0.7, 0.7), value_range=(0, 1), dtype="float64")
    np.testing.assert_allclose(got, 255 * np.asarray(layer(IMAGES / 255)), rtol=1e-5, atol=1e-3)


def test_hue() -> None:
    """The direction is drawn: each image is one of Keras' two."""
    got = torch.from_numpy(ours("RandomHue", (0.4, 0.4)))
    layer = layers.RandomHue(0.4)
    for turn in (0.2, -0.2):
        hsv = np.asarray(keras.ops.image.rgb_to_hsv(IMAGES / 255))
        hsv[..., 0] = (hsv[..., 0] + turn) % 1
        wanted = 255 * np.asarray(keras.ops.image.hsv_to_rgb(hsv))
        factor = torch.full((4, 1, 1, 1), turn, dtype=torch.float64)
        moved = layer.transform(torch.from_numpy(IMAGES), factor)
        np.testing.assert_allclose(moved.numpy(), wanted, rtol=1e-5, atol=1e-3)
    either = [layer.transform(torch.from_numpy(IMAGES), torch.full((4, 1, 1, 1), t).double()) for t in (0.2, -0.2)]
    assert all(min((row - each[i]).abs().max() for each in either) < 1e-4 for i, row in enumerate(got))


def test_sharpness_inside() -> None:
    """At the border Keras blurs with zeros."""
    for factor in (0.1, 0.9):
        got, wanted = (make("RandomSharpness", (factor, factor)) for make in (ours, theirs))
        np.testing.assert_allclose(got[:, 1:-1, 1:-1], wanted[:, 1:-1, 1:-1], rtol=1e-6, atol=1e-3)


@pytest.mark.parametrize("fill_mode", ["constant", "nearest"])
@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        ("RandomRotation", {"factor": (0.07, 0.07)}),
        ("RandomRotation", {"factor": (-0.2, -0.2)}),
        ("RandomZoom", {"height_factor": (0.3, 0.3), "width_factor": (-0.2, -0.2)}),
        ("RandomZoom", {"height_factor": (-0.4, -0.4)}),
        ("RandomTranslation", {"height_factor": (0.23, 0.23), "width_factor": (-0.1, -0.1)}),
    ],
)
def test_geometry(kind: str, arguments: dict[str, Any], fill_mode: str) -> None:
    got = ours(kind, fill_mode=fill_mode, **arguments)
    wanted = theirs(kind, fill_mode=fill_mode, **arguments)
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-2)


def changes_of_images() -> set[str]:
    return {
        name
        for name in layers.__all__
        if isinstance(value := getattr(layers, name), type)
        and issubclass(value, layers.Layer)
        and value.__module__.startswith("lepton_ai.layers.augmentation")
    }


def test_every_name_is_keras_or_said_to_be_our_own() -> None:
    own = {"GeometricLayer", "RandomResizedCrop"}
    assert {name for name in changes_of_images() if not hasattr(keras.layers, name)} == own


@pytest.mark.parametrize("name", sorted(changes_of_images() - {"GeometricLayer", "RandomResizedCrop"}))
def test_arguments_are_keras(name: str) -> None:
    made, peer = (
        {
            each.name: each.default
            for each in inspect.signature(getattr(room, name).__init__).parameters.values()
            if each.kind is each.POSITIONAL_OR_KEYWORD and each.name not in ("self", "name")
        }
        for room in (layers, keras.layers)
    )
    assert peer.items() <= made.items()
