"""Augmentation of inputs and targets together, in the training step: modules that take both, and mixing of rows.

The row at position p of the epoch is mixed with the one at position p ^ 1. The order is shuffled, so this neighbour is
a random row; and since it lies in the same batch, and by the loader's cut with the same worker, the result is the same
for any number of workers. A row whose neighbour is not in its batch, the last of an odd number, stays as it is.
"""

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from lepton_ai.core import ConfigError, DataError, ShapeError, UsageError
from lepton_ai.data import Batch
from lepton_ai.rng import StepContext, draw, step_context
from lepton_ai.training.component import Component, number
from lepton_ai.training.losses import FunctionLoss, Loss, Pinball
from lepton_ai.training.objective import Objective
from lepton_ai.training.regression_losses import RegressionLoss

_TRIES = 8  # each is accepted with a probability above 0.95


class Blend(NamedTuple):
    """How rows are mixed: row i is `share[i]` itself, and the rest is row `partner[i]`, (B,) each.

    `inside`, (B, ...space), is true where the partner is seen; None if it shines through everywhere.
    """

    partner: Tensor
    share: Tensor
    inside: Tensor | None = None


class Mixing(Component):
    """Rows mixed with their neighbours: `fit(augment=MixUp())`. The share of a row is drawn from Beta(alpha, alpha).

    The loss of a mixed row is its share of the loss against its own targets, and the rest against its partner's: for
    cross-entropies just the loss against soft targets. Under a loss for quantities the targets are mixed themselves.
    Sample and class weights go with the targets that they came with. Metrics in training compare with the targets of
    the row that has the larger share (with mixed ones, for quantities).

    Raises: ConfigError unless alpha is positive.
    """

    alpha: float

    @abstractmethod
    def blend(self, x: list[Tensor], partner: Tensor, context: StepContext) -> Blend:
        """How to mix the rows of a batch whose inputs are `x`."""

    @abstractmethod
    def mixed(self, x: Tensor, blend: Blend) -> Tensor:
        """One input, mixed.

        Raises: DataError for values that cannot be.
        """

    def pasted(self, target: Tensor, blend: Blend) -> Tensor | None:
        """Targets that are mixed in space, as masks are; None if these are not."""
        return None

    def check(self, objective: Objective) -> None:
        """Refuse losses that mixed rows have no meaning for.

        Raises: UsageError.
        """
        for head in objective.trained:
            if head.loss is not None and head.loss.pairs_rows:
                raise UsageError(
                    f"{head.loss.name} compares rows by their class, and a mixed row has two",
                    at=f"fit(augment={self!r})",
                    fix="Leave mixing out, or train for a loss that looks at one row at a time.",
                )

    def __call__(self, batch: Batch, objective: Objective, context: StepContext) -> tuple[Batch, list[Batch]]:
        """The mixed batch, its targets those that metrics compare with; and the batches whose losses add up to its."""
        leaves: list[Tensor] = []
        _map(leaves.append, batch.x)
        blend = self.blend(leaves, partners(batch.positions), context)
        x = _map(lambda each: self.mixed(each, blend), batch.x)
        own, other, seen = [], [], []
        for head, target in zip(objective.heads, objective._tensors(batch.y, "y"), strict=True):
            pasted = self.pasted(target, blend)
            if pasted is None and _is_quantity(head.loss, target):
                share = _per_row(blend.share, target)
                pasted = share * target + (1 - share) * target[blend.partner]
            theirs = target[blend.partner]
            heavier = torch.where(_per_row(blend.share, target) >= 0.5, target, theirs)
            own.append(target if pasted is None else pasted)
            other.append(theirs if pasted is None else pasted)
            seen.append(heavier if pasted is None else pasted)
        weight = torch.ones_like(blend.share) if batch.weight is None else batch.weight
        first = batch._replace(x=x, y=tuple(own), weight=weight * blend.share)
        second = batch._replace(x=x, y=tuple(other), weight=weight[blend.partner] * (1 - blend.share))
        return batch._replace(x=x, y=tuple(seen)), [first, second]


