"""Normal noise."""

import math
from typing import Unpack

from torch import Tensor

from lepton_ai.core import ConfigError
from lepton_ai.layers.arguments import fraction
from lepton_ai.layers.layer import LayerOptions
from lepton_ai.layers.random import Draws, RandomLayer


class GaussianNoise(RandomLayer):
    """In training, adds normal noise of mean 0 and standard deviation `stddev`.

    Shapes: any in, the same out.

    Raises: ConfigError if `stddev` is negative.

    Example:
        >>> import torch
        >>> GaussianNoise(0.1)(torch.ones(1, 3))
        tensor([[1., 1., 1.]])
    """

    supports_masking = True

    def __init__(self, stddev: float, seed: int | None = None, **options: Unpack[LayerOptions]) -> None:
        super().__init__(seed=seed, **options)
        if isinstance(stddev, bool) or not isinstance(stddev, int | float) or not 0 <= stddev < math.inf:
            raise ConfigError(at="GaussianNoise.stddev", got=stddev, expected="a number >= 0")
        self.stddev = float(stddev)

    def perturb(self, x: Tensor, draws: Draws) -> Tensor:
        return x + self.stddev * draws.normal(tuple(x.shape)).to(x.dtype) if self.stddev else x


class GaussianDropout(RandomLayer):
    """In training, multiplies by normal noise of mean 1 with `Dropout(rate)`'s variance, `rate / (1 - rate)`.

    Srivastava et al., 2014. Shapes: any in, the same out.

    Raises: ConfigError if the rate is not in [0, 1).

    Example:
        >>> import torch
        >>> GaussianDropout(0.5)(torch.ones(1, 3))
        tensor([[1., 1., 1.]])
    """

    supports_masking = True

    def __init__(self, rate: float, seed: int | None = None, **options: Unpack[LayerOptions]) -> None:
        super().__init__(seed=seed, **options)
        self.rate = fraction("GaussianDropout.rate", rate)

    def perturb(self, x: Tensor, draws: Draws) -> Tensor:
        if not self.rate:
            return x
        deviation = math.sqrt(self.rate / (1 - self.rate))
        return x * (1 + deviation * draws.normal(tuple(x.shape)).to(x.dtype))
