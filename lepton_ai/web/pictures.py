"""Pictures that travel inside the page."""

import base64
import io
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from lepton_ai.core import ShapeError


def picture(pixels: npt.NDArray[Any]) -> str:
    """A data URI of a PNG of uint8 pixels: `(H, W)` or `(H, W, 1)` grey, `(H, W, 3)` colour, `(H, W, 4)` with alpha.

    Pixels are kept as they are; the page enlarges small pictures without blurring them.

    Raises: ShapeError for another dtype or shape.

    Example:
        >>> picture(np.zeros((2, 2), np.uint8))[:22]
        'data:image/png;base64,'
    """
    if pixels.dtype != np.uint8:
        raise ShapeError(
            at="picture",
            got=str(pixels.dtype),
            expected="uint8",
            fix="Scale values from 0..1 first: (255 * pixels).round().astype(numpy.uint8).",
        )
    grey = pixels[..., 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels
    if not pixels.size or not (grey.ndim == 2 or (grey.ndim == 3 and grey.shape[2] in (3, 4))):
        raise ShapeError(
            at="picture",
            got=pixels.shape,
            expected="(H, W) or (H, W, C) with 1, 3 or 4 channels last",
            fix="Pass one picture at a time; move channels with numpy.moveaxis(pixels, 0, -1).",
        )
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(grey)).save(file, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")
