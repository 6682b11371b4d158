"""Random changes of neighbourhoods: sharpness, blur, and erased parts."""

from typing import Unpack

import torch
import torch.nn.functional as F
from torch import Tensor

from lepton_ai.core import ConfigError
from lepton_ai.layers.arguments import channels_last
from lepton_ai.layers.augmentation import Factor, bounds, chance, per_row, pixel_range
from lepton_ai.layers.augmentation_color import StrengthLayer
from lepton_ai.layers.layer import LayerOptions
from lepton_ai.layers.random import Draws, RandomLayer


class RandomSharpness(StrengthLayer):
    """In training, blurs or sharpens each image: it is moved away from its blurred self, or towards it.

    Shapes: `(B, H, W, C)` in, the same out. Pixels at the border stay.

    Args:
        factor: bounds of the strength: 0 is blurred, 0.5 changes nothing, 1 is sharpened; one number is (0, number).

    Raises: ConfigError for impossible bounds or an impossible range.

    Example:
        >>> RandomSharpness((0.3, 0.7))(torch.ones(2, 8, 8, 3)).shape
        torch.Size([2, 8, 8, 3])
    """

    def transform(self, x: Tensor, strength: Tensor) -> Tensor:
        if min(x.shape[1:3]) < 3:
            return x
        # The mean of nine pixels in which the middle counts five times.
        total = sum(x[:, i : x.shape[1] - 2 + i, j : x.shape[2] - 2 + j] for i in range(3) for j in range(3))
        inside = x[:, 1:-1, 1:-1]
        moved = (1 - 2 * strength) * ((total + 4 * inside) / 13 - inside)
        return x + F.pad(moved, (0, 0, 1, 1, 1, 1))


