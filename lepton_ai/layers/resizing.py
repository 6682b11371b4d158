"""Images to one size."""

from typing import Any, Unpack

import torch.nn.functional as F
from torch import Tensor

from lepton_ai.core import ConfigError
from lepton_ai.layers.arguments import channels_last, one_of, positive_int
from lepton_ai.layers.dtypes import as_float
from lepton_ai.layers.layer import Layer, LayerOptions
from lepton_ai.layers.shapes import Shape

# Keras' "nearest" takes the pixel whose centre is nearest; torch's own of that name is off by half a pixel.
_MODES = {"bilinear": "bilinear", "nearest": "nearest-exact", "bicubic": "bicubic"}


class Resizing(Layer):
    """Images in `height` times `width` pixels, as floats (uint8 may come in; values keep their range).

    Shapes: `(B, H, W, C)` in, `(B, height, width, C)` out.

    Args:
        interpolation: "bilinear", "nearest" or "bicubic".
        antialias: blur while shrinking, so that fine patterns vanish instead of turning into coarse ones.
        crop_to_aspect_ratio: cut the edges off instead of distorting.

    Raises: ConfigError for impossible settings.

    Example:
        >>> import torch
        >>> Resizing(28, 28)(torch.ones(2, 50, 40, 3)).shape
        torch.Size([2, 28, 28, 3])
    """

    ndim = 4

    def __init__(
        self,
        height: int,
        width: int,
        interpolation: str = "bilinear",
        crop_to_aspect_ratio: bool = False,
        *,
        antialias: bool = False,
        data_format: str | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        self.height = positive_int("Resizing.height", height)
        self.width = positive_int("Resizing.width", width)
        self.interpolation = one_of("Resizing.interpolation", interpolation, tuple(_MODES))
        self.crop_to_aspect_ratio = crop_to_aspect_ratio
        if antialias and interpolation == "nearest":
            raise ConfigError(at="Resizing.antialias", got=antialias, expected='False with "nearest"')
        self.antialias = antialias
        channels_last("Resizing.data_format", data_format)
        self.data_format = data_format

    def call(self, x: Tensor) -> Tensor:
        if self.crop_to_aspect_ratio:
            x = self._crop(x)
        corners = None if self.interpolation == "nearest" else False
        images = as_float(x).permute(0, 3, 1, 2)
        images = F.interpolate(
            images,
            (self.height, self.width),
            mode=_MODES[self.interpolation],
            align_corners=corners,
            antialias=self.antialias,
        )
        return images.permute(0, 2, 3, 1)

    def _crop(self, x: Tensor) -> Tensor:
        height, width = x.shape[1:3]
        cropped_height = max(1, min(height, width * self.height // self.width))
        cropped_width = max(1, min(width, height * self.width // self.height))
        top, left = (height - cropped_height) // 2, (width - cropped_width) // 2
        return x[:, top : top + cropped_height, left : left + cropped_width]

    def compute_output_shape(self, input_shape: Any) -> Shape:
        return (input_shape[0], self.height, self.width, input_shape[3])
