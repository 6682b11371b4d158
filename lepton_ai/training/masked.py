"""Outputs with a mask: only the steps that count are trained for and measured, each as a row of its own."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn


def makes_masks(module: nn.Module) -> bool:
    """Whether a module's outputs may have masks, which it gives when called with `return_mask=True`."""
    return bool(getattr(module, "makes_mask", False))


def answer(forward: Callable[..., Any], x: Any, masked: bool) -> tuple[Any, Any]:
    """The outputs, and their masks in the same structure if the module makes masks."""
    outputs, masks = forward(x, return_mask=True) if masked else (forward(x), None)
    return outputs, masks


def stands_for(mask: Tensor | None, *values: Tensor | None) -> bool:
    """Whether `mask`, `(B, T)`, says for all of these `(B, T, ...)` which steps count.

    It does not for a loss whose targets have other steps than the outputs.
    """
    return mask is not None and all(value is not None and value.shape[: mask.ndim] == mask.shape for value in values)


def spread(weight: Tensor, mask: Tensor) -> Tensor:
    """A weight for each row, `(B,)`, as one for each step that counts."""
    return weight.reshape(-1, *(1,) * (mask.ndim - 1)).expand(mask.shape)[mask]