class MixUp(Mixing):
    """Rows blended with their neighbours: `share * x + (1 - share) * neighbour` (Zhang et al., 2018).

    Inputs are floats, or images of bytes, which become floats.

    Args:
        alpha: the share is drawn from Beta(alpha, alpha): 0.2 mostly leaves one of the two, 1 mixes evenly.

    Raises: ConfigError unless alpha is positive; in `fit`, DataError for inputs of whole numbers.

    Example:
        >>> MixUp(alpha=0.4)
        MixUp(alpha=0.4)
    """

    def __init__(self, alpha: float = 0.2) -> None:
        self.alpha = number("MixUp.alpha", alpha, "(0, inf)")

    def blend(self, x: list[Tensor], partner: Tensor, context: StepContext) -> Blend:
        return Blend(partner, beta(context, self.name, self.alpha))

    def mixed(self, x: Tensor, blend: Blend) -> Tensor:
        if x.dtype == torch.uint8 and x.ndim > 2:
            x = x.float()
        if not x.is_floating_point():
            raise DataError(
                f"inputs of {str(x.dtype).removeprefix('torch.')} cannot be blended: between two numbers of categories "
                "lies no third",
                at=f"fit(augment={self!r})",
                fix="Give floats, or images as uint8.",
            )
        share = _per_row(blend.share, x)
        return share * x + (1 - share) * x[blend.partner]


class CutMix(Mixing):
    """A box of each row replaced by that of its neighbour (Yun et al., 2019); the share is the part that is left.

    Inputs are images `(B, H, W, C)`, series `(B, T, C)` or volumes, all of one size. Targets of this size, as masks
    are, get the same box; others are mixed by the share.

    Args:
        alpha: the share is drawn from Beta(alpha, alpha) before the box is cut at the border; 1 is uniform.

    Raises: ConfigError unless alpha is positive; in `fit`, ShapeError for inputs without space.

    Example:
        >>> CutMix()
        CutMix(alpha=1.0)
    """

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = number("CutMix.alpha", alpha, "(0, inf)")

    def blend(self, x: list[Tensor], partner: Tensor, context: StepContext) -> Blend:
        space = {tuple(each.shape[1:-1]) for each in x}
        if len(space) != 1 or not all(space):
            raise ShapeError(
                at=f"fit(augment={self!r})",
                got=[tuple(each.shape[1:]) for each in x],
                expected="images (H, W, C) or series (T, C), all inputs of one size",
                fix="Use MixUp for rows without space.",
            )
        sizes = next(iter(space))
        # The side of a box that has 1 - share of the space; the logarithm of 0 gives a side of 0.
        side = ((1 - beta(context, self.name, self.alpha)).log() / len(sizes)).exp()
        centers = uniform(context, f"{self.name}.center", len(sizes))
        inside = torch.ones(len(partner), *[1] * len(sizes), dtype=torch.bool, device=partner.device)
        part = torch.ones_like(side)
        for axis, size in enumerate(sizes):
            length = (side * size).round()
            start = (centers[:, axis] * size).floor() - (length / 2).floor()
            places = torch.arange(size, device=partner.device)
            covered = (places >= start[:, None]) & (places < (start + length)[:, None])
            inside = inside & covered.view(-1, *[size if each == axis else 1 for each in range(len(sizes))])
            part = part * covered.sum(1) / size
        return Blend(partner, 1 - part, inside)

    def mixed(self, x: Tensor, blend: Blend) -> Tensor:
        assert blend.inside is not None
        return torch.where(blend.inside.unsqueeze(-1), x[blend.partner], x)

    def pasted(self, target: Tensor, blend: Blend) -> Tensor | None:
        assert blend.inside is not None
        space = blend.inside.shape[1:]
        if target.ndim < max(3, 1 + len(space)) or target.shape[1 : 1 + len(space)] != space:
            return None
        more = target.ndim - blend.inside.ndim
        return torch.where(blend.inside.view(*blend.inside.shape, *[1] * more), target[blend.partner], target)


Augmentation = Mixing | nn.Module


