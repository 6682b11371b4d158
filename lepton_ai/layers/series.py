"""Random changes of audio, spectrograms and other series, whose second axis is time."""

import abc
import math
from typing import Unpack

import torch
from torch import Tensor

from lepton_ai.core import ConfigError
from lepton_ai.layers.arguments import one_of, positive_int
from lepton_ai.layers.augmentation import Factor, bounds, per_row
from lepton_ai.layers.layer import LayerOptions
from lepton_ai.layers.random import Draws, RandomLayer


class SeriesLayer(RandomLayer, abc.ABC):
    """The base of layers on `(B, T)`, `(B, T, C)` and longer shapes; the same comes out.

    Padding is not told from data: change series before they are padded, or where all have one length.
    """

    min_ndim = 2


class RandomTimeShift(SeriesLayer):
    """In training, shifts each series by a random part of its length, in whole steps.

    Shapes: `(B, T, ...)` in, the same out.

    Args:
        factor: bounds of the shift towards the end, as parts of the length; one number is (-number, number).
        fill_mode: what comes in: "constant" (`fill_value`), "nearest" (the first or last step) or "wrap".

    Raises: ConfigError for bounds beyond -1 and 1 or in the wrong order.

    Example:
        >>> RandomTimeShift((0.25, 0.25), fill_mode="wrap").train()(torch.tensor([[1, 2, 3, 4]]))
        tensor([[4., 1., 2., 3.]])
    """

    def __init__(
        self,
        factor: Factor,
        fill_mode: str = "constant",
        fill_value: float = 0.0,
        seed: int | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(seed=seed, **options)
        self.factor = bounds("RandomTimeShift.factor", factor)
        self.fill_mode = one_of("RandomTimeShift.fill_mode", fill_mode, ("constant", "nearest", "wrap"))
        self.fill_value = fill_value

    def perturb(self, x: Tensor, draws: Draws) -> Tensor:
        steps = (draws.between(self.factor)[:, :1] * x.shape[1]).round().long()
        read = torch.arange(x.shape[1], device=x.device) - steps
        if self.fill_mode == "wrap":
            return _take(x, read.remainder(x.shape[1]))
        inside = (read >= 0) & (read < x.shape[1])
        shifted = _take(x, read.clamp(0, x.shape[1] - 1))
        return shifted if self.fill_mode == "nearest" else torch.where(_like(inside, x), shifted, self.fill_value)


class RandomTimeMask(SeriesLayer):
    """In training, covers spans of time (SpecAugment, Park et al., 2019).

    Shapes: `(B, T, ...)` in, the same out.

    Args:
        factor: bounds of a span's part of the length; one number is (0, number).
        num_masks: how many spans, which may overlap.
        fill_value: what covers them.

    Raises: ConfigError for bounds beyond 0 and 1 or in the wrong order.

    Example:
        >>> RandomTimeMask(0.2)(torch.ones(2, 50, 80)).shape
        torch.Size([2, 50, 80])
    """

    _axis = 1

    def __init__(
        self,
        factor: Factor,
        num_masks: int = 1,
        fill_value: float = 0.0,
        seed: int | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(seed=seed, **options)
        self.factor = bounds(f"{type(self).__name__}.factor", factor, least=0.0)
        self.num_masks = positive_int(f"{type(self).__name__}.num_masks", num_masks)
        self.fill_value = fill_value

    def perturb(self, x: Tensor, draws: Draws) -> Tensor:
        size = x.shape[self._axis]
        drawn = draws.between(*[self.factor] * self.num_masks, *[(0.0, 1.0)] * self.num_masks)
        lengths = (drawn[:, : self.num_masks] * size).round()
        starts = (drawn[:, self.num_masks :] * (size - lengths + 1)).floor()
        places = torch.arange(size, device=x.device)
        covered = (places >= starts[:, :, None]) & (places < (starts + lengths)[:, :, None])
        shape = [len(x), *[1] * (x.ndim - 1)]
        shape[self._axis] = size
        return torch.where(covered.any(1).view(shape), self.fill_value, x)


class RandomFrequencyMask(RandomTimeMask):
    """In training, covers bands of a spectrogram (SpecAugment, Park et al., 2019).

    Shapes: `(B, T, F)` or `(B, T, F, C)` in, the same out.

    Args:
        factor: bounds of a band's part of all frequencies; one number is (0, number).
        num_masks: how many bands, which may overlap.
        fill_value: what covers them.

    Raises: ConfigError for bounds beyond 0 and 1 or in the wrong order.

    Example:
        >>> RandomFrequencyMask(0.2)(torch.ones(2, 50, 80)).shape
        torch.Size([2, 50, 80])
    """

    min_ndim = 3
    _axis = 2


class RandomGain(SeriesLayer):
    """In training, makes each series louder or quieter.

    Shapes: `(B, T, ...)` in, the same out.

    Args:
        decibels: bounds of the gain; one number is (-number, number). 6 dB is about twice the amplitude.

    Raises: ConfigError for bounds in the wrong order.

    Example:
        >>> RandomGain((20, 20)).train()(torch.tensor([[0.5, -1.0]]))
        tensor([[  5., -10.]])
    """

    def __init__(self, decibels: Factor, seed: int | None = None, **options: Unpack[LayerOptions]) -> None:
        super().__init__(seed=seed, **options)
        self.decibels = bounds("RandomGain.decibels", decibels, least=-300.0, most=300.0)

    def perturb(self, x: Tensor, draws: Draws) -> Tensor:
        return x * per_row(_amplitude(draws.between(self.decibels)[:, 0]), x)


class RandomNoise(SeriesLayer):
    """In training, adds white noise to each series at a random signal-to-noise ratio. Silence stays.

    Shapes: `(B, T, ...)` in, the same out.

    Args:
        decibels: bounds of the ratio: 0 is noise as strong as the series, 20 has a hundredth of its power.

    Raises: ConfigError unless there are two bounds, the lower first.

    Example:
        >>> RandomNoise((10, 40))(torch.ones(2, 16000)).shape
        torch.Size([2, 16000])
    """

    def __init__(self, decibels: tuple[float, float], seed: int | None = None, **options: Unpack[LayerOptions]) -> None:
        super().__init__(seed=seed, **options)
        if not isinstance(decibels, tuple | list):
            raise ConfigError(at="RandomNoise.decibels", got=decibels, expected="two numbers, the lower first")
        self.decibels = bounds("RandomNoise.decibels", decibels, least=-300.0, most=300.0)

    def perturb(self, x: Tensor, draws: Draws) -> Tensor:
        ratio = _amplitude(-draws.between(self.decibels)[:, 0])
        power = x.flatten(1).square().mean(1).sqrt()
        noise = draws.fork("noise").normal(tuple(x.shape)).to(x.dtype)
        return x + per_row(power * ratio.to(x.dtype), x) * noise


class RandomSpeed(SeriesLayer):
    """In training, plays each series faster or slower, from its beginning; in audio the pitch changes too.

    Shapes: `(B, T, ...)` in, the same out: what is faster ends in `fill_value`, what is slower is cut off.

    Args:
        factor: bounds of how much faster: 0.1 takes 1.1 steps at a time, -0.1 takes 0.9; one number is
            (-number, number). Between two steps values are interpolated linearly.

    Raises: ConfigError for bounds beyond -1 and 1 or in the wrong order.

    Example:
        >>> RandomSpeed((1, 1)).train()(torch.tensor([[1.0, 2.0, 3.0, 4.0]]))
        tensor([[1., 3., 0., 0.]])
    """

    def __init__(
        self, factor: Factor, fill_value: float = 0.0, seed: int | None = None, **options: Unpack[LayerOptions]
    ) -> None:
        super().__init__(seed=seed, **options)
        self.factor = bounds("RandomSpeed.factor", factor)
        self.fill_value = fill_value

    def perturb(self, x: Tensor, draws: Draws) -> Tensor:
        speed = 1 + draws.between(self.factor)[:, :1].double()
        places = torch.arange(x.shape[1], device=x.device, dtype=torch.float64) * speed
        return torch.where(_like(places <= x.shape[1] - 1, x), _interpolate(x, places), self.fill_value)


class RandomTimeWarp(SeriesLayer):
    """In training, stretches one part of each series and squeezes the other; the ends stay (as in SpecAugment).

    Shapes: `(B, T, ...)` in, the same out.

    Args:
        factor: bounds of how far a random step is moved, as parts of the length; one number is (-number, number).
            The step lies at least as far from both ends.

    Raises: ConfigError for bounds beyond -0.49 and 0.49 or in the wrong order.

    Example:
        >>> RandomTimeWarp(0.1)(torch.ones(2, 50, 80)).shape
        torch.Size([2, 50, 80])
    """

    def __init__(self, factor: Factor, seed: int | None = None, **options: Unpack[LayerOptions]) -> None:
        super().__init__(seed=seed, **options)
        self.factor = bounds("RandomTimeWarp.factor", factor, least=-0.49, most=0.49)

    def perturb(self, x: Tensor, draws: Draws) -> Tensor:
        last = x.shape[1] - 1
        far = max(abs(each) for each in self.factor)
        # A hundredth of the series stays on either side at least, or the map would stand still there.
        anchor, shift = draws.between((far + 0.01, 0.99 - far), self.factor).double().unbind(1)
        return self.transform(x, anchor * last, (anchor + shift) * last)

    def transform(self, x: Tensor, source: Tensor, target: Tensor) -> Tensor:
        """`x` with step `source[i]` of row i at step `target[i]`, (B,) float64 each, inside the series."""
        last = x.shape[1] - 1
        steps = torch.arange(x.shape[1], device=x.device, dtype=torch.float64)
        source, target = source[:, None], target[:, None]
        before = steps * (source / target.clamp_min(1e-12))
        after = source + (steps - target) * ((last - source) / (last - target).clamp_min(1e-12))
        return _interpolate(x, torch.where(steps < target, before, after).clamp(0, last))


class RandomScaling(SeriesLayer):
    """In training, multiplies each channel of each series by a number around 1 (Um et al., 2017).

    Shapes: `(B, T, ...)` in, the same out.

    Args:
        stddev: the standard deviation of the number, which is normal.

    Raises: ConfigError if `stddev` is negative.

    Example:
        >>> RandomScaling(0.1)(torch.ones(2, 50, 6)).shape
        torch.Size([2, 50, 6])
    """

    def __init__(self, stddev: float = 0.1, seed: int | None = None, **options: Unpack[LayerOptions]) -> None:
        super().__init__(seed=seed, **options)
        if isinstance(stddev, bool) or not isinstance(stddev, int | float) or not 0 <= stddev < math.inf:
            raise ConfigError(at="RandomScaling.stddev", got=stddev, expected="a number >= 0")
        self.stddev = stddev

    def perturb(self, x: Tensor, draws: Draws) -> Tensor:
        scale = 1 + self.stddev * draws.normal((len(x), *x.shape[2:]))
        return x * scale.to(x.dtype).unsqueeze(1)


class RandomPermutation(SeriesLayer):
    """In training, cuts each series into equal parts and puts them together in a random order (Um et al., 2017).

    Shapes: `(B, T, ...)` in, the same out; steps beyond `segments` whole parts stay at the end.

    Args:
        segments: how many parts.

    Raises: ConfigError if `segments` is no positive int.

    Example:
        >>> RandomPermutation(5)(torch.ones(2, 50, 6)).shape
        torch.Size([2, 50, 6])
    """

    def __init__(self, segments: int = 4, seed: int | None = None, **options: Unpack[LayerOptions]) -> None:
        super().__init__(seed=seed, **options)
        self.segments = positive_int("RandomPermutation.segments", segments)

    def perturb(self, x: Tensor, draws: Draws) -> Tensor:
        length = x.shape[1] // self.segments
        # Stable, so that equal numbers fall alike in any batch.
        order = draws.uniform(self.segments).argsort(dim=1, stable=True)
        inside = order[:, :, None] * length + torch.arange(length, device=x.device)
        rest = torch.arange(self.segments * length, x.shape[1], device=x.device)
        return _take(x, torch.cat((inside.flatten(1), rest.expand(len(x), -1)), 1))


def _take(x: Tensor, steps: Tensor) -> Tensor:
    """Row i of `x` at its steps (B, T) int64."""
    return x[torch.arange(len(x), device=x.device)[:, None], steps]


def _interpolate(x: Tensor, places: Tensor) -> Tensor:
    """Row i of `x` at its places (B, T) float64, between steps linearly; beyond the end, as at the end."""
    last = x.shape[1] - 1
    before = places.floor().clamp(0, last)
    part = _like((places - before).to(x.dtype), x)
    low, high = _take(x, before.long()), _take(x, (before + 1).clamp_max(last).long())
    return low + (high - low) * part


def _like(steps: Tensor, x: Tensor) -> Tensor:
    """(B, T) values shaped to go with `x`."""
    return steps.view(*steps.shape, *[1] * (x.ndim - 2))


def _amplitude(decibels: Tensor) -> Tensor:
    return (decibels * (math.log(10) / 20)).exp()
