"""Stages: preprocessing of strings and categories, for which torch has no tensors. In front of the torch layers."""

import abc
from typing import Any, NamedTuple, Protocol, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lepton_ai.core import ConfigError, DataError, UsageError
from lepton_ai.layers.layer import Layer
from lepton_ai.layers.shapes import Shape, is_shape, leaves, map_leaves, show
from lepton_ai.layers.symbolic import Node, SymbolicTensor, is_symbolic
from lepton_ai.layers.texts import Texts, as_texts

Array = npt.NDArray[Any]


class Value(NamedTuple):
    """A value in a graph: its name, and its kind with the batch's size free."""

    name: str
    dtype: str
    shape: Shape

    @property
    def single(self) -> bool:
        """Whether its last axis holds one value, which "one_hot" puts its own axis in place of."""
        return len(self.shape) > 1 and self.shape[-1] == 1


class GraphBuilder(Protocol):
    """What a stage writes its part of a graph with. Values go by name; all operators are onnxruntime's own."""

    def node(self, op: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """One operator with one output, whose name this is."""

    def constant(self, values: Any, dtype: Any = None) -> str:
        """Numbers or strings that are part of the graph."""

    def join(self, matrix: str) -> str:
        """The strings (N, W) of each row put together: (N,)."""

    def refuse(self, bad: str, reason: str, value: str) -> str:
        """`value`, unless one of `bad` (booleans) is true: then the graph fails with `reason`."""


class Stage(Layer, abc.ABC):
    """A layer without weights that computes in numpy while training and in onnxruntime's operators once exported.

    Both must give the same for all input; the exporter proves it on samples, the tests on odd ones. Stages may follow
    inputs and other stages only. Write `compute`, `onnx`, `compute_output_shape`, and set `output_dtype`; what `adapt`
    learns must be an argument of the constructor too, since it is stored with the config.

    Strings are numpy arrays of `object` that hold `str`. Called on data, a stage gives a tensor.
    """

    output_dtype: str = "int64"  # or "float32", or "string"
    takes: tuple[str, ...] = ("string",)  # dtypes of the inputs

    def __init__(self, *, name: str | None = None, trainable: bool = True, **unknown: Any) -> None:
        super().__init__(name=name, trainable=trainable, **unknown)

    @abc.abstractmethod
    def compute(self, *arrays: Array) -> Array:
        """The rows of `arrays`, whose first size is shared, as numbers (or strings).

        Raises: DataError naming the row and the value that it cannot take.
        """

    @abc.abstractmethod
    def onnx(self, builder: GraphBuilder, *inputs: Value) -> str:
        """The same in operators: the name of the output. No row at all must be answered too."""

    def examples(self) -> list[str]:
        """Strings that make sense to this stage, for trials without data."""
        return ["", "a", "Some words, and more."]

    def ready(self) -> None:
        """Raises: UsageError before `adapt`, where that is needed."""

    def check_dtype(self, dtype: str, at: str = "") -> None:
        """Raises: ConfigError for a dtype that this stage does not take."""
        if dtype not in self.takes:
            raise ConfigError(
                f"got {dtype}, expected {' or '.join(self.takes)}",
                at=at or self.label,
                fix='Declare it: Input((), dtype="string").' if "string" in self.takes else "",
            )

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """On symbolic tensors a node of the graph; on data (strings, arrays, tensors) a tensor, or strings."""
        sources = list(leaves(args, is_symbolic))
        if sources:
            return self._call_symbolic(args, kwargs)
        if not args:
            raise UsageError("got no inputs by position", at=self.label, fix="Write stage(x), not stage(inputs=x).")
        several = args[0] if len(args) == 1 and self.several and isinstance(args[0], list | tuple) else args
        return as_tensor(self.compute(*(self.as_rows(each) for each in several)))

    several = False  # whether it takes a list of inputs

    def as_rows(self, values: Any) -> Array:
        """Data as this stage takes it: strings, or whole numbers where it takes those.

        Raises: DataError for anything else, with the row.
        """
        if isinstance(values, Tensor):
            values = values.detach().cpu().numpy()
        if "int64" in self.takes and (array := _whole(values)) is not None:
            return array
        if isinstance(values, str):
            raise DataError("one text alone", at=self.label, got=values, fix="Give a list of texts: [text].")
        texts: Texts = as_texts(values, self.label, missing=self.accepts_missing)
        return texts

    def _call_symbolic(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        self.ready()
        for source in leaves(args, is_symbolic):
            below = source.node.layer
            if below is not None and not isinstance(below, Stage):
                raise ConfigError(
                    f"stands behind {below.label}, which torch computes",
                    at=self.label,
                    fix="Stages come first: right behind an Input, or behind other stages.",
                )
            self.check_dtype(source.dtype)
        shapes = [map_leaves(lambda tensor: tensor.shape, arg, is_symbolic) for arg in args]
        shape = shapes[0] if len(shapes) == 1 else tuple(shapes)
        self.check_shape(shape)
        return SymbolicTensor(self.compute_output_shape(shape), self.output_dtype, Node(self, args, kwargs))

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        made = super().from_config(config)
        made.built = True
        return made


def as_tensor(array: Array) -> Any:
    """Numbers as a tensor; strings stay an array."""
    return array if array.dtype.kind == "O" else torch.from_numpy(np.ascontiguousarray(array))


def one_value(shape: Any, at: str) -> Shape:
    """The shape of an input with one value for each row, (B,) or (B, 1).

    Raises: ConfigError.
    """
    if not is_shape(shape) or not (len(shape) == 1 or (len(shape) == 2 and shape[1] == 1)):
        got = show(shape) if is_shape(shape) else str(shape)
        raise ConfigError(f"got an input of shape {got}, expected one value for each row: (B,) or (B, 1)", at=at)
    return tuple(shape)


def _whole(values: Any) -> Array | None:
    try:
        array = np.asarray(values)
    except ValueError:
        return None
    return array.astype(np.int64) if array.dtype.kind in "iub" else None