def check_augmentation(given: Any) -> tuple[Augmentation, ...]:
    """What `fit(augment=...)` was given, as a tuple: modules that are called with inputs and targets, then one mixing.

    Raises: ConfigError for anything else.
    """
    listed = () if given is None else tuple(given) if isinstance(given, list | tuple) else (given,)
    for index, each in enumerate(listed):
        if not isinstance(each, Mixing | nn.Module):
            wanted = each.__name__ if isinstance(each, type) else None
            raise ConfigError(
                at="fit(augment=...)",
                got=wanted or each,
                expected="MixUp(), CutMix(), a random layer, or a list of these",
                fix=f"Write {wanted}(), with its arguments." if wanted else "",
            )
        if isinstance(each, Mixing) and index < len(listed) - 1:
            raise ConfigError(f"{each!r} is followed by another", at="fit(augment=...)", fix="Give one mixing, last.")
    return listed


def augmented(
    augment: Sequence[Augmentation], batch: Batch, objective: Objective, context: StepContext
) -> tuple[Batch, list[Batch]]:
    """The changed batch, and the batches whose losses add up to its own: itself, or two if rows were mixed."""
    parts = [batch]
    with step_context(context):
        for each in augment:
            if isinstance(each, Mixing):
                batch, parts = each(batch, objective, context)
            else:
                x, y = each(batch.x, batch.y)
                batch = batch._replace(x=x, y=y)
                parts = [batch]
    return batch, parts


def partners(positions: Tensor) -> Tensor:
    """(B,) int64: the row of each row's neighbour; its own where that is not in the batch.

    Positions follow one another, as the loader gives them.
    """
    rows = torch.arange(len(positions), device=positions.device)
    there = rows + ((positions ^ 1) - positions)
    return torch.where((there >= 0) & (there < len(positions)), there, rows)


def uniform(context: StepContext, name: str, columns: int) -> Tensor:
    """(B, columns) float32 in [0, 1), a pure function of seed, epoch, position and name."""
    positions = context.positions.to(torch.int32)
    places = torch.arange(columns, dtype=torch.int32, device=positions.device)
    bits: Tensor = draw(positions, places, context.key("augment", name))
    return ((bits >> 8) & 0xFFFFFF) * 2.0**-24


def beta(context: StepContext, name: str, alpha: float) -> Tensor:
    """(B,) float32 from Beta(alpha, alpha)."""
    one, other = (_log_gamma(uniform(context, f"{name}.{part}", 3 * _TRIES + 1), alpha) for part in range(2))
    larger = torch.maximum(one, other)
    return (one - larger - ((one - larger).exp() + (other - larger).exp()).log()).exp()


def _log_gamma(uniform: Tensor, shape: float) -> Tensor:
    """(B,) logarithms of numbers from Gamma(shape) (Marsaglia and Tsang, 2000), of `3 * _TRIES + 1` uniform ones."""
    first, second, third = uniform[:, 1:].chunk(3, 1)
    normal = (-2 * torch.log1p(-first)).sqrt() * (2 * math.pi * second).cos()
    # For Gamma(shape + 1), whose tries are seldom refused; a power of a uniform number brings it down to `shape`.
    center = shape + 2 / 3
    cube = 1 + normal / math.sqrt(9 * center)
    cube = cube * cube * cube
    log = cube.clamp_min(torch.finfo(cube.dtype).tiny).log()
    good = (cube > 0) & (torch.log1p(-third) < normal * normal / 2 + center * (1 - cube + log))
    # The first good try; the last one, once in 10**10 times, if none is.
    order = torch.arange(_TRIES, 0, -1, device=uniform.device)
    chosen = (good * order).argmax(1, keepdim=True)
    return math.log(center) + log.gather(1, chosen)[:, 0] + torch.log1p(-uniform[:, 0]) / shape


def _is_quantity(loss: Loss | None, target: Tensor) -> bool:
    if isinstance(loss, FunctionLoss):
        return target.is_floating_point()
    return isinstance(loss, RegressionLoss | Pinball)


def _per_row(share: Tensor, like: Tensor) -> Tensor:
    shaped = share.view(-1, *[1] * (like.ndim - 1))
    return shaped.to(like.dtype) if like.is_floating_point() else shaped


def _map(function: Callable[[Tensor], Any], tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _map(function, each) for key, each in tree.items()}
    if isinstance(tree, tuple | list):
        return tuple(_map(function, each) for each in tree)
    return function(tree)
