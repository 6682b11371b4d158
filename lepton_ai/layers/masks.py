"""Masks: which steps of a sequence count. They travel beside the tensors, from layer to layer, never on them.

A mask is boolean, `(B, T)`, True for steps that count. It comes from a layer that makes one, goes through those that
support it, and is taken by those whose `call` has an argument `mask`.
"""

import inspect
from functools import cache
from typing import Any

import torch
from torch import Tensor

from lepton_ai.core import DataError, ShapeError
from lepton_ai.layers.shapes import Shape, show


def takes(cls: type, argument: str) -> bool:
    """Whether the `call` of a layer's class has an argument of this name."""
    return argument in _arguments(cls)


def uses_mask(cls: type) -> bool:
    """Whether a layer's class has a use for the masks of its inputs."""
    return any(name == "mask" or name.endswith("_mask") for name in _arguments(cls))


@cache
def _arguments(cls: type) -> tuple[str, ...]:
    return tuple(inspect.signature(cls.call).parameters)[1:]  # type: ignore[attr-defined]


def carry(layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any], masks: tuple[Any, ...]) -> tuple[Any, Any]:
    """Call `layer`; its outputs, and their masks in the same structure (None for all: one None).

    `masks` are those of the arguments by position: a mask, None, or a list for an argument that is a list. A layer
    of one argument gets that one's as `mask`; a layer of several gets a list as `mask`, or one each as
    `<argument>_mask`, whichever its `call` takes. A mask that was given by name comes first.
    """
    kind: type = type(layer)
    mask = masks[0] if len(args) == 1 else None if all(_nothing(each) for each in masks) else list(masks)
    if kwargs.get("mask") is not None:
        mask = kwargs["mask"]
    elif _nothing(mask):
        mask = None
    elif takes(kind, "mask"):
        kwargs = {**kwargs, "mask": mask}
    else:
        names = (f"{name}_mask" for name in _arguments(kind))
        given = zip(names, masks, strict=False)
        kwargs = {name: each for name, each in given if each is not None and takes(kind, name)} | kwargs
    if takes(kind, "return_mask"):  # a model: its masks are known only where it runs
        outputs, mask = layer(*args, **kwargs, return_mask=True)
        return outputs, mask
    outputs = layer(*args, **kwargs)
    if mask is None and not layer.makes_mask:
        return outputs, None
    return outputs, layer.compute_mask(args[0] if len(args) == 1 else list(args), mask)


def _nothing(mask: Any) -> bool:
    """Whether no tensor of an argument has a mask."""
    if isinstance(mask, dict):
        return all(_nothing(each) for each in mask.values())
    return mask is None or (isinstance(mask, list | tuple) and all(_nothing(each) for each in mask))


def check_mask(mask: Any, shape: Shape | torch.Size, at: str) -> Tensor:
    """A mask for sequences of `shape`, `(B, T, ...)`, as a tensor.

    Raises: ShapeError if it is not `(B, T)`; DataError if it is not boolean.
    """
    found: Tensor = mask if isinstance(mask, Tensor) else torch.as_tensor(mask)
    wanted = tuple(shape[:2])
    if tuple(found.shape) != wanted:
        raise ShapeError(f"got a mask of shape {show(tuple(found.shape))}, expected {show(wanted)}", at=at)
    if found.dtype != torch.bool:
        raise DataError(
            f"got a mask of dtype {str(found.dtype).removeprefix('torch.')}, expected bool: True for steps that count",
            at=at,
            fix="Write mask=mask.bool(), or compare: mask=tokens != 0.",
        )
    return found
