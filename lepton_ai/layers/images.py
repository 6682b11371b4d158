"""Images cut, filled up, in other colours and to a common brightness."""

from typing import Any, Unpack

import torch.nn.functional as F
from torch import Tensor

from lepton_ai.core import ShapeError
from lepton_ai.layers.arguments import channels_last, one_of, positive_int
from lepton_ai.layers.dtypes import as_float
from lepton_ai.layers.layer import Layer, LayerOptions
from lepton_ai.layers.resizing import crop_to_ratio, middle, resize
from lepton_ai.layers.shapes import Shape, show
from lepton_ai.layers.sizes import is_number, larger, smaller

_LUMA = (0.2989, 0.587, 0.114)  # ITU-R BT.601, as Keras rounds it


class CenterCrop(Layer):
    """The middle `height` times `width` pixels, as floats; smaller images are cut to these proportions and enlarged.

    Shapes: `(B, H, W, C)` in, `(B, height, width, C)` out. H and W may be free, also in an exported graph.

    Raises: ConfigError for sizes that are no positive ints.

    Example:
        >>> import torch
        >>> CenterCrop(1, 2)(torch.arange(12.0).view(1, 3, 4, 1)).flatten()
        tensor([5., 6.])
    """

    ndim = 4

    def __init__(
        self, height: int, width: int, data_format: str | None = None, **options: Unpack[LayerOptions]
    ) -> None:
        super().__init__(**options)
        self.height = positive_int("CenterCrop.height", height)
        self.width = positive_int("CenterCrop.width", width)
        channels_last("CenterCrop.data_format", data_format)
        self.data_format = data_format

    def call(self, x: Tensor) -> Tensor:
        h, w = x.shape[1:3]
        if is_number(h) and is_number(w):
            if h >= self.height and w >= self.width:
                return as_float(middle(x, self.height, self.width))
            x = crop_to_ratio(x, self.height, self.width)
        else:
            # A graph cannot branch on sizes: the window is computed, and resized even where it has the size already.
            fits = smaller(h // self.height, 1) * smaller(w // self.width, 1)
            least_h = larger(1, smaller(h, w * self.height // self.width))
            least_w = larger(1, smaller(w, h * self.width // self.height))
            x = middle(x, least_h + fits * (self.height - least_h), least_w + fits * (self.width - least_w))
        return resize(as_float(x), (self.height, self.width), "bilinear")

    def compute_output_shape(self, input_shape: Any) -> Shape:
        return (input_shape[0], self.height, self.width, input_shape[3])


class CropOrPad(Layer):
    """Images in the middle of `height` times `width` pixels: what is larger is cut, what is smaller filled up.

    Shapes: `(B, H, W, C)` in, `(B, height, width, C)` out. H and W may be free, also in an exported graph.

    Args:
        fill_value: what stands around smaller images.

    Raises: ConfigError for sizes that are no positive ints.

    Example:
        >>> import torch
        >>> CropOrPad(1, 4, fill_value=-1)(torch.arange(6.0).view(1, 3, 2, 1)).flatten()
        tensor([-1.,  2.,  3., -1.])
    """

    ndim = 4

    def __init__(self, height: int, width: int, fill_value: float = 0.0, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self.height = positive_int("CropOrPad.height", height)
        self.width = positive_int("CropOrPad.width", width)
        self.fill_value = fill_value

    def call(self, x: Tensor) -> Tensor:
        down, right = (
            larger(0, goal - size) for goal, size in zip((self.height, self.width), x.shape[1:3], strict=True)
        )
        pads = (0, 0, right // 2, right - right // 2, down // 2, down - down // 2)
        return middle(F.pad(as_float(x), pads, value=self.fill_value), self.height, self.width)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        return (input_shape[0], self.height, self.width, input_shape[3])


class ColorMode(Layer):
    """Images in grey or in colour, whatever came: one channel (grey), three (RGB), or these and an opacity.

    Shapes: `(B, H, W, 1 to 4)` in, `(B, H, W, 1)` or `(B, H, W, 3)` out, as floats. The opacity is dropped.

    Args:
        mode: "grayscale" or "rgb".

    Raises: ConfigError for an unknown mode; ShapeError for more channels, or a free number of them.

    Example:
        >>> import torch
        >>> ColorMode("grayscale")(torch.tensor([[[[255, 0, 0]]]], dtype=torch.uint8)).flatten()
        tensor([76.2195])
    """

    ndim = 4
    fixed_axes = (-1,)

    def __init__(self, mode: str, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self.mode = one_of("ColorMode.mode", mode, ("grayscale", "rgb"))

    def build(self, input_shape: Any) -> None:
        self.compute_output_shape(input_shape)

    def call(self, x: Tensor) -> Tensor:
        self.check_shape(tuple(x.shape))
        colors = as_float(x[..., :3] if x.shape[-1] > 2 else x[..., :1])
        if self.mode == "rgb":
            return colors.expand(*colors.shape[:-1], 3)
        return (colors * colors.new_tensor(_LUMA)).sum(-1, keepdim=True) if x.shape[-1] > 2 else colors

    def compute_output_shape(self, input_shape: Any) -> Shape:
        if input_shape[-1] not in (1, 2, 3, 4):
            raise ShapeError(f"got an input of shape {show(input_shape)}, expected 1 to 4 channels", at=self.label)
        return (*input_shape[:-1], 1 if self.mode == "grayscale" else 3)


class ImageStandardization(Layer):
    """Each image to mean 0 and variance 1 by itself; one of a single colour becomes 0.

    The standard deviation is at least 1 / sqrt(number of values), so that faint noise is not blown up.

    Shapes: `(B, H, W, C)` in, the same out, as floats.

    Example:
        >>> import torch
        >>> ImageStandardization()(torch.tensor([[[[10], [30]]]], dtype=torch.uint8)).flatten()
        tensor([-1.,  1.])
    """

    ndim = 4

    def call(self, x: Tensor) -> Tensor:
        x = as_float(x)
        centered = x - x.mean((1, 2, 3), keepdim=True)
        squares = centered.square().sum((1, 2, 3), keepdim=True)
        count = x.shape[1] * x.shape[2] * x.shape[3]
        return centered / (squares.clamp(min=1) / count).sqrt()

    def compute_output_shape(self, input_shape: Any) -> Shape:
        return tuple(input_shape)
