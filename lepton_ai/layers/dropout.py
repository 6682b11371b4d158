"""Dropout."""

from typing import Any, Unpack

from torch import Tensor

from lepton_ai.core import ConfigError, ShapeError
from lepton_ai.layers.arguments import fraction
from lepton_ai.layers.layer import LayerOptions
from lepton_ai.layers.random import Draws, RandomLayer
from lepton_ai.layers.shapes import show


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

    def __init__(
        self,
        rate: float,
        noise_shape: tuple[int | None, ...] | None = None,
        seed: int | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(seed=seed, **options)
        self.rate = fraction("Dropout.rate", rate)
        if noise_shape is not None and (not noise_shape or noise_shape[0] is not None):
            raise ConfigError(
                at="Dropout.noise_shape", got=noise_shape, expected="None for the batch, then a size for each axis"
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
        if not self.rate:
            return x
        shape = tuple(x.shape)
        if self.noise_shape is not None:
            shape = tuple(size if noise is None else noise for size, noise in zip(shape, self.noise_shape, strict=True))
        return x * draws.keep(shape, self.rate) * (1 / (1 - self.rate))
