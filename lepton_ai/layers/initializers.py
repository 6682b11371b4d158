"""Initialisers: the first values of weights, drawn from the generator they are given.

`shape` is in the order of torch's kernels, (out, in, *window), so fan-in is in x window and fan-out out x window:
the same numbers as for Keras' (*window, in, out).
"""

import abc
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from lepton_ai.core import ConfigError, Registry
from lepton_ai.layers.config import Configured


class Initializer(Configured, abc.ABC):
    """Makes a float32 tensor of a shape."""

    @abc.abstractmethod
    def __call__(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """The values."""


class Zeros(Initializer):
    """All 0."""

    def __call__(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        return torch.zeros(shape)


class Ones(Initializer):
    """All 1."""

    def __call__(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        return torch.ones(shape)


class Constant(Initializer):
    """All `value`."""

    def __init__(self, value: float = 0.0) -> None:
        self.value = value

    def __call__(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        return torch.full(shape, float(self.value))


class RandomUniform(Initializer):
    """Uniform in [minval, maxval)."""

    def __init__(self, minval: float = -0.05, maxval: float = 0.05) -> None:
        self.minval, self.maxval = minval, maxval

    def __call__(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        return torch.empty(shape).uniform_(self.minval, self.maxval, generator=generator)


class RandomNormal(Initializer):
    """Normal with `mean` and `stddev`."""

    def __init__(self, mean: float = 0.0, stddev: float = 0.05) -> None:
        self.mean, self.stddev = mean, stddev

    def __call__(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        return torch.empty(shape).normal_(self.mean, self.stddev, generator=generator)


class TruncatedNormal(RandomNormal):
    """Normal, redrawn beyond two standard deviations."""

    def __call__(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        low, high = self.mean - 2 * self.stddev, self.mean + 2 * self.stddev
        return nn.init.trunc_normal_(torch.empty(shape), self.mean, self.stddev, low, high, generator=generator)


class Orthogonal(Initializer):
    """Orthogonal rows or columns, times `gain` (Saxe et al., 2014, arXiv:1312.6120)."""

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = gain

    def __call__(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        return nn.init.orthogonal_(torch.empty(shape), self.gain, generator=generator)


class VarianceScaling(Initializer):
    """Variance `scale / fan`, so that signals neither grow nor vanish with depth.

    Args:
        mode: "fan_in", "fan_out" or "fan_avg".
        distribution: "truncated_normal", "untruncated_normal" or "uniform".
    """

    def __init__(self, scale: float = 1.0, mode: str = "fan_in", distribution: str = "truncated_normal") -> None:
        if mode not in ("fan_in", "fan_out", "fan_avg"):
            raise ConfigError(at="VarianceScaling.mode", got=mode, expected='"fan_in", "fan_out" or "fan_avg"')
        if distribution not in ("truncated_normal", "untruncated_normal", "uniform"):
            raise ConfigError(
                at="VarianceScaling.distribution",
                got=distribution,
                expected='"truncated_normal", "untruncated_normal" or "uniform"',
            )
        self.scale, self.mode, self.distribution = scale, mode, distribution

    def __call__(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        window = math.prod(shape[2:])
        fan_out, fan_in = shape[0] * window, (shape[1] if len(shape) > 1 else shape[0]) * window
        fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        variance = self.scale / max(1.0, fan)
        if self.distribution == "uniform":
            limit = math.sqrt(3 * variance)
            return torch.empty(shape).uniform_(-limit, limit, generator=generator)
        if self.distribution == "untruncated_normal":
            return torch.empty(shape).normal_(0, math.sqrt(variance), generator=generator)
        # The standard deviation of a unit normal cut off at 2 is 0.8796...
        return TruncatedNormal(0.0, math.sqrt(variance) / 0.87962566103423978)(shape, generator)


class _Scaled(VarianceScaling):
    """A variance scaling with a name of its own and no arguments."""

    settings: tuple[float, str, str]

    def __init__(self) -> None:
        super().__init__(*self.settings)


class GlorotUniform(_Scaled):
    """Glorot and Bengio, 2010."""

    settings = (1.0, "fan_avg", "uniform")


class GlorotNormal(_Scaled):
    """Glorot and Bengio, 2010."""

    settings = (1.0, "fan_avg", "truncated_normal")


class HeUniform(_Scaled):
    """He et al., 2015 (arXiv:1502.01852)."""

    settings = (2.0, "fan_in", "uniform")


class HeNormal(_Scaled):
    """He et al., 2015 (arXiv:1502.01852)."""

    settings = (2.0, "fan_in", "truncated_normal")


class LecunUniform(_Scaled):
    """LeCun et al., 1998."""

    settings = (1.0, "fan_in", "uniform")


class LecunNormal(_Scaled):
    """LeCun et al., 1998."""

    settings = (1.0, "fan_in", "truncated_normal")


_names: Registry[Callable[[], Initializer]] = Registry("initializer")
for _name, _class in {
    "zeros": Zeros,
    "ones": Ones,
    "constant": Constant,
    "uniform": RandomUniform,
    "random_uniform": RandomUniform,
    "normal": RandomNormal,
    "random_normal": RandomNormal,
    "truncated_normal": TruncatedNormal,
    "orthogonal": Orthogonal,
    "variance_scaling": VarianceScaling,
    "glorot_uniform": GlorotUniform,
    "glorot_normal": GlorotNormal,
    "he_uniform": HeUniform,
    "he_normal": HeNormal,
    "lecun_uniform": LecunUniform,
    "lecun_normal": LecunNormal,
}.items():
    _names.add(_name, _class)


def get_initializer(initializer: str | Initializer) -> Initializer:
    """An initialiser from its Keras name, or itself.

    Raises: UnknownNameError, ConfigError.
    """
    if isinstance(initializer, str):
        return _names.get(initializer)()
    if not isinstance(initializer, Initializer):
        raise ConfigError(at="initializer", got=initializer, expected="a name or an Initializer")
    return initializer
