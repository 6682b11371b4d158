"""Random changes of colours and light. Red, green and blue are the last axis; pixels lie in `value_range`."""

import abc
from typing import Any, Unpack

import torch
from torch import Tensor

from lepton_ai.core import ShapeError
from lepton_ai.layers.arguments import channels_last
from lepton_ai.layers.augmentation import Factor, bounds, chance, per_row, pixel_range
from lepton_ai.layers.layer import LayerOptions
from lepton_ai.layers.random import Draws, RandomLayer
from lepton_ai.layers.shapes import Shape, is_shape, show

_LUMA = (0.2989, 0.587, 0.114)  # ITU-R BT.601, in the digits that Keras takes


class StrengthLayer(RandomLayer, abc.ABC):
    """The base of layers that change all pixels of an image by one drawn strength.

    Args:
        factor: the bounds of the strength; what they mean is each layer's own matter.
        value_range: the darkest and the brightest value of a pixel; results are cut to it.
    """

    ndim = 4
    least = 0.0  # the lowest bound a factor may have

    def __init__(
        self,
        factor: Factor,
        value_range: tuple[float, float] = (0, 255),
        seed: int | None = None,
        data_format: str | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(seed=seed, **options)
        own = type(self).__name__
        self.factor = bounds(f"{own}.factor", factor, least=self.least)
        self.value_range = pixel_range(f"{own}.value_range", value_range)
        channels_last(f"{own}.data_format", data_format)
        self.data_format = data_format

    @abc.abstractmethod
    def transform(self, x: Tensor, strength: Tensor) -> Tensor:
        """`x` changed by the strengths (B, 1, 1, 1) of its images."""

    def strength(self, draws: Draws) -> Tensor:
        """(B,) the strength of each row."""
        return draws.between(self.factor)[:, 0]

    def perturb(self, x: Tensor, draws: Draws) -> Tensor:
        return self.transform(x, per_row(self.strength(draws), x)).clamp(*self.value_range)


class RandomBrightness(StrengthLayer):
    """In training, makes each image darker or brighter: a part of the value range is added to all its pixels.

    Shapes: `(B, H, W, C)` in, the same out.

    Args:
        factor: bounds of the part, from -1 (black) to 1 (white); one number is (-number, number).

    Raises: ConfigError for impossible bounds or an impossible range.

    Example:
        >>> RandomBrightness(0.2, value_range=(0, 1))(torch.ones(2, 8, 8, 3)).shape
        torch.Size([2, 8, 8, 3])
    """

    least = -1.0

    def transform(self, x: Tensor, strength: Tensor) -> Tensor:
        low, high = self.value_range
        return x + strength * (high - low)


class RandomContrast(StrengthLayer):
    """In training, scales the distance of each pixel to the mean of its image's channel.

    Shapes: `(B, H, W, C)` in, the same out.

    Args:
        factor: how much less and how much more: distances are multiplied by a number from 1 - first to 1 + second;
            one number is both.

    Raises: ConfigError for impossible bounds or an impossible range.

    Example:
        >>> RandomContrast(0.2, value_range=(0, 1))(torch.ones(2, 8, 8, 3)).shape
        torch.Size([2, 8, 8, 3])
    """

    def __init__(
        self,
        factor: Factor,
        value_range: tuple[float, float] = (0, 255),
        seed: int | None = None,
        data_format: str | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(0.0, value_range, seed, data_format, **options)
        pair = factor if isinstance(factor, tuple | list) else (factor, factor)
        less, more = (bounds("RandomContrast.factor", each, least=0.0)[1] for each in pair)
        self.factor = (less, more)

    def strength(self, draws: Draws) -> Tensor:
        return draws.between((1 - self.factor[0], 1 + self.factor[1]))[:, 0]

    def transform(self, x: Tensor, strength: Tensor) -> Tensor:
        mean = x.mean((1, 2), keepdim=True)
        return (x - mean) * strength + mean


class ColorLayer(StrengthLayer):
    """The base of layers that need red, green and blue."""

    def check_shape(self, input_shape: Any) -> None:
        super().check_shape(input_shape)
        _check_colors(self, input_shape)


class RandomColorDegeneration(ColorLayer):
    """In training, fades the colours of each image: 0 leaves it, 1 makes it grey.

    Shapes: `(B, H, W, 3)` in, the same out.

    Args:
        factor: bounds of the part that is grey; one number is (0, number).

    Raises: ConfigError for impossible bounds or an impossible range.

    Example:
        >>> RandomColorDegeneration(0.5)(torch.ones(2, 8, 8, 3)).shape
        torch.Size([2, 8, 8, 3])
    """

    def transform(self, x: Tensor, strength: Tensor) -> Tensor:
        return x + strength * (grey(x) - x)


class RandomSaturation(ColorLayer):
    """In training, makes the colours of each image paler or stronger.

    Shapes: `(B, H, W, 3)` in, the same out.

    Args:
        factor: bounds of the strength f, which multiplies the saturation (of HSV) by f / (1 - f): 0 makes grey, 0.5
            changes nothing, 1 is full colour; one number is (0, number).

    Raises: ConfigError for impossible bounds or an impossible range.

    Example:
        >>> RandomSaturation((0.4, 0.6))(torch.ones(2, 8, 8, 3)).shape
        torch.Size([2, 8, 8, 3])
    """

    def strength(self, draws: Draws) -> Tensor:
        factor = super().strength(draws)
        return factor / (1 - factor + 1e-7)

    def transform(self, x: Tensor, strength: Tensor) -> Tensor:
        x = x - self.value_range[0]
        brightest = x.amax(-1, keepdim=True)
        spread = brightest - x.amin(-1, keepdim=True)
        # The saturation is spread / brightest; it may grow to 1, which bounds the factor.
        scale = torch.minimum(strength, brightest / spread.clamp_min(torch.finfo(x.dtype).tiny))
        return brightest - (brightest - x) * scale + self.value_range[0]


class RandomHue(ColorLayer):
    """In training, turns the colours of each image around the colour wheel (the H of HSV).

    Shapes: `(B, H, W, 3)` in, the same out.

    Args:
        factor: bounds of the turn in either direction, where 1 is half the wheel; one number is (0, number).

    Raises: ConfigError for impossible bounds or an impossible range.

    Example:
        >>> RandomHue(0.2)(torch.ones(2, 8, 8, 3)).shape
        torch.Size([2, 8, 8, 3])
    """

    def strength(self, draws: Draws) -> Tensor:
        sign = 1 - 2 * (draws.fork("sign").bits(1)[:, 0] >= 0).float()
        return sign * super().strength(draws) / 2

    def transform(self, x: Tensor, strength: Tensor) -> Tensor:
        low, high = self.value_range
        red, green, blue = ((x - low) / (high - low)).unbind(-1)
        brightest = torch.maximum(torch.maximum(red, green), blue)
        spread = brightest - torch.minimum(torch.minimum(red, green), blue)
        safe = torch.where(spread > 0, spread, 1)
        sector = torch.where(
            brightest == red,
            (green - blue) / safe,
            torch.where(brightest == green, 2 + (blue - red) / safe, 4 + (red - green) / safe),
        )
        sector = sector + 6 * strength[..., 0]
        # A channel stands `spread` below the brightest at most, by how far its own colour is on the wheel.
        channels = []
        for own in (5, 3, 1):
            far = (own + sector).remainder(6)
            channels.append(brightest - spread * torch.minimum(far, 4 - far).clamp(0, 1))
        return torch.stack(channels, -1) * (high - low) + low


class RandomGrayscale(RandomLayer):
    """In training, makes some images grey; they keep their three channels.

    Shapes: `(B, H, W, 3)` in, the same out.

    Args:
        factor: the probability.

    Raises: ConfigError for a factor outside [0, 1].

    Example:
        >>> RandomGrayscale(0.1)(torch.ones(2, 8, 8, 3)).shape
        torch.Size([2, 8, 8, 3])
    """

    ndim = 4

    def __init__(
        self,
        factor: float = 0.5,
        data_format: str | None = None,
        seed: int | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(seed=seed, **options)
        self.factor = chance("RandomGrayscale.factor", factor)
        channels_last("RandomGrayscale.data_format", data_format)
        self.data_format = data_format

    def check_shape(self, input_shape: Any) -> None:
        super().check_shape(input_shape)
        _check_colors(self, input_shape)

    def perturb(self, x: Tensor, draws: Draws) -> Tensor:
        return torch.where(per_row(draws.uniform(1)[:, 0], x) < self.factor, grey(x), x)


class RandomColorJitter(RandomLayer):
    """In training, changes brightness, contrast, saturation and hue of each image, in this order.

    Shapes: `(B, H, W, 3)` in, the same out; any number of channels if only brightness and contrast change.

    Args:
        brightness_factor, contrast_factor, saturation_factor, hue_factor: as of `RandomBrightness`, `RandomContrast`,
            `RandomSaturation` and `RandomHue`; None changes nothing.

    Raises: ConfigError for impossible bounds or an impossible range.

    Example:
        >>> RandomColorJitter((0, 1), brightness_factor=0.2, hue_factor=0.1)(torch.ones(2, 8, 8, 3)).shape
        torch.Size([2, 8, 8, 3])
    """

    ndim = 4

    def __init__(
        self,
        value_range: tuple[float, float] = (0, 255),
        brightness_factor: Factor | None = None,
        contrast_factor: Factor | None = None,
        saturation_factor: Factor | None = None,
        hue_factor: Factor | None = None,
        seed: int | None = None,
        data_format: str | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(seed=seed, **options)
        self.value_range = pixel_range("RandomColorJitter.value_range", value_range)
        self.brightness_factor = brightness_factor
        self.contrast_factor = contrast_factor
        self.saturation_factor = saturation_factor
        self.hue_factor = hue_factor
        channels_last("RandomColorJitter.data_format", data_format)
        self.data_format = data_format
        asked: list[tuple[type[StrengthLayer], Factor | None]] = [
            (RandomBrightness, brightness_factor),
            (RandomContrast, contrast_factor),
            (RandomSaturation, saturation_factor),
            (RandomHue, hue_factor),
        ]
        self._steps = [kind(factor, self.value_range) for kind, factor in asked if factor is not None]

    def check_shape(self, input_shape: Any) -> None:
        super().check_shape(input_shape)
        if self.saturation_factor is not None or self.hue_factor is not None:
            _check_colors(self, input_shape)

    def perturb(self, x: Tensor, draws: Draws) -> Tensor:
        for step in self._steps:
            x = step.perturb(x, draws.fork(type(step).__name__))
        return x


def grey(x: Tensor) -> Tensor:
    """The luma of red, green and blue, `(B, H, W, 1)`."""
    return _LUMA[0] * x[..., :1] + _LUMA[1] * x[..., 1:2] + _LUMA[2] * x[..., 2:3]


def _check_colors(layer: RandomLayer, input_shape: Any) -> None:
    images: Shape = input_shape if is_shape(input_shape) else input_shape[0]
    if images[-1] not in (None, 3):
        raise ShapeError(
            f"got an input of shape {show(images)}, expected 3 channels: red, green and blue", at=layer.label
        )
