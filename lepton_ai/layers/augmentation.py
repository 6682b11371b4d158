"""What random changes share: bounds of their strength, chances, and the range of pixels."""

from typing import Any

from torch import Tensor

from lepton_ai.core import ConfigError, ShapeError
from lepton_ai.layers.shapes import map_leaves, show

Factor = float | tuple[float, float]


def bounds(at: str, factor: Factor, least: float = -1.0, most: float = 1.0) -> tuple[float, float]:
    """From where to where a strength is drawn; one number is from its negative, or `least`, to itself.

    Raises: ConfigError for bounds beyond `least` and `most` or in the wrong order.

    Example:
        >>> bounds("RandomHue.factor", 0.2), bounds("RandomHue.factor", 0.2, least=0.0)
        ((-0.2, 0.2), (0.0, 0.2))
    """
    pair = tuple(factor) if isinstance(factor, tuple | list) else (factor,)
    sound = len(pair) in (1, 2) and all(isinstance(v, int | float) and not isinstance(v, bool) for v in pair)
    if sound:
        low, high = pair if len(pair) == 2 else (max(-pair[0], least), pair[0])
        if least <= low <= high <= most:
            return float(low), float(high)
    raise ConfigError(
        at=at, got=factor, expected=f"a number from {max(least, 0):g} to {most:g}, or two from {least:g} to {most:g}, "
        "the lower first",
    )  # fmt: skip


def chance(at: str, factor: Factor) -> float:
    """How probable a change is; two numbers are their middle, which is what drawing it from between them comes to.

    Raises: ConfigError for what lies outside [0, 1].
    """
    low, high = bounds(at, factor if isinstance(factor, tuple | list) else (factor, factor), least=0.0)
    return (low + high) / 2


def pixel_range(at: str, given: tuple[float, float]) -> tuple[float, float]:
    """The darkest and the brightest value that pixels have.

    Raises: ConfigError unless these are two numbers, the lower first.
    """
    pair = tuple(given) if isinstance(given, tuple | list) else ()
    if len(pair) == 2 and all(isinstance(v, int | float) for v in pair) and pair[0] < pair[1]:
        return float(pair[0]), float(pair[1])
    raise ConfigError(at=at, got=given, expected="two numbers, the lower first, such as (0, 255) or (0, 1)")


def per_row(values: Tensor, x: Tensor) -> Tensor:
    """(B,) values in the dtype of `x` and shaped to scale its rows."""
    return values.to(x.dtype).view(-1, *[1] * (x.ndim - 1))


def map_masks(function: Any, targets: Any, x: Tensor, at: str) -> Any:
    """`targets` with `function` applied to those that are images themselves, `(B, H, W)` or `(B, H, W, C)`.

    Others, such as class labels, stay. Raises: ShapeError for a target of another height and width than `x`.
    """

    def mapped(target: Tensor) -> Tensor:
        if target.ndim < 3:
            return target
        if target.ndim > 4 or target.shape[1:3] != x.shape[1:3]:
            raise ShapeError(
                f"got targets of shape {show(tuple(target.shape))} beside images of shape {show(tuple(x.shape))}",
                at=at,
                expected="labels, or masks of the images' height and width",
                fix="Put the layer into the model if its targets do not move with the pixels.",
            )
        moved: Tensor = function(target.unsqueeze(3) if target.ndim == 3 else target)
        return moved.squeeze(3) if target.ndim == 3 else moved

    return map_leaves(mapped, targets, lambda each: isinstance(each, Tensor))
