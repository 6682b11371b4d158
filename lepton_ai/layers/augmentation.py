"""Random changes of images in training, a whole batch at once on its own device."""

from typing import Unpack

import torch
import torch.nn.functional as F
from torch import Tensor

from lepton_ai.core import ConfigError
from lepton_ai.layers.arguments import channels_last, one_of
from lepton_ai.layers.layer import LayerOptions
from lepton_ai.layers.random import Draws, RandomLayer

_BEYOND = {"constant": "zeros", "nearest": "border", "reflect": "reflection"}


class RandomFlip(RandomLayer):
    """In training, mirrors each image with probability 1/2 (in each direction, if both).

    Shapes: `(B, H, W, C)` in, the same out.

    Args:
        mode: "horizontal", "vertical" or "horizontal_and_vertical".

    Example:
        >>> RandomFlip("horizontal")(torch.ones(2, 8, 8, 3)).shape
        torch.Size([2, 8, 8, 3])
    """

    ndim = 4

    def __init__(
        self, mode: str = "horizontal_and_vertical", seed: int | None = None, **options: Unpack[LayerOptions]
    ) -> None:
        super().__init__(seed=seed, **options)
        self.mode = one_of("RandomFlip.mode", mode, ("horizontal", "vertical", "horizontal_and_vertical"))

    def perturb(self, x: Tensor, draws: Draws) -> Tensor:
        flips = (draws.bits(2) >= 0)[:, :, None, None, None]
        if "vertical" in self.mode:
            x = torch.where(flips[:, 0], x.flip(1), x)
        if "horizontal" in self.mode:
            x = torch.where(flips[:, 1], x.flip(2), x)
        return x


class RandomTranslation(RandomLayer):
    """In training, shifts each image by a random part of its height and width.

    Shapes: `(B, H, W, C)` in, the same out.

    Args:
        height_factor: bounds of the shift downwards, as parts of the height; one number is (-number, number).
        width_factor: likewise to the right, as parts of the width.
        fill_mode: what comes in from outside: "reflect" (the image mirrored at its edge), "nearest" (its edge)
            or "constant" (`fill_value`).
        interpolation: "bilinear" or "nearest".

    Raises: ConfigError for bounds beyond -1 and 1 or in the wrong order.

    Example:
        >>> RandomTranslation(0.1, (0, 0.2))(torch.ones(2, 8, 8, 3)).shape
        torch.Size([2, 8, 8, 3])
    """

    ndim = 4

    def __init__(
        self,
        height_factor: float | tuple[float, float],
        width_factor: float | tuple[float, float],
        fill_mode: str = "reflect",
        interpolation: str = "bilinear",
        seed: int | None = None,
        fill_value: float = 0.0,
        data_format: str | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(seed=seed, **options)
        self.height_factor = _bounds("RandomTranslation.height_factor", height_factor)
        self.width_factor = _bounds("RandomTranslation.width_factor", width_factor)
        self.fill_mode = one_of("RandomTranslation.fill_mode", fill_mode, tuple(_BEYOND))
        self.interpolation = one_of("RandomTranslation.interpolation", interpolation, ("bilinear", "nearest"))
        self.fill_value = fill_value
        channels_last("RandomTranslation.data_format", data_format)
        self.data_format = data_format

    def perturb(self, x: Tensor, draws: Draws) -> Tensor:
        uniform = draws.uniform(2).to(x.dtype)
        (low_y, high_y), (low_x, high_x) = self.height_factor, self.width_factor
        down = low_y + (high_y - low_y) * uniform[:, 0]
        right = low_x + (high_x - low_x) * uniform[:, 1]
        return self.translate(x, down, right)

    def translate(self, x: Tensor, down: Tensor, right: Tensor) -> Tensor:
        """`x` with row i shifted by the parts `down[i]` and `right[i]`, (B,) each."""
        images = x.permute(0, 3, 1, 2) - self.fill_value
        one, zero = torch.ones_like(down), torch.zeros_like(down)
        # The grid spans [-1, 1], so a whole width is 2; it says where each pixel comes from, hence the minus.
        affine = torch.stack((one, zero, -2 * right, zero, one, -2 * down), 1).view(-1, 2, 3)
        grid = F.affine_grid(affine, list(images.shape), align_corners=False)
        moved = F.grid_sample(images, grid, self.interpolation, _BEYOND[self.fill_mode], align_corners=False)
        return (moved + self.fill_value).permute(0, 2, 3, 1)


def _bounds(at: str, factor: float | tuple[float, float]) -> tuple[float, float]:
    low, high = factor if isinstance(factor, tuple | list) else (-factor, factor)
    if not -1 <= low <= high <= 1:
        raise ConfigError(at=at, got=factor, expected="a part from 0 to 1, or two from -1 to 1, the lower first")
    return float(low), float(high)
