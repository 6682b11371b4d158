"""Layers that draw random numbers in training: each row's from its place in the run, never from a hidden state."""

import abc
import math
from typing import Any, Unpack

import torch
from torch import Tensor

from lepton_ai.core import ConfigError, ShapeError
from lepton_ai.layers.dtypes import as_float
from lepton_ai.layers.layer import Layer, LayerOptions
from lepton_ai.layers.shapes import is_shape
from lepton_ai.rng import current_step, derive, draw


class Draws:
    """The random numbers of one call of one layer.

    What a row gets depends on its position in the epoch, the key and the column alone: not on the batch it is in.
    """

    def __init__(self, rows: Tensor, key: int) -> None:
        self.rows = rows
        self.key = key

    def bits(self, columns: int) -> Tensor:
        """(B, columns) random int32."""
        bits: Tensor = draw(self.rows, torch.arange(columns, dtype=torch.int32, device=self.rows.device), self.key)
        return bits

    def uniform(self, columns: int) -> Tensor:
        """(B, columns) float32 in [0, 1), in steps of 2**-24."""
        return ((self.bits(columns) >> 8) & 0xFFFFFF) * 2.0**-24

    def between(self, *bounds: tuple[float, float]) -> Tensor:
        """(B, one for each of the bounds) float32, each uniform from its lower bound to its upper."""
        columns = self.uniform(len(bounds)).unbind(1)
        # Bounds stay numbers: a tensor of them would have to cross to the device at each call.
        drawn = [low + (high - low) * each for (low, high), each in zip(bounds, columns, strict=True)]
        return torch.stack(drawn, 1)

    def fork(self, *path: object) -> "Draws":
        """Other random numbers of the same rows, for one part of a layer: what this one draws stays as it is."""
        return Draws(self.rows, derive(self.key, *path))

    def normal(self, shape: tuple[int, ...]) -> Tensor:
        """Float32 of `shape`, which is as for `keep`, of mean 0 and variance 1 (Box and Muller, 1958)."""
        elements = self._elements(shape)
        first, second = self.uniform(elements + elements % 2).chunk(2, 1)
        radius = (-2 * torch.log1p(-first)).sqrt()
        angle = 2 * math.pi * second
        return torch.cat((radius * angle.cos(), radius * angle.sin()), 1)[:, :elements].reshape(shape)

    def keep(self, shape: tuple[int, ...], rate: float) -> Tensor:
        """Booleans of `shape`, False with probability `rate` (to the nearest 1/65536).

        `shape` starts with the batch, or with a multiple of it where a layer has folded time into it.
        """
        elements = self._elements(shape)
        # Two 16-bit lanes of each hash: half the arithmetic, and a rate needs no finer steps.
        lanes = self.bits((elements + 1) // 2).view(torch.int16)[:, :elements]
        return (lanes >= min(round(rate * 65536), 65535) - 32768).reshape(shape)

    def _elements(self, shape: tuple[int, ...]) -> int:
        """How many numbers a row needs."""
        return math.prod(shape[1:]) * (shape[0] // max(1, len(self.rows)))


def draws_for(layer: Layer, x: Tensor, seed: int | None) -> Draws:
    """The draws of a call of `layer` on `x`.

    Inside the loop they follow from the step's context; in plain PyTorch use from torch's default generator.

    Raises: ShapeError if the batch is not the step's.
    """
    context = current_step()
    if context is None:
        key = int(torch.randint(2**31 - 1, ()))
        return Draws(torch.arange(len(x), dtype=torch.int32, device=x.device), key)
    rows = context.positions.to(device=x.device, dtype=torch.int32)
    if len(x) % max(1, len(rows)):
        raise ShapeError(at=layer.label, got=tuple(x.shape), expected=f"a batch of {len(rows)} rows, as the step has")
    return Draws(rows, context.key(layer.path, context.next_call(layer.path), *(() if seed is None else (seed,))))


class RandomLayer(Layer, abc.ABC):
    """The base of layers that change their input at random in training and not at all at inference.

    Called with targets beside the input, it returns both: what moves the pixels of an image moves those of a mask by
    the same draw, and other changes leave targets as they are. `fit(augment=...)` calls it so.

    Args:
        seed: mixed into the draws; two equal layers differ without it, since their places do.
    """

    def __init__(self, *, seed: int | None = None, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int)):
            raise ConfigError(at=f"{type(self).__name__}.seed", got=seed, expected="an int or None")
        self.seed = seed

    @abc.abstractmethod
    def perturb(self, x: Tensor, draws: Draws) -> Tensor:
        """`x`, changed at random."""

    def perturb_targets(self, targets: Any, draws: Draws, x: Tensor) -> Any:
        """The targets of the rows of `x`, changed by the same draws; overridden where pixels move."""
        return targets

    def at_inference(self, x: Tensor) -> Tensor:
        """`x` where nothing is random; overridden where the shape changes."""
        return x

    def targets_at_inference(self, targets: Any, x: Tensor) -> Any:
        """The targets of the rows of `x` where nothing is random."""
        return targets

    def call(self, x: Tensor, targets: Any = None) -> Any:
        x = as_float(x)
        if not self.training:
            same = self.at_inference(x)
            return same if targets is None else (same, self.targets_at_inference(targets, x))
        draws = draws_for(self, x, self.seed)
        changed = self.perturb(x, draws)
        return changed if targets is None else (changed, self.perturb_targets(targets, draws, x))

    def check_shape(self, input_shape: Any) -> None:
        several = isinstance(input_shape, tuple) and not is_shape(input_shape)
        super().check_shape(input_shape[0] if several else input_shape)  # targets have shapes of their own

    def compute_output_shape(self, input_shape: Any) -> Any:
        return tuple(input_shape)
