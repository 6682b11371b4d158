"""Random moves of the pixels of images: flips, and maps from each pixel to where its value is read."""

import abc
import math
from typing import Any, Unpack

import torch
import torch.nn.functional as F
from torch import Tensor

from lepton_ai.core import ConfigError
from lepton_ai.layers.arguments import channels_last, one_of
from lepton_ai.layers.augmentation import Factor, bounds, chance, map_masks
from lepton_ai.layers.dtypes import as_float
from lepton_ai.layers.layer import LayerOptions
from lepton_ai.layers.random import Draws, RandomLayer

_BEYOND = {"constant": "zeros", "nearest": "border", "reflect": "reflection", "wrap": "zeros"}
_SMOOTH = ("bilinear", "nearest")


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
        self,
        mode: str = "horizontal_and_vertical",
        seed: int | None = None,
        data_format: str | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(seed=seed, **options)
        self.mode = one_of("RandomFlip.mode", mode, ("horizontal", "vertical", "horizontal_and_vertical"))
        channels_last("RandomFlip.data_format", data_format)
        self.data_format = data_format

    def perturb(self, x: Tensor, draws: Draws) -> Tensor:
        flips = (draws.bits(2) >= 0)[:, :, None, None, None]
        if "vertical" in self.mode:
            x = torch.where(flips[:, 0], x.flip(1), x)
        if "horizontal" in self.mode:
            x = torch.where(flips[:, 1], x.flip(2), x)
        return x

    def perturb_targets(self, targets: Any, draws: Draws, x: Tensor) -> Any:
        return map_masks(lambda mask: self.perturb(mask, draws), targets, x, self.label)


