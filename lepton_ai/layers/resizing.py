"""Images to one size, by weights that come from whole numbers, so that graphs compute the same ones at any size."""

import math
from collections.abc import Callable
from typing import Any, Unpack

import torch
import torch.nn.functional as F
from torch import Tensor

from lepton_ai.core import ConfigError
from lepton_ai.layers.arguments import channels_last, one_of, positive_int
from lepton_ai.layers.dtypes import as_float
from lepton_ai.layers.layer import Layer, LayerOptions
from lepton_ai.layers.shapes import Shape
from lepton_ai.layers.sizes import larger, smaller

_MODES = ("bilinear", "nearest", "bicubic", "lanczos3", "lanczos5")


class Resizing(Layer):
    """Images in `height` times `width` pixels, as floats (uint8 may come in; values keep their range).

    Shapes: `(B, H, W, C)` in, `(B, height, width, C)` out. H and W may be free, also in an exported graph.

    Args:
        interpolation: "bilinear", "nearest", "bicubic", "lanczos3" or "lanczos5"; the last three can overshoot.
        crop_to_aspect_ratio: cut the edges off instead of distorting.
        pad_to_aspect_ratio: fill the edges up instead of distorting.
        fill_mode, fill_value: "constant", and what stands at edges that are filled up.
        antialias: blur while shrinking, so that fine patterns vanish instead of turning into coarse ones.

    Raises: ConfigError for impossible settings.

    Example:
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
        pad_to_aspect_ratio: bool = False,
        fill_mode: str = "constant",
        fill_value: float = 0.0,
        antialias: bool = False,
        data_format: str | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        self.height = positive_int("Resizing.height", height)
        self.width = positive_int("Resizing.width", width)
        self.interpolation = one_of("Resizing.interpolation", interpolation, _MODES)
        if crop_to_aspect_ratio and pad_to_aspect_ratio:
            raise ConfigError("cannot both crop and pad to the aspect ratio", at="Resizing", fix="Choose one.")
        self.crop_to_aspect_ratio = crop_to_aspect_ratio
        self.pad_to_aspect_ratio = pad_to_aspect_ratio
        self.fill_mode = one_of("Resizing.fill_mode", fill_mode, ("constant",))
        self.fill_value = fill_value
        if antialias and interpolation == "nearest":
            raise ConfigError(at="Resizing.antialias", got=antialias, expected='False with "nearest"')
        self.antialias = antialias
        channels_last("Resizing.data_format", data_format)
        self.data_format = data_format

    def call(self, x: Tensor) -> Tensor:
        if self.crop_to_aspect_ratio:
            x = crop_to_ratio(x, self.height, self.width)
        elif self.pad_to_aspect_ratio:
            x = _pad_to_ratio(as_float(x), self.height, self.width, self.fill_value)
        return resize(as_float(x), (self.height, self.width), self.interpolation, antialias=self.antialias)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        return (input_shape[0], self.height, self.width, input_shape[3])


def resize(x: Tensor, size: tuple[int, int], interpolation: str, *, antialias: bool = False) -> Tensor:
    """Images `(B, H, W, C)` of floats in another `size`, axis by axis."""
    kernel = _CUBIC if interpolation == "bicubic" and antialias else _KERNELS[interpolation]
    for axis, length in zip((1, 2), size, strict=True):
        if antialias or interpolation.startswith("lanczos"):
            weights = _matrix(x, axis, length, *kernel, antialias=antialias)
            x = torch.einsum("oh,bhwc->bowc" if axis == 1 else "ow,bhwc->bhoc", weights, x)
        else:
            x = _gathered(x, axis, length, *kernel)
    return x


def crop_to_ratio(x: Tensor, height: int, width: int) -> Tensor:
    """The middle of images, as much as has the proportions of `height` to `width`."""
    h, w = x.shape[1:3]
    return middle(
        x,
        larger(1, smaller(h, w * height // width)),
        larger(1, smaller(w, h * width // height)),
    )


def middle(x: Tensor, height: int, width: int) -> Tensor:
    """The middle `height` times `width` pixels; the odd one is cut off after."""
    top, left = (x.shape[1] - height) // 2, (x.shape[2] - width) // 2
    return x[:, top : top + height, left : left + width]


def _pad_to_ratio(x: Tensor, height: int, width: int, value: float) -> Tensor:
    h, w = x.shape[1:3]
    # As much on both sides, as in Keras: an odd pixel is left out.
    top = (larger(h, w * height // width) - h) // 2
    left = (larger(w, h * width // height) - w) // 2
    return F.pad(x, (0, 0, left, left, top, top), value=value)


def _gathered(x: Tensor, axis: int, length: int, function: Callable[[Tensor], Tensor], radius: int) -> Tensor:
    """Each pixel from the `2 * radius` around it; beyond the edge the edge goes on. A radius of 0 takes the nearest."""
    size = x.shape[axis]
    twice = (2 * torch.arange(length, device=x.device) + 1) * size  # of 2 * length: where each centre falls
    if radius == 0:
        return x.index_select(axis, torch.div(twice, 2 * length, rounding_mode="floor"))
    low = torch.div(twice - length, 2 * length, rounding_mode="floor")
    part = (twice - length - low * (2 * length)).to(_precision(x)) / (2 * length)
    shape = [1, 1, 1, 1]
    shape[axis] = length
    terms = [
        x.index_select(axis, (low + step).clamp(min=0).clamp(max=size - 1))
        * function((part - step).abs()).to(x.dtype).view(shape)
        for step in range(1 - radius, radius + 1)
    ]
    return torch.stack(terms).sum(0) if len(terms) > 2 else terms[0] + terms[1]


def _matrix(
    x: Tensor, axis: int, length: int, function: Callable[[Tensor], Tensor], radius: int, *, antialias: bool
) -> Tensor:
    """The weight of each old pixel in each new one, (length, size); rows sum to 1."""
    size = x.shape[axis]
    new, old = torch.arange(length, device=x.device), torch.arange(size, device=x.device)
    distance = (2 * new[:, None] + 1) * size - (2 * old + 1) * length  # in halves of 1 / length pixels
    width = larger(size, length) if antialias else length
    places = distance.abs().to(_precision(x)) / (2 * width)
    weights = torch.where(places < radius, function(places), 0.0)
    return (weights / weights.sum(1, keepdim=True)).to(x.dtype)


def _precision(x: Tensor) -> torch.dtype:
    """Half precision could not even count the pixels."""
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def _linear(distance: Tensor) -> Tensor:
    return 1 - distance


def _cubic(a: float) -> Callable[[Tensor], Tensor]:
    """Keys, 1981: `a` is -0.75 in torch and Keras, and -0.5, as in Pillow, where they blur."""

    def function(d: Tensor) -> Tensor:
        near = ((a + 2) * d - (a + 3)) * d * d + 1
        return torch.where(d < 1, near, a * (((d - 5) * d + 8) * d - 4))

    return function


def _lanczos(radius: int) -> Callable[[Tensor], Tensor]:
    def function(d: Tensor) -> Tensor:
        away = torch.where(d > 1e-3, d, 1.0) * math.pi
        return torch.where(d > 1e-3, radius * away.sin() * (away / radius).sin() / away.square(), 1.0)

    return function


_CUBIC = (_cubic(-0.5), 2)
_KERNELS: dict[str, tuple[Callable[[Tensor], Tensor], int]] = {
    "nearest": (_linear, 0),
    "bilinear": (_linear, 1),
    "bicubic": (_cubic(-0.75), 2),
    "lanczos3": (_lanczos(3), 3),
    "lanczos5": (_lanczos(5), 5),
}
