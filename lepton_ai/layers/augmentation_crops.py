"""Random windows of images, in one size."""

import math
from typing import Any, Unpack

import torch
from torch import Tensor

from lepton_ai.core import ConfigError
from lepton_ai.layers.arguments import channels_last, one_of, positive_int
from lepton_ai.layers.augmentation import map_masks
from lepton_ai.layers.augmentation_geometry import sample
from lepton_ai.layers.dtypes import as_float
from lepton_ai.layers.layer import LayerOptions
from lepton_ai.layers.random import Draws, RandomLayer
from lepton_ai.layers.resizing import crop_to_ratio, resize
from lepton_ai.layers.shapes import Shape, is_shape


class CropLayer(RandomLayer):
    """The base of layers that give windows of `height` times `width` pixels.

    At inference, the largest window around the middle that has these proportions, resized.
    """

    ndim = 4

    def __init__(
        self,
        height: int,
        width: int,
        seed: int | None = None,
        data_format: str | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(seed=seed, **options)
        own = type(self).__name__
        self.height = positive_int(f"{own}.height", height)
        self.width = positive_int(f"{own}.width", width)
        channels_last(f"{own}.data_format", data_format)
        self.data_format = data_format

    def at_inference(self, x: Tensor) -> Tensor:
        return self._middle(x, "bilinear")

    def targets_at_inference(self, targets: Any, x: Tensor) -> Any:
        return map_masks(lambda mask: self._middle(mask, "nearest").to(mask.dtype), targets, x, self.label)

    def _middle(self, x: Tensor, interpolation: str) -> Tensor:
        middle = crop_to_ratio(x, self.height, self.width)
        return resize(as_float(middle), (self.height, self.width), interpolation)

    def compute_output_shape(self, input_shape: Any) -> Any:
        if is_shape(input_shape):
            return self._cropped(input_shape)
        images, targets = input_shape
        return self._cropped(images), self._cropped(targets) if is_shape(targets) and len(targets) > 2 else targets

    def _cropped(self, shape: Shape) -> Shape:
        return (shape[0], self.height, self.width, *shape[3:])


class RandomCrop(CropLayer):
    """In training, a window of each image at a random place; at inference, the middle, resized.

    Images that are smaller than the window give their middle, resized, in training too.

    Shapes: `(B, H, W, C)` in, `(B, height, width, C)` out.

    Example:
        >>> RandomCrop(24, 24).train()(torch.ones(2, 28, 28, 3)).shape
        torch.Size([2, 24, 24, 3])
    """

    def perturb(self, x: Tensor, draws: Draws) -> Tensor:
        return self._window(x, draws, "bilinear")

    def perturb_targets(self, targets: Any, draws: Draws, x: Tensor) -> Any:
        return map_masks(lambda mask: self._window(mask, draws, "nearest").to(mask.dtype), targets, x, self.label)

    def _window(self, x: Tensor, draws: Draws, interpolation: str) -> Tensor:
        height, width = x.shape[1:3]
        if height < self.height or width < self.width:
            return self._middle(x, interpolation)
        drawn = draws.uniform(2)
        return self.window(x, _place(drawn[:, 0], height - self.height), _place(drawn[:, 1], width - self.width))

    def window(self, x: Tensor, top: Tensor, left: Tensor) -> Tensor:
        """`x` from row `top[i]` and column `left[i]` on, (B,) int64 each."""
        rows = top[:, None, None] + torch.arange(self.height, device=x.device)[None, :, None]
        columns = left[:, None, None] + torch.arange(self.width, device=x.device)[None, None, :]
        return x[torch.arange(len(x), device=x.device)[:, None, None], rows, columns]


class RandomResizedCrop(CropLayer):
    """In training, a window of random size, proportions and place, resized; at inference, the middle, resized.

    Szegedy et al., 2015; as torchvision has it, without its blur before shrinking.

    Shapes: `(B, H, W, C)` in, `(B, height, width, C)` out.

    Args:
        scale: bounds of the window's part of the area; what would not fit into the image is cut to its size.
        ratio: bounds of its width over its height.
        interpolation: "bilinear" or "nearest".

    Raises: ConfigError for bounds that are not positive or in the wrong order.

    Example:
        >>> RandomResizedCrop(24, 24).train()(torch.ones(2, 28, 28, 3)).shape
        torch.Size([2, 24, 24, 3])
    """

    def __init__(
        self,
        height: int,
        width: int,
        scale: tuple[float, float] = (0.08, 1.0),
        ratio: tuple[float, float] = (0.75, 4 / 3),
        interpolation: str = "bilinear",
        seed: int | None = None,
        data_format: str | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(height, width, seed, data_format, **options)
        for name, pair, most in (("scale", scale, 1.0), ("ratio", ratio, float("inf"))):
            if not isinstance(pair, tuple | list) or len(pair) != 2 or not 0 < pair[0] <= pair[1] <= most:
                expected = "two numbers above 0" + (" and up to 1" if most == 1 else "") + ", the lower first"
                raise ConfigError(at=f"RandomResizedCrop.{name}", got=pair, expected=expected)
        self.scale = (float(scale[0]), float(scale[1]))
        self.ratio = (float(ratio[0]), float(ratio[1]))
        self.interpolation = one_of("RandomResizedCrop.interpolation", interpolation, ("bilinear", "nearest"))

    def perturb(self, x: Tensor, draws: Draws) -> Tensor:
        return self._resized(x, draws, x, self.interpolation)

    def perturb_targets(self, targets: Any, draws: Draws, x: Tensor) -> Any:
        def move(mask: Tensor) -> Tensor:
            return self._resized(as_float(mask), draws, x, "nearest").to(mask.dtype)

        return map_masks(move, targets, x, self.label)

    def _resized(self, x: Tensor, draws: Draws, images: Tensor, interpolation: str) -> Tensor:
        height, width = images.shape[1:3]
        logs = (math.log(self.ratio[0]), math.log(self.ratio[1]))
        area, ratio, down, across = draws.between(self.scale, logs, (0.0, 1.0), (0.0, 1.0)).unbind(1)
        side, stretch = (area * (height * width)).sqrt(), (ratio / 2).exp()
        tall, wide = (side / stretch).clamp(1, height), (side * stretch).clamp(1, width)
        return self.window(x, down * (height - tall), across * (width - wide), tall, wide, interpolation)

    def window(
        self, x: Tensor, top: Tensor, left: Tensor, tall: Tensor, wide: Tensor, interpolation: str = "bilinear"
    ) -> Tensor:
        """The windows of `x` from these upper left corners in these sizes, in pixels, (B,) each, resized."""
        zero = torch.zeros_like(top)
        right = left + wide / 2 - x.shape[2] / 2
        down = top + tall / 2 - x.shape[1] / 2
        places = [wide / self.width, zero, right, zero, tall / self.height, down]
        return sample(x, places, interpolation, "nearest", 0.0, (self.height, self.width))


def _place(uniform: Tensor, most: int) -> Tensor:
    """(B,) int64 from 0 to `most`, both included."""
    return (uniform * (most + 1)).long().clamp_max(most)
