"""Nested data: one array, a tuple of arrays (several inputs), or a dictionary of them by name."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any


def leaves(tree: Any, at: str) -> Iterator[tuple[str, Any]]:
    """Every array in `tree` with its path, such as `x`, `x[1]` or `x['age']`.

    Example:
        >>> list(leaves({"a": 1, "b": (2, 3)}, "x"))
        [("x['a']", 1), ("x['b'][0]", 2), ("x['b'][1]", 3)]
    """
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            yield from leaves(value, f"{at}[{key!r}]")
    elif isinstance(tree, tuple):
        for index, value in enumerate(tree):
            yield from leaves(value, f"{at}[{index}]")
    elif tree is not None:
        yield at, tree


def map_tree(function: Callable[[Any], Any], tree: Any) -> Any:
    """`tree` with `function` applied to every array; None stays None.

    Example:
        >>> map_tree(abs, (-1, {"a": -2}))
        (1, {'a': 2})
    """
    if isinstance(tree, Mapping):
        return {key: map_tree(function, value) for key, value in tree.items()}
    if isinstance(tree, tuple):
        return tuple(map_tree(function, value) for value in tree)
    return None if tree is None else function(tree)


def map_paths(function: Callable[[Any, str], Any], tree: Any, at: str) -> Any:
    """As `map_tree`; `function` also receives the path of the array."""
    if isinstance(tree, Mapping):
        return {key: map_paths(function, value, f"{at}[{key!r}]") for key, value in tree.items()}
    if isinstance(tree, tuple):
        return tuple(map_paths(function, value, f"{at}[{index}]") for index, value in enumerate(tree))
    return None if tree is None else function(tree, at)
