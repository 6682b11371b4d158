import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage

from lepton_ai import layers
from lepton_ai.core import ConfigError, ShapeError
from lepton_ai.layers import Layer
from tests.contracts.layer import noise
from tests.contracts.random_layer import RandomImages, train


class TestRandomFlip(RandomImages):
    def make(self) -> Layer:
        return layers.RandomFlip("horizontal")


class TestRandomTranslation(RandomImages):
    def make(self) -> Layer:
        return layers.RandomTranslation((-0.1, 0.2), 0.3, fill_mode="constant", fill_value=0.5)


class TestRandomRotation(RandomImages):
    def make(self) -> Layer:
        return layers.RandomRotation(0.2, fill_mode="wrap")


class TestRandomZoom(RandomImages):
    def make(self) -> Layer:
        return layers.RandomZoom(0.4, (-0.2, 0.3), fill_mode="nearest")


class TestRandomShear(RandomImages):
    def make(self) -> Layer:
        return layers.RandomShear(0.3, 0.2)


class TestRandomPerspective(RandomImages):
    def make(self) -> Layer:
        return layers.RandomPerspective(0.8, scale=0.7, fill_value=9.0)


@pytest.mark.parametrize("mode", ["horizontal", "vertical", "horizontal_and_vertical"])
def test_each_image_is_flipped_or_not(mode: str) -> None:
    x = noise(400, 3, 4, 2)
    y = layers.RandomFlip(mode).train()(x)
    ways = {"horizontal": [(), (2,)], "vertical": [(), (1,)]}.get(mode, [(), (1,), (2,), (1, 2)])
    counts = [sum(torch.equal(a, b) for a, b in zip(y, x.flip(way), strict=True)) for way in ways]
    assert sum(counts) == 400
    assert min(counts) > 400 / len(ways) * 0.7


def test_translation_by_whole_pixels_moves_them() -> None:
    x = noise(1, 6, 8, 2)
    layer = layers.RandomTranslation((0.5, 0.5), (-0.25, -0.25), fill_mode="constant")
    moved = layer.train()(x)
    torch.testing.assert_close(moved[:, 3:, :6], x[:, :3, 2:], atol=1e-5, rtol=1e-5)
    assert moved[:, :3].abs().max() < 1e-5 and moved[:, :, 6:].abs().max() < 1e-5


def test_shifts_stay_within_their_bounds_and_differ_by_row() -> None:
    x = torch.zeros(300, 21, 21, 1)
    x[:, 10, 10] = 1
    moved = layers.RandomTranslation(0.2, (0.0, 0.1), interpolation="nearest").train()(x)
    places = moved[..., 0].flatten(1).argmax(1)
    down, right = places // 21 - 10, places % 21 - 10
    assert down.min() == -4 and down.max() == 4
    assert right.min() == 0 and right.max() == 2


def test_bytes_become_floats_in_training_and_after() -> None:
    x = torch.full((2, 4, 4, 1), 7, dtype=torch.uint8)
    layer = layers.RandomFlip()
    assert layer(x).dtype == layer.train()(x).dtype == torch.float32


def linear_map(layer: Any, values: list[float], height: int, width: int) -> np.ndarray:
    """What each of the layers means, written down anew: from the output's (row, column) to the input's."""
    if isinstance(layer, layers.RandomRotation):
        angle = 2 * math.pi * values[0]
        return np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    if isinstance(layer, layers.RandomZoom):
        return np.diag([1 + values[0], 1 + values[1]])
    return np.array([[1, values[1]], [values[0], 1]])


@pytest.mark.parametrize("interpolation", ["bilinear", "nearest"])
@pytest.mark.parametrize(
    ("fill_mode", "theirs"),
    [("constant", "grid-constant"), ("nearest", "nearest"), ("reflect", "reflect"), ("wrap", "grid-wrap")],
)
@pytest.mark.parametrize(
    ("kind", "values"), [("RandomRotation", [0.07]), ("RandomZoom", [0.31, -0.23]), ("RandomShear", [0.21, -0.13])]
)
def test_maps_are_scipys(kind: str, values: list[float], interpolation: str, fill_mode: str, theirs: str) -> None:
    x = np.random.default_rng(0).normal(size=(2, 11, 8, 3))
    layer = getattr(layers, kind)(0.5, fill_mode=fill_mode, interpolation=interpolation, fill_value=0.5)
    got = layer.transform(torch.from_numpy(x), torch.tensor([values, values], dtype=torch.float64)).numpy()
    matrix, middle = np.eye(3), np.array([5.0, 3.5, 0.0])
    matrix[:2, :2] = linear_map(layer, values, 11, 8)
    for row in range(2):
        wanted = ndimage.affine_transform(
            x[row],
            matrix,
            middle - matrix @ middle,
            order=int(interpolation == "bilinear"),
            mode=theirs,
            cval=0.5,
            prefilter=False,
        )
        np.testing.assert_allclose(got[row], wanted, rtol=1e-9, atol=1e-9)


