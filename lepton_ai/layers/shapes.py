"""Shapes and nested arguments: `None` is a free size; structures are lists, tuples and dicts of leaves."""

from collections.abc import Callable, Iterator
from typing import Any

import torch

Shape = tuple[int | None, ...]


def is_shape(value: Any) -> bool:
    """Whether this is one shape, not a structure of shapes."""
    return isinstance(value, tuple | torch.Size) and all(size is None or isinstance(size, int) for size in value)


def map_leaves(function: Callable[[Any], Any], structure: Any, is_leaf: Callable[[Any], bool]) -> Any:
    """The same structure with `function` applied to its leaves; other elements stay."""
    if is_leaf(structure):
        return function(structure)
    if isinstance(structure, dict):
        return {key: map_leaves(function, value, is_leaf) for key, value in structure.items()}
    if isinstance(structure, list | tuple):
        return type(structure)(map_leaves(function, value, is_leaf) for value in structure)
    return structure


def leaves(structure: Any, is_leaf: Callable[[Any], bool]) -> Iterator[Any]:
    """The leaves of a structure, in order."""
    if is_leaf(structure):
        yield structure
    elif isinstance(structure, dict | list | tuple):
        for value in structure.values() if isinstance(structure, dict) else structure:
            yield from leaves(value, is_leaf)


def shapes_of(args: tuple[Any, ...]) -> Any:
    """The shapes of a call's arguments that have one: one shape for one argument, else a tuple of them."""
    shapes = [
        map_leaves(lambda each: tuple(each.shape), arg, _has_shape)
        for arg in args
        if next(leaves(arg, _has_shape), None) is not None
    ]
    return shapes[0] if len(shapes) == 1 else tuple(shapes)


def _has_shape(value: Any) -> bool:
    return hasattr(value, "shape")


def merge(first: Any, second: Any) -> Any:
    """Of the shapes from two trials with different free sizes: what differs is free."""
    if is_shape(first):
        return tuple(a if a == b else None for a, b in zip(first, second, strict=True))
    if isinstance(first, dict):
        return {key: merge(first[key], second[key]) for key in first}
    return type(first)(merge(a, b) for a, b in zip(first, second, strict=True))


def show(shape: Shape) -> str:
    """A shape for people: `(None, 28, 28, 1)`."""
    return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"


def conv_length(length: int | None, kernel: int, stride: int, padding: str, dilation: int = 1) -> int | None:
    """The output length of a convolution or pooling along one dimension."""
    if length is None:
        return None
    if padding != "valid":  # "same" and "causal" differ in where the zeros stand
        return -(-length // stride)
    return max(0, (length - dilation * (kernel - 1) - 1) // stride + 1)


def same_padding(length: int, kernel: int, stride: int, dilation: int = 1) -> tuple[int, int]:
    """Zeros before and after one dimension so that "same" keeps `ceil(length / stride)`; the odd one goes after."""
    total = max(0, (-(-length // stride) - 1) * stride + dilation * (kernel - 1) + 1 - length)
    return total // 2, total - total // 2
