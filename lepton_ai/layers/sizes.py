"""Arithmetic on sizes: numbers, or symbols where a graph is traced for any size, on which it cannot branch."""

import torch


def larger(a: int, b: int) -> int:
    """The larger size."""
    size: int = torch.sym_max(a, b)  # type: ignore[no-untyped-call]
    return size


def smaller(a: int, b: int) -> int:
    """The smaller size."""
    size: int = torch.sym_min(a, b)  # type: ignore[no-untyped-call]
    return size


def is_number(size: object) -> bool:
    """Whether this size is known, not a symbol."""
    return isinstance(size, int)
