"""Symbolic tensors: what a layer returns when it is called on `Input(...)` instead of on numbers."""

from dataclasses import dataclass, field
from typing import Any

from lepton_ai.core import ConfigError
from lepton_ai.layers.shapes import Shape, leaves, show


@dataclass(eq=False)
class Node:
    """One call of one layer: its arguments, in which symbolic tensors are leaves."""

    layer: Any  # the layer that was called; None: an input
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)

    @property
    def sources(self) -> list["SymbolicTensor"]:
        """The symbolic tensors that the call reads."""
        return list(leaves((self.args, self.kwargs), is_symbolic))


@dataclass(eq=False)
class SymbolicTensor:
    """A place in a graph. `shape` includes the batch; `index` tells apart a node's several outputs."""

    shape: Shape
    dtype: str
    node: Node
    index: int | str | None = None
    name: str = ""

    def __repr__(self) -> str:
        return f"<symbolic {self.name or 'tensor'} shape={show(self.shape)} dtype={self.dtype}>"

    def __bool__(self) -> bool:
        raise ConfigError("a symbolic tensor has no value", fix="Call the finished model on an array instead.")


def Input(
    shape: tuple[int | None, ...],
    *,
    dtype: str = "float32",
    name: str | None = None,
    batch_size: int | None = None,
) -> SymbolicTensor:
    """The start of a graph: `shape` without the batch, `None` for free sizes.

    `dtype` is what callers send: "uint8" for raw images (put a `Rescaling` behind it), "int64" for tokens.

    Example:
        >>> Input((28, 28, 1), dtype="uint8", name="image")
        <symbolic image shape=(None, 28, 28, 1) dtype=uint8>
    """
    sizes = tuple(shape)
    for at, size in enumerate(sizes):
        if size is not None and (not isinstance(size, int) or isinstance(size, bool) or size < 1):
            raise ConfigError(at=f"Input.shape[{at}]", got=size, expected="a positive int or None")
    return SymbolicTensor((batch_size, *sizes), dtype, Node(None), name=name or "")


def is_symbolic(value: Any) -> bool:
    """Whether this is a place in a graph."""
    return isinstance(value, SymbolicTensor)
