"""Changes of tones: fewer of them, negatives, and images stretched over the whole range."""

from typing import Any, Unpack

import torch
from torch import Tensor

from lepton_ai.core import ConfigError
from lepton_ai.layers.arguments import channels_last
from lepton_ai.layers.augmentation import Factor, bounds, chance, per_row, pixel_range
from lepton_ai.layers.dtypes import as_float
from lepton_ai.layers.layer import Layer, LayerOptions
from lepton_ai.layers.random import Draws, RandomLayer
from lepton_ai.layers.shapes import Shape


class RandomPosterization(RandomLayer):
    """In training, keeps only the upper bits of each pixel, as of a byte.

    Shapes: `(B, H, W, C)` in, the same out.

    Args:
        factor: how many bits stay, 1 to 8; of two numbers, any between them, both included.
        value_range: the darkest and the brightest value of a pixel.

    Raises: ConfigError for impossible bits or an impossible range.

    Example:
        >>> RandomPosterization((4, 8))(torch.ones(2, 8, 8, 3)).shape
        torch.Size([2, 8, 8, 3])
    """

    ndim = 4

    def __init__(
        self,
        factor: int | tuple[int, int],
        value_range: tuple[float, float] = (0, 255),
        data_format: str | None = None,
        seed: int | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(seed=seed, **options)
        pair = tuple(factor) if isinstance(factor, tuple | list) else (factor, factor)
        whole = all(isinstance(bits, int) and not isinstance(bits, bool) for bits in pair)
        if len(pair) != 2 or not whole or not 1 <= pair[0] <= pair[1] <= 8:
            raise ConfigError(
                at="RandomPosterization.factor", got=factor, expected="an int from 1 to 8, or two, the lower first"
            )
        self.factor = pair
        self.value_range = pixel_range("RandomPosterization.value_range", value_range)
        channels_last("RandomPosterization.data_format", data_format)
        self.data_format = data_format

    def perturb(self, x: Tensor, draws: Draws) -> Tensor:
        low, high = self.factor
        return self.transform(x, low + (draws.uniform(1)[:, 0] * (high - low + 1)).floor().clamp_max(high - low))

    def transform(self, x: Tensor, bits: Tensor) -> Tensor:
        """`x` with the upper `bits[i]` bits of row i, (B,) floats."""
        low, high = self.value_range
        step = per_row(torch.ldexp(torch.ones_like(bits), 8 - bits), x)
        levels = ((x - low) * (255 / (high - low))).clamp(0, 255)
        return (levels / step).floor() * step * ((high - low) / 255) + low


class RandomInvert(RandomLayer):
    """In training, makes some images negatives.

    Shapes: `(B, H, W, C)` in, the same out.

    Args:
        factor: the probability; two numbers mean their middle.
        value_range: the darkest and the brightest value of a pixel, which change places.

    Raises: ConfigError for a factor outside [0, 1] or an impossible range.

    Example:
        >>> RandomInvert(0.1)(torch.ones(2, 8, 8, 3)).shape
        torch.Size([2, 8, 8, 3])
    """

    ndim = 4

    def __init__(
        self,
        factor: Factor = 1.0,
        value_range: tuple[float, float] = (0, 255),
        seed: int | None = None,
        data_format: str | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(seed=seed, **options)
        self.factor = chance("RandomInvert.factor", factor)
        self.value_range = pixel_range("RandomInvert.value_range", value_range)
        channels_last("RandomInvert.data_format", data_format)
        self.data_format = data_format

    def perturb(self, x: Tensor, draws: Draws) -> Tensor:
        low, high = self.value_range
        return torch.where(per_row(draws.uniform(1)[:, 0], x) < self.factor, low + high - x, x)


class Solarization(RandomLayer):
    """In training, adds to all pixels, then inverts those that are not below a threshold.

    Shapes: `(B, H, W, C)` in, the same out.

    Args:
        addition_factor: bounds of what is added, as parts of the value range; one number is (0, number).
        threshold_factor: likewise of the threshold; 0 inverts everything.
        value_range: the darkest and the brightest value of a pixel.

    Raises: ConfigError for impossible bounds or an impossible range.

    Example:
        >>> Solarization(threshold_factor=(0.5, 1))(torch.ones(2, 8, 8, 3)).shape
        torch.Size([2, 8, 8, 3])
    """

    ndim = 4

    def __init__(
        self,
        addition_factor: Factor = 0.0,
        threshold_factor: Factor = 0.0,
        value_range: tuple[float, float] = (0, 255),
        seed: int | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(seed=seed, **options)
        self.addition_factor = bounds("Solarization.addition_factor", addition_factor, least=0.0)
        self.threshold_factor = bounds("Solarization.threshold_factor", threshold_factor, least=0.0)
        self.value_range = pixel_range("Solarization.value_range", value_range)

    def perturb(self, x: Tensor, draws: Draws) -> Tensor:
        addition, threshold = draws.between(self.addition_factor, self.threshold_factor).unbind(1)
        return self.transform(x, per_row(addition, x), per_row(threshold, x))

    def transform(self, x: Tensor, addition: Tensor, threshold: Tensor) -> Tensor:
        """`x` with these parts of the range added and inverted from, (B, 1, 1, 1) each."""
        low, high = self.value_range
        x = (x + addition * (high - low)).clamp(low, high)
        return torch.where(x < low + threshold * (high - low), x, low + high - x)


class AutoContrast(Layer):
    """Stretches each channel of each image over the whole range of values, in training and at inference.

    Shapes: `(B, H, W, C)` in, the same out. Channels of one value stay.

    Raises: ConfigError for an impossible range.

    Example:
        >>> AutoContrast(value_range=(0, 1))(torch.tensor([0.2, 0.3, 0.4]).view(1, 3, 1, 1)).flatten()
        tensor([0.0000, 0.5000, 1.0000])
    """

    ndim = 4

    def __init__(self, value_range: tuple[float, float] = (0, 255), **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self.value_range = pixel_range("AutoContrast.value_range", value_range)

    def call(self, x: Tensor) -> Tensor:
        x = as_float(x)
        low, high = self.value_range
        darkest, brightest = x.amin((1, 2), keepdim=True), x.amax((1, 2), keepdim=True)
        spread = brightest - darkest
        stretched = (x - darkest) / torch.where(spread > 0, spread, 1) * (high - low) + low
        return torch.where(spread > 0, stretched.clamp(low, high), x)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        return tuple(input_shape)


class Equalization(Layer):
    """Spreads the tones of each channel of each image evenly, in training and at inference.

    Shapes: `(B, H, W, C)` in, the same out. Channels of one tone stay. No gradient passes.

    Args:
        value_range: the darkest and the brightest value of a pixel.
        bins: how many tones are told apart.

    Raises: ConfigError for an impossible range, or fewer than two bins.

    Example:
        >>> Equalization()(torch.tensor([7.0, 8.0, 9.0]).view(1, 3, 1, 1)).flatten()
        tensor([  0., 128., 255.])
    """

    ndim = 4

    def __init__(
        self,
        value_range: tuple[float, float] = (0, 255),
        bins: int = 256,
        data_format: str | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        self.value_range = pixel_range("Equalization.value_range", value_range)
        if isinstance(bins, bool) or not isinstance(bins, int) or bins < 2:
            raise ConfigError(at="Equalization.bins", got=bins, expected="an int of at least 2")
        self.bins = bins
        channels_last("Equalization.data_format", data_format)
        self.data_format = data_format

    def call(self, x: Tensor) -> Tensor:
        x = as_float(x)
        low, high = self.value_range
        tones = ((x - low) * ((self.bins - 1) / (high - low))).long().clamp(0, self.bins - 1)
        tones = tones.permute(0, 3, 1, 2).flatten(2)
        counts = tones.new_zeros((*tones.shape[:2], self.bins)).scatter_add(2, tones, torch.ones_like(tones))
        up_to = counts.cumsum(2)
        # The darkest tone there is goes to 0: what lies up to it is not counted.
        first = up_to.gather(2, tones.amin(2, keepdim=True))
        others = up_to[:, :, -1:] - first
        table = ((up_to - first).to(x.dtype) * 255 / others.clamp_min(1)).round().clamp(0, 255)
        spread = table.gather(2, tones).view(x.shape[0], x.shape[3], x.shape[1], x.shape[2]).permute(0, 2, 3, 1)
        flat = (others == 0).view(x.shape[0], 1, 1, x.shape[3])
        return torch.where(flat, x, spread * ((high - low) / 255) + low)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        return tuple(input_shape)
