"""Dropout."""

import math
from typing import Any, Unpack

import torch
from torch import Tensor

from lepton_ai.core import ConfigError, ShapeError
from lepton_ai.layers.arguments import channels_last, fraction
from lepton_ai.layers.layer import LayerOptions
from lepton_ai.layers.random import Draws, RandomLayer
from lepton_ai.layers.shapes import show

_LOWEST = -1.0507009873554804934193349852946 * 1.6732632423543772848170429916717  # of SELU: -scale * alpha


class Dropout(RandomLayer):
    """In training, zeroes a share `rate` of the elements and scales the others by `1 / (1 - rate)`.

    Srivastava et al., 2014. Shapes: any in, the same out.

    Args:
        noise_shape: shape of the zeros, in which None is the input's size and 1 is shared along the axis:
            `(None, 1, None)` drops whole features of a series. The batch is never shared.

    Raises: ConfigError if the rate is not in [0, 1).

    Example:
        >>> import torch
        >>> Dropout(0.5)(torch.ones(1, 3))
        tensor([[1., 1., 1.]])
    """

    supports_masking = True

    def __init__(
        self,
        rate: float,
        noise_shape: tuple[int | None, ...] | None = None,
        seed: int | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(seed=seed, **options)
        self.rate = fraction(f"{type(self).__name__}.rate", rate)
        if noise_shape is not None and (not noise_shape or noise_shape[0] is not None):
            raise ConfigError(
                at=f"{type(self).__name__}.noise_shape",
                got=noise_shape,
                expected="None for the batch, then a size for each axis",
            )
        self.noise_shape = noise_shape

    def build(self, input_shape: Any) -> None:
        if self.noise_shape is not None and len(self.noise_shape) != len(input_shape):
            raise ShapeError(
                f"got an input of shape {show(input_shape)}, expected as many dimensions as "
                f"noise_shape={show(self.noise_shape)} has",
                at=self.label,
            )

    def perturb(self, x: Tensor, draws: Draws) -> Tensor:
        return x * self.kept(x, draws) * (1 / (1 - self.rate)) if self.rate else x

    def kept(self, x: Tensor, draws: Draws) -> Tensor:
        """Booleans, False where `x` is dropped, of its shape or of one that stretches to it."""
        shape = tuple(x.shape)
        if self.noise_shape is not None:
            shape = tuple(size if noise is None else noise for size, noise in zip(shape, self.noise_shape, strict=True))
        return draws.keep(shape, self.rate)


class AlphaDropout(Dropout):
    """In training, sets a share `rate` of the elements to SELU's lower limit and keeps mean and variance.

    For networks of `selu` (Klambauer et al., 2017, arXiv:1706.02515). Shapes and arguments as for `Dropout`.

    Raises: ConfigError if the rate is not in [0, 1).

    Example:
        >>> import torch
        >>> AlphaDropout(0.5)(torch.ones(1, 3))
        tensor([[1., 1., 1.]])
    """

    def perturb(self, x: Tensor, draws: Draws) -> Tensor:
        if not self.rate:
            return x
        scale = 1 / math.sqrt((1 - self.rate) * (1 + self.rate * _LOWEST**2))
        return scale * (torch.where(self.kept(x, draws), x, _LOWEST) - _LOWEST * self.rate)


class SpatialDropout1D(Dropout):
    """In training, zeroes whole channels of a series, a share `rate` of them, and scales the others.

    Tompson et al., 2015 (arXiv:1411.4280). Shapes: `(B, T, C)` in, the same out.

    Raises: ConfigError if the rate is not in [0, 1).

    Example:
        >>> import torch
        >>> SpatialDropout1D(0.5)(torch.ones(2, 5, 3)).shape
        torch.Size([2, 5, 3])
    """

    ndim = 3

    def __init__(self, rate: float, seed: int | None = None, **options: Unpack[LayerOptions]) -> None:
        super().__init__(rate, (None, 1, None), seed, **options)


class SpatialDropout2D(Dropout):
    """In training, zeroes whole channels of an image, a share `rate` of them, and scales the others.

    Tompson et al., 2015 (arXiv:1411.4280). Shapes: `(B, H, W, C)` in, the same out.

    Raises: ConfigError if the rate is not in [0, 1).

    Example:
        >>> import torch
        >>> SpatialDropout2D(0.5)(torch.ones(2, 5, 5, 3)).shape
        torch.Size([2, 5, 5, 3])
    """

    ndim = 4

    def __init__(
        self, rate: float, data_format: str | None = None, seed: int | None = None, **options: Unpack[LayerOptions]
    ) -> None:
        super().__init__(rate, (None, 1, 1, None), seed, **options)
        channels_last("SpatialDropout2D.data_format", data_format)
        self.data_format = data_format


class SpatialDropout3D(Dropout):
    """In training, zeroes whole channels of a volume, a share `rate` of them, and scales the others.

    Tompson et al., 2015 (arXiv:1411.4280). Shapes: `(B, D, H, W, C)` in, the same out.

    Raises: ConfigError if the rate is not in [0, 1).

    Example:
        >>> import torch
        >>> SpatialDropout3D(0.5)(torch.ones(2, 5, 5, 5, 3)).shape
        torch.Size([2, 5, 5, 5, 3])
    """

    ndim = 5

    def __init__(
        self, rate: float, data_format: str | None = None, seed: int | None = None, **options: Unpack[LayerOptions]
    ) -> None:
        super().__init__(rate, (None, 1, 1, 1, None), seed, **options)
        channels_last("SpatialDropout3D.data_format", data_format)
        self.data_format = data_format
