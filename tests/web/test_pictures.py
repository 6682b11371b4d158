import base64
import io

import numpy as np
import pytest
from PIL import Image

from lepton_ai.core import ShapeError
from lepton_ai.web import picture


@pytest.mark.parametrize("shape", [(3, 5), (3, 5, 1), (3, 5, 3), (3, 5, 4)])
def test_pixels_come_back(shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    head, _, body = picture(pixels).partition(",")
    assert head == "data:image/png;base64"
    with Image.open(io.BytesIO(base64.b64decode(body))) as image:
        assert np.array_equal(np.asarray(image).reshape(shape), pixels)


def test_strided_pixels() -> None:
    pixels = np.arange(24, dtype=np.uint8).reshape(4, 6)
    assert picture(pixels[::2, ::-1]) == picture(np.ascontiguousarray(pixels[::2, ::-1]))


def test_floats_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"picture: got 'float64', expected uint8\. Scale values from 0\.\.1 first"):
        picture(np.zeros((2, 2)))


@pytest.mark.parametrize("shape", [(4,), (2, 2, 2), (1, 2, 2, 3), (0, 2), (3, 28, 28)])
def test_shapes_that_are_no_picture(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match="channels last"):
        picture(np.zeros(shape, np.uint8))
