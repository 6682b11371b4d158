"""Random choices among changes of images."""

from typing import Unpack

from torch import Tensor

from lepton_ai.core import ConfigError
from lepton_ai.layers.arguments import channels_last, positive_int
from lepton_ai.layers.augmentation import pixel_range
from lepton_ai.layers.augmentation_color import RandomBrightness, RandomColorDegeneration, RandomContrast
from lepton_ai.layers.augmentation_filters import RandomSharpness
from lepton_ai.layers.augmentation_geometry import RandomRotation, RandomShear, RandomTranslation
from lepton_ai.layers.augmentation_tones import AutoContrast, Equalization, RandomPosterization, Solarization
from lepton_ai.layers.layer import Layer, LayerOptions
from lepton_ai.layers.random import Draws, RandomLayer


class RandAugment(RandomLayer):
    """In training, applies to each image some changes chosen at random from eleven, all of one strength.

    Cubuk et al., 2020, with the changes that Keras has: shear, translation, rotation, brightness, fading colours,
    contrast, sharpness, posterisation, solarisation, automatic contrast and equalisation. Each image has its own
    choice (in Keras a batch shares one). Masks cannot follow.

    Shapes: `(B, H, W, C)` in, the same out; colours fade only where there are three channels.

    Args:
        value_range: the darkest and the brightest value of a pixel.
        num_ops: how many changes, one after the other.
        factor: their strength, from 0 to 1.
        interpolation: "bilinear" or "nearest".

    Raises: ConfigError for impossible settings.

    Example:
        >>> import torch
        >>> RandAugment(num_ops=2, factor=0.3)(torch.ones(2, 8, 8, 3)).shape
        torch.Size([2, 8, 8, 3])
    """

    ndim = 4

    def __init__(
        self,
        value_range: tuple[float, float] = (0, 255),
        num_ops: int = 2,
        factor: float = 0.5,
        interpolation: str = "bilinear",
        seed: int | None = None,
        data_format: str | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(seed=seed, **options)
        self.value_range = given = pixel_range("RandAugment.value_range", value_range)
        self.num_ops = positive_int("RandAugment.num_ops", num_ops)
        if isinstance(factor, bool) or not isinstance(factor, int | float) or not 0 <= factor <= 1:
            raise ConfigError(at="RandAugment.factor", got=factor, expected="a number from 0 to 1")
        self.factor = factor
        self.interpolation = interpolation
        channels_last("RandAugment.data_format", data_format)
        self.data_format = data_format
        self._changes: list[Layer] = [
            RandomShear(factor, factor, interpolation),
            RandomTranslation(factor, factor, interpolation=interpolation),
            RandomRotation(factor, interpolation=interpolation),
            RandomBrightness(factor, given),
            RandomContrast(factor, given),
            RandomSharpness(factor, given),
            RandomPosterization(max(1, int(8 * factor)), given),
            Solarization(factor, factor, given),
            AutoContrast(given),
            Equalization(given),
            RandomColorDegeneration(factor, given),
        ]

    def perturb(self, x: Tensor, draws: Draws) -> Tensor:
        changes = self._changes if x.shape[3] == 3 else self._changes[:-1]
        chosen = (draws.uniform(self.num_ops) * len(changes)).long().clamp_max(len(changes) - 1)
        for turn in range(self.num_ops):
            changed = x.clone()
            for number, change in enumerate(changes):
                # Only the rows that chose it: all changes of all rows would cost eleven times as much.
                rows = (chosen[:, turn] == number).nonzero()[:, 0]
                if len(rows):
                    own = Draws(draws.rows[rows], draws.key).fork(turn, number)
                    picked = x[rows]
                    changed[rows] = change.perturb(picked, own) if isinstance(change, RandomLayer) else change(picked)
            x = changed
        return x