class GeometricLayer(RandomLayer, abc.ABC):
    """The base of layers that read each pixel from another place. Masks beside images are read at the nearest pixel.

    Eight coefficients of each row say where: the pixel at column u and row v, counted from the middle of the image,
    reads at column `(a u + b v + c) / w` and row `(d u + e v + f) / w` with `w = g u + h v + 1`; without the last two
    w is 1.

    Args:
        fill_mode: what comes in from outside: "reflect" (the image mirrored at its edge), "nearest" (its edge),
            "wrap" (its other side) or "constant" (`fill_value`; 0 in masks).
        interpolation: "bilinear" or "nearest".
    """

    ndim = 4

    def __init__(
        self,
        fill_mode: str = "reflect",
        interpolation: str = "bilinear",
        seed: int | None = None,
        fill_value: float = 0.0,
        data_format: str | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(seed=seed, **options)
        own = type(self).__name__
        self.fill_mode = one_of(f"{own}.fill_mode", fill_mode, tuple(_BEYOND))
        self.interpolation = one_of(f"{own}.interpolation", interpolation, _SMOOTH)
        self.fill_value = fill_value
        channels_last(f"{own}.data_format", data_format)
        self.data_format = data_format

    @abc.abstractmethod
    def values(self, draws: Draws) -> Tensor:
        """(B, k) float32: what is drawn for each row."""

    @abc.abstractmethod
    def coefficients(self, values: Tensor, height: int, width: int) -> list[Tensor]:
        """Six or eight tensors (B,), for these values and images of this size."""

    def perturb(self, x: Tensor, draws: Draws) -> Tensor:
        return self.transform(x, self.values(draws))

    def perturb_targets(self, targets: Any, draws: Draws, x: Tensor) -> Any:
        values = self.values(draws)

        def move(mask: Tensor) -> Tensor:
            places = self.coefficients(values, *mask.shape[1:3])
            return sample(as_float(mask), places, "nearest", self.fill_mode, 0.0).to(mask.dtype)

        return map_masks(move, targets, x, self.label)

    def transform(self, x: Tensor, values: Tensor) -> Tensor:
        """`x` moved as the values (B, k) of its rows say, what they mean being each layer's own matter."""
        places = self.coefficients(values.to(torch.promote_types(x.dtype, torch.float32)), *x.shape[1:3])
        return sample(x, places, self.interpolation, self.fill_mode, self.fill_value)


def sample(
    x: Tensor,
    coefficients: list[Tensor],
    interpolation: str,
    fill_mode: str,
    fill_value: float,
    size: tuple[int, int] | None = None,
) -> Tensor:
    """Images `(B, H, W, C)` read where the coefficients say (see `GeometricLayer`), in `size` or their own."""
    dtype = torch.promote_types(x.dtype, torch.float32)  # half precision cannot count the pixels
    height, width = x.shape[1:3]
    rows, columns = size or (height, width)
    v = (torch.arange(rows, device=x.device, dtype=dtype) - (rows - 1) / 2)[None, :, None]
    u = (torch.arange(columns, device=x.device, dtype=dtype) - (columns - 1) / 2)[None, None, :]
    a, b, c, d, e, f, *depth = (each.to(dtype).view(-1, 1, 1) for each in coefficients)
    # Written out, since a batched product may round otherwise in a batch of another size.
    across, down = a * u + b * v + c, d * u + e * v + f
    if depth:
        scale = depth[0] * u + depth[1] * v + 1
        across, down = across / scale, down / scale
    images = x.permute(0, 3, 1, 2).to(dtype) - fill_value
    if fill_mode == "wrap":
        # One column and row of the other side, so that what lies between the last pixel and the first is read as well.
        across = torch.remainder(across + (width - 1) / 2, width) - width / 2
        down = torch.remainder(down + (height - 1) / 2, height) - height / 2
        images = F.pad(images, (0, 1, 0, 1), "circular")
    grid = torch.stack((2 * across / images.shape[3], 2 * down / images.shape[2]), 3)
    moved = F.grid_sample(images, grid, interpolation, _BEYOND[fill_mode], align_corners=False)
    return (moved + fill_value).permute(0, 2, 3, 1).to(x.dtype)


class RandomRotation(GeometricLayer):
    """In training, turns each image about its middle by a random angle.

    Shapes: `(B, H, W, C)` in, the same out.

    Args:
        factor: bounds of the angle in full turns, counter-clockwise; one number is (-number, number).
        fill_mode, interpolation, fill_value: as of every `GeometricLayer`.

    Raises: ConfigError for bounds beyond -1 and 1 or in the wrong order.

    Example:
        >>> RandomRotation(0.1)(torch.ones(2, 8, 8, 3)).shape
        torch.Size([2, 8, 8, 3])
    """

    def __init__(
        self,
        factor: Factor,
        fill_mode: str = "reflect",
        interpolation: str = "bilinear",
        seed: int | None = None,
        fill_value: float = 0.0,
        data_format: str | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(fill_mode, interpolation, seed, fill_value, data_format, **options)
        self.factor = bounds("RandomRotation.factor", factor)

    def values(self, draws: Draws) -> Tensor:
        return draws.between(self.factor)

    def coefficients(self, values: Tensor, height: int, width: int) -> list[Tensor]:
        angle = values[:, 0] * (2 * math.pi)
        zero = torch.zeros_like(angle)
        return [angle.cos(), -angle.sin(), zero, angle.sin(), angle.cos(), zero]


class RandomTranslation(GeometricLayer):
    """In training, shifts each image by a random part of its height and width.

    Shapes: `(B, H, W, C)` in, the same out.

    Args:
        height_factor: bounds of the shift downwards, as parts of the height; one number is (-number, number).
        width_factor: likewise to the right, as parts of the width.
        fill_mode, interpolation, fill_value: as of every `GeometricLayer`.

    Raises: ConfigError for bounds beyond -1 and 1 or in the wrong order.

    Example:
        >>> RandomTranslation(0.1, (0, 0.2))(torch.ones(2, 8, 8, 3)).shape
        torch.Size([2, 8, 8, 3])
    """

    def __init__(
        self,
        height_factor: Factor,
        width_factor: Factor,
        fill_mode: str = "reflect",
        interpolation: str = "bilinear",
        seed: int | None = None,
        fill_value: float = 0.0,
        data_format: str | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(fill_mode, interpolation, seed, fill_value, data_format, **options)
        self.height_factor = bounds("RandomTranslation.height_factor", height_factor)
        self.width_factor = bounds("RandomTranslation.width_factor", width_factor)

    def values(self, draws: Draws) -> Tensor:
        return draws.between(self.height_factor, self.width_factor)

    def coefficients(self, values: Tensor, height: int, width: int) -> list[Tensor]:
        down, right = values.unbind(1)
        one, zero = torch.ones_like(down), torch.zeros_like(down)
        return [one, zero, -right * width, zero, one, -down * height]


class RandomZoom(GeometricLayer):
    """In training, shrinks or enlarges each image about its middle.

    Shapes: `(B, H, W, C)` in, the same out.

    Args:
        height_factor: bounds of how much more of the height is seen: 0.2 shows 1.2 heights (zooms out), -0.2 shows
            0.8 of it (zooms in); one number is (-number, number).
        width_factor: likewise of the width; None keeps the proportions.
        fill_mode, interpolation, fill_value: as of every `GeometricLayer`.

    Raises: ConfigError for bounds beyond -1 and 1 or in the wrong order.

    Example:
        >>> RandomZoom((-0.3, 0))(torch.ones(2, 8, 8, 3)).shape
        torch.Size([2, 8, 8, 3])
    """

    def __init__(
        self,
        height_factor: Factor,
        width_factor: Factor | None = None,
        fill_mode: str = "reflect",
        interpolation: str = "bilinear",
        seed: int | None = None,
        fill_value: float = 0.0,
        data_format: str | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(fill_mode, interpolation, seed, fill_value, data_format, **options)
        self.height_factor = bounds("RandomZoom.height_factor", height_factor)
        self.width_factor = None if width_factor is None else bounds("RandomZoom.width_factor", width_factor)

    def values(self, draws: Draws) -> Tensor:
        drawn = draws.between(self.height_factor, self.width_factor or (0.0, 0.0))
        return drawn if self.width_factor else drawn[:, :1].expand(-1, 2)

    def coefficients(self, values: Tensor, height: int, width: int) -> list[Tensor]:
        tall, wide = (1 + values).unbind(1)
        zero = torch.zeros_like(tall)
        return [wide, zero, zero, zero, tall, zero]


class RandomShear(GeometricLayer):
    """In training, slants each image: its rows slide sideways, its columns up or down, the middle stays.

    Shapes: `(B, H, W, C)` in, the same out. (Keras slants about the corner.)

    Args:
        x_factor: bounds of how far a row slides for each row of distance to the middle; one number is (0, number).
            The direction is random.
        y_factor: likewise of the columns.
        fill_mode, interpolation, fill_value: as of every `GeometricLayer`.

    Raises: ConfigError for bounds beyond 0 and 1 or in the wrong order.

    Example:
        >>> RandomShear(0.2)(torch.ones(2, 8, 8, 3)).shape
        torch.Size([2, 8, 8, 3])
    """

    def __init__(
        self,
        x_factor: Factor = 0.0,
        y_factor: Factor = 0.0,
        interpolation: str = "bilinear",
        fill_mode: str = "reflect",
        fill_value: float = 0.0,
        data_format: str | None = None,
        seed: int | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(fill_mode, interpolation, seed, fill_value, data_format, **options)
        self.x_factor = bounds("RandomShear.x_factor", x_factor, least=0.0)
        self.y_factor = bounds("RandomShear.y_factor", y_factor, least=0.0)

    def values(self, draws: Draws) -> Tensor:
        signs = 1 - 2 * (draws.fork("sign").bits(2) >= 0).float()
        return signs * draws.between(self.x_factor, self.y_factor)

    def coefficients(self, values: Tensor, height: int, width: int) -> list[Tensor]:
        sideways, down = values.unbind(1)
        one, zero = torch.ones_like(down), torch.zeros_like(down)
        return [one, sideways, zero, down, one, zero]


class RandomPerspective(GeometricLayer):
    """In training, shows each image as seen from aside: each corner reads from another random place.

    Shapes: `(B, H, W, C)` in, the same out.

    Args:
        factor: the probability of a change; two numbers mean their middle.
        scale: how far corners move: 1 is a quarter of height and width. (In Keras, half of them, and the upper
            left corner stays.)
        interpolation: "bilinear" or "nearest".
        fill_value: what comes in from outside; 0 in masks.

    Raises: ConfigError for a factor or a scale outside [0, 1].

    Example:
        >>> RandomPerspective(0.5, scale=0.4)(torch.ones(2, 8, 8, 3)).shape
        torch.Size([2, 8, 8, 3])
    """

    def __init__(
        self,
        factor: Factor = 1.0,
        scale: float = 1.0,
        interpolation: str = "bilinear",
        fill_value: float = 0.0,
        seed: int | None = None,
        data_format: str | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__("constant", interpolation, seed, fill_value, data_format, **options)
        self.factor = factor
        self._chance = chance("RandomPerspective.factor", factor)
        if isinstance(scale, bool) or not isinstance(scale, int | float) or not 0 <= scale <= 1:
            raise ConfigError(at="RandomPerspective.scale", got=scale, expected="a number from 0 to 1")
        self.scale = scale

    def values(self, draws: Draws) -> Tensor:
        far = self.scale / 4
        drawn = draws.between(*[(-far, far)] * 8, (0.0, 1.0))
        return drawn[:, :8] * (drawn[:, 8:] < self._chance)

    def coefficients(self, values: Tensor, height: int, width: int) -> list[Tensor]:
        # The map of the unit square to four corners in closed form (Heckbert, 1989), from the upper left clockwise.
        x0, x1, x2, x3 = (values[:, i] + at for i, at in enumerate((0.0, 1.0, 1.0, 0.0)))
        y0, y1, y2, y3 = (values[:, 4 + i] + at for i, at in enumerate((0.0, 0.0, 1.0, 1.0)))
        x, y = x0 - x1 + x2 - x3, y0 - y1 + y2 - y3
        area = (x1 - x2) * (y3 - y2) - (x3 - x2) * (y1 - y2)
        g = (x * (y3 - y2) - (x3 - x2) * y) / area
        h = ((x1 - x2) * y - x * (y1 - y2)) / area
        w = 1 + g / 2 + h / 2  # at the middle of the image, from where pixels count
        rows = []
        for size, p0, p1, p3 in ((width, x0, x1, x3), (height, y0, y1, y3)):
            a, b = p1 - p0 + g * p1 - g / 2, p3 - p0 + h * p3 - h / 2
            rows += [a * size / width / w, b * size / height / w, size * (a / 2 + b / 2 + p0 - 0.5) / w]
        return [*rows, g / width / w, h / height / w]