class RandomGaussianBlur(RandomLayer):
    """In training, blurs some images, each by a random amount. What lies outside is as the edge.

    Shapes: `(B, H, W, C)` in, the same out.

    Args:
        factor: the probability; two numbers mean their middle.
        kernel_size: how many pixels are looked at, an odd int; or one for the height and one for the width.
        sigma: bounds of the standard deviation in pixels; one number is (0, number).
        value_range: the darkest and the brightest value of a pixel.

    Raises: ConfigError for impossible settings.

    Example:
        >>> RandomGaussianBlur(0.5, kernel_size=5, sigma=(0.5, 1.5))(torch.ones(2, 8, 8, 3)).shape
        torch.Size([2, 8, 8, 3])
    """

    ndim = 4

    def __init__(
        self,
        factor: Factor = 1.0,
        kernel_size: int | tuple[int, int] = 3,
        sigma: Factor = 1.0,
        value_range: tuple[float, float] = (0, 255),
        data_format: str | None = None,
        seed: int | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(seed=seed, **options)
        self.factor = chance("RandomGaussianBlur.factor", factor)
        pair = tuple(kernel_size) if isinstance(kernel_size, tuple | list) else (kernel_size, kernel_size)
        if len(pair) != 2 or not all(isinstance(size, int) and size > 0 and size % 2 for size in pair):
            raise ConfigError(at="RandomGaussianBlur.kernel_size", got=kernel_size, expected="an odd int, or two")
        self.kernel_size = pair
        self.sigma = bounds("RandomGaussianBlur.sigma", sigma, least=0.0, most=1e6)
        self.value_range = pixel_range("RandomGaussianBlur.value_range", value_range)
        channels_last("RandomGaussianBlur.data_format", data_format)
        self.data_format = data_format

    def perturb(self, x: Tensor, draws: Draws) -> Tensor:
        sigma, chosen = draws.between(self.sigma, (0.0, 1.0)).unbind(1)
        blurred = self.transform(x, sigma).clamp(*self.value_range)
        return torch.where(per_row(chosen, x) < self.factor, blurred, x)

    def transform(self, x: Tensor, sigma: Tensor) -> Tensor:
        """`x` blurred by the standard deviations (B,) of its rows."""
        for axis, size in enumerate(self.kernel_size, 1):
            reach = size // 2
            away = torch.arange(-reach, reach + 1, device=x.device, dtype=x.dtype) / (sigma.to(x.dtype) + 1e-6)[:, None]
            weights = (-0.5 * away * away).exp()
            weights = weights / weights.sum(1, keepdim=True)
            edges = (0, 0, reach, reach) if axis == 2 else (0, 0, 0, 0, reach, reach)
            padded = F.pad(x.unsqueeze(1), (*edges, *[0] * (6 - len(edges))), "replicate").squeeze(1)
            # Written out: a convolution with a kernel for each row may round otherwise in another batch.
            x = sum(per_row(weights[:, i], x) * padded.narrow(axis, i, x.shape[axis]) for i in range(size))  # type: ignore[assignment]
        return x


class RandomErasing(RandomLayer):
    """In training, covers a rectangle of some images with noise or one value.

    Zhong et al., 2020. Shapes: `(B, H, W, C)` in, the same out.

    Args:
        factor: the probability; two numbers mean their middle.
        scale: bounds of the rectangle's part of the area; its sides, as parts of the image's, are square roots of
            two numbers drawn between them.
        fill_value: a number, or one for each channel; None is uniform noise over the value range.
        value_range: the darkest and the brightest value of a pixel.

    Raises: ConfigError for impossible settings.

    Example:
        >>> RandomErasing(0.5, fill_value=0.0)(torch.ones(2, 8, 8, 3)).shape
        torch.Size([2, 8, 8, 3])
    """

    ndim = 4

    def __init__(
        self,
        factor: Factor = 1.0,
        scale: Factor = (0.02, 0.33),
        fill_value: float | tuple[float, ...] | None = None,
        value_range: tuple[float, float] = (0, 255),
        seed: int | None = None,
        data_format: str | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(seed=seed, **options)
        self.factor = chance("RandomErasing.factor", factor)
        self.scale = bounds("RandomErasing.scale", scale, least=0.0)
        values = fill_value if isinstance(fill_value, tuple | list) else (fill_value,)
        if not all(each is None or (isinstance(each, int | float) and not isinstance(each, bool)) for each in values):
            raise ConfigError(
                at="RandomErasing.fill_value", got=fill_value, expected="a number, one for each channel, or None"
            )
        self.fill_value = tuple(values) if isinstance(fill_value, tuple | list) else fill_value
        self.value_range = pixel_range("RandomErasing.value_range", value_range)
        channels_last("RandomErasing.data_format", data_format)
        self.data_format = data_format

    def perturb(self, x: Tensor, draws: Draws) -> Tensor:
        low, high = self.value_range
        *boxes, chosen = draws.between(self.scale, self.scale, (0.0, 1.0), (0.0, 1.0), (0.0, 1.0)).unbind(1)
        rows, columns = (_span(boxes[axis], boxes[axis + 2], x.shape[axis + 1]) for axis in range(2))
        inside = (rows[:, :, None] & columns[:, None, :] & (chosen < self.factor)[:, None, None]).unsqueeze(3)
        if self.fill_value is None:
            elements = x.shape[1] * x.shape[2] * x.shape[3]
            fill = (low + (high - low) * draws.fork("fill").uniform(elements)).to(x.dtype).view(x.shape)
        else:
            fill = x.new_tensor(self.fill_value)
        return torch.where(inside, fill, x)


def _span(area: Tensor, place: Tensor, size: int) -> Tensor:
    """(B, size) whether each of `size` pixels lies in a span of about `sqrt(area)` of them, at a uniform place."""
    length = (area.sqrt() * size).round()
    start = (place * (size - length + 1)).floor()
    pixels = torch.arange(size, device=area.device)
    return (pixels >= start[:, None]) & (pixels < (start + length)[:, None])