def test_rotation_is_counter_clockwise_as_in_pillow() -> None:
    x = np.random.default_rng(0).normal(size=(12, 12)).astype("float32")
    layer = layers.RandomRotation(1.0, fill_mode="constant", interpolation="nearest")
    got = layer.transform(torch.from_numpy(x)[None, :, :, None], torch.tensor([[20 / 360]]))[0, :, :, 0]
    wanted = np.asarray(Image.fromarray(x).rotate(20, Image.Resampling.NEAREST))
    assert np.mean(got.numpy() == wanted) > 0.97
    quarter = layer.transform(torch.from_numpy(x)[None, :, :, None], torch.tensor([[0.25]]))[0, :, :, 0]
    np.testing.assert_array_equal(quarter.numpy(), np.rot90(x))


def test_perspective_reads_its_corners() -> None:
    generator = np.random.default_rng(0)
    moves = generator.uniform(-0.25, 0.25, (5, 8))
    layer = layers.RandomPerspective()
    places = layer.coefficients(torch.from_numpy(moves), 40, 60)
    a, b, c, d, e, f, g, h = (each.numpy() for each in places)
    for corner, (right, down) in enumerate([(-30, -20), (30, -20), (30, 20), (-30, 20)]):
        w = g * right + h * down + 1
        np.testing.assert_allclose((a * right + b * down + c) / w, right + 60 * moves[:, corner], atol=1e-9)
        np.testing.assert_allclose((d * right + e * down + f) / w, down + 40 * moves[:, 4 + corner], atol=1e-9)
    # A straight line stays one: three points of an edge still lie on a line.
    u, v = np.array([-30.0, 4.0, 17.0])[:, None], 20.0
    w = g * u + h * v + 1
    x, y = (a * u + b * v + c) / w, (d * u + e * v + f) / w
    np.testing.assert_allclose((x[1] - x[0]) * (y[2] - y[0]), (x[2] - x[0]) * (y[1] - y[0]), atol=1e-6)


def test_perspective_spares_images() -> None:
    x = noise(200, 6, 6, 1)
    y = train(layers.RandomPerspective(0.3), x, torch.arange(200))
    assert 0.2 < ((y - x).abs().amax((1, 2, 3)) > 1e-3).float().mean() < 0.4


@given(
    kind=st.sampled_from(["RandomFlip", "RandomRotation", "RandomZoom", "RandomTranslation", "RandomShear"]),
    fill=st.sampled_from(["constant", "reflect", "wrap", "nearest"]),
    seed=st.integers(0, 500),
)
@settings(max_examples=60, deadline=None)
def test_masks_move_with_their_images(kind: str, fill: str, seed: int) -> None:
    """An image that shows the class of each pixel and is read at the nearest pixel stays its own mask."""
    classes = torch.from_numpy(np.random.default_rng(seed).integers(0, 5, (6, 9, 7)))
    options: dict[str, Any] = {"fill_mode": fill, "interpolation": "nearest"}
    made: dict[str, Any] = {
        "RandomFlip": layers.RandomFlip,
        "RandomRotation": lambda: layers.RandomRotation(0.3, **options),
        "RandomZoom": lambda: layers.RandomZoom(0.4, **options),
        "RandomTranslation": lambda: layers.RandomTranslation(0.3, 0.2, **options),
        "RandomShear": lambda: layers.RandomShear(0.3, **options),
    }
    given = {"mask": classes, "wide": classes.unsqueeze(3).to(torch.uint8), "label": torch.arange(6)}
    x, y = train(made[kind](), classes.unsqueeze(3).float(), torch.arange(6), seed=seed, targets=given)
    assert torch.equal(x[..., 0].long(), y["mask"]) and y["mask"].dtype == torch.int64
    assert torch.equal(y["wide"][..., 0].long(), y["mask"]) and y["wide"].dtype == torch.uint8
    assert torch.equal(y["label"], torch.arange(6))


def test_targets_of_another_size_are_refused() -> None:
    layer = layers.RandomRotation(0.1, name="turn").train()
    with pytest.raises(ShapeError) as caught:
        layer(torch.ones(2, 8, 8, 3), torch.ones(2, 4, 4, 1))
    assert str(caught.value) == (
        "RandomRotation 'turn': got targets of shape (2, 4, 4, 1) beside images of shape (2, 8, 8, 3), expected "
        "labels, or masks of the images' height and width. Put the layer into the model if its targets do not move "
        "with the pixels."
    )


def test_refused_arguments() -> None:
    with pytest.raises(ConfigError, match=r"RandomFlip\.mode: unknown mode 'horizontl'\. Did you mean 'horizontal'"):
        layers.RandomFlip("horizontl")
    with pytest.raises(ConfigError) as caught:
        layers.RandomTranslation((0.2, 0.1), 0.1)
    assert str(caught.value) == (
        "RandomTranslation.height_factor: got (0.2, 0.1), expected a number from 0 to 1, or two from -1 to 1, "
        "the lower first"
    )
    with pytest.raises(ConfigError, match=r"RandomTranslation\.fill_mode: unknown fill_mode 'wrp'"):
        layers.RandomTranslation(0.1, 0.1, fill_mode="wrp")
    for wrong in ("0.1", (0.1, 0.2, 0.3), True, 1.5, ()):
        with pytest.raises(ConfigError, match=r"RandomRotation\.factor: got"):
            layers.RandomRotation(wrong)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"RandomPerspective\.scale: got 2, expected a number from 0 to 1"):
        layers.RandomPerspective(scale=2)
    with pytest.raises(ConfigError, match=r"channels_last"):
        layers.RandomZoom(0.1, data_format="channels_first")
