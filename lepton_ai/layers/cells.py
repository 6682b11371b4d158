"""Recurrent cells, and the layer that steps any of them through a sequence."""

from collections.abc import Sequence
from typing import Any, Unpack

from torch import Tensor

from lepton_ai.core import ConfigError
from lepton_ai.layers.activations import Function
from lepton_ai.layers.dtypes import as_float
from lepton_ai.layers.gates import GateOptions, Gates, GRUGates, LSTMGates, SimpleGates
from lepton_ai.layers.layer import Layer, LayerOptions
from lepton_ai.layers.masks import takes
from lepton_ai.layers.sequences import SequenceLayer, SequenceOptions, unroll
from lepton_ai.layers.shapes import Shape, is_shape

Factors = tuple[Tensor | None, Tensor | None]
"""Dropout's factors for the inputs and for the state: drawn once for a sequence, None for none."""


class Cell(Gates):
    """The base of our cells: `cell(x, states)` gives the output and the states after a step.

    Shapes: `(B, D)` and a list of `(B, units)` in; `(B, units)` and such a list out.
    """

    ndim = 2

    @property
    def state_size(self) -> int | list[int]:
        """Width of the state, or of each."""
        return self.units if self.states == 1 else [self.units] * self.states

    def draw(self, x: Tensor) -> Factors:
        """Dropout's factors for a sequence of inputs like `x`, `(B, D)`."""
        return self.draw_inputs(x), self.draw_recurrent(x)

    def call(self, x: Tensor, states: Any, factors: Factors | None = None) -> tuple[Tensor, list[Tensor]]:
        x = as_float(x, self.weight)
        inputs, keep = self.draw(x) if factors is None else factors
        before = [states] if isinstance(states, Tensor) else list(states)
        after = self.advance(self.project(x if inputs is None else x * inputs), before, keep)
        return after[0], after

    def compute_output_shape(self, input_shape: Any) -> Any:
        shape = (input_shape if is_shape(input_shape) else input_shape[0])[0], self.units
        return shape, [shape] * self.states


class SimpleRNNCell(Cell, SimpleGates):
    """The step of a `SimpleRNN`; for the options see `Gates` and `KernelLayer`.

    Shapes: `(B, D)` and one state `(B, units)` in; the output `(B, units)` and a list of the state out.

    Raises: ConfigError for impossible settings; ShapeError naming the cell.

    Example:
        >>> import torch
        >>> output, states = SimpleRNNCell(8)(torch.ones(2, 3), [torch.zeros(2, 8)])
        >>> output.shape, len(states)
        (torch.Size([2, 8]), 1)
    """

    def __init__(self, units: int, activation: str | Function | None = "tanh", **options: Unpack[GateOptions]) -> None:
        super().__init__(units, activation, **options)


class LSTMCell(Cell, LSTMGates):
    """The step of an `LSTM`; for the options see `Gates` and `KernelLayer`.

    Shapes: `(B, D)` and the hidden and the cell state, `(B, units)` each, in; the output and a list of both out.

    Raises: ConfigError for impossible settings; ShapeError naming the cell.

    Example:
        >>> import torch
        >>> output, states = LSTMCell(8)(torch.ones(2, 3), [torch.zeros(2, 8)] * 2)
        >>> output.shape, len(states)
        (torch.Size([2, 8]), 2)
    """


class GRUCell(Cell, GRUGates):
    """The step of a `GRU`; for the options see `Gates` and `KernelLayer`.

    Shapes: `(B, D)` and one state `(B, units)` in; the output `(B, units)` and a list of the state out.

    Raises: ConfigError for impossible settings; ShapeError naming the cell.

    Example:
        >>> import torch
        >>> output, states = GRUCell(8)(torch.ones(2, 3), [torch.zeros(2, 8)])
        >>> output.shape, len(states)
        (torch.Size([2, 8]), 1)
    """


class StackedRNNCells(Layer):
    """Cells one upon the other, each with the output of the one below, as one cell.

    Shapes: `(B, D)` and the states of all cells in one list in; the top's output and such a list out.

    Raises: ConfigError for what is no cell.

    Example:
        >>> import torch
        >>> RNN(StackedRNNCells([LSTMCell(8), GRUCell(4)]))(torch.ones(2, 5, 3)).shape
        torch.Size([2, 4])
    """

    ndim = 2

    def __init__(self, cells: Sequence[Any], **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        if not isinstance(cells, list | tuple) or not cells:
            raise ConfigError(at="StackedRNNCells.cells", got=cells, expected="a list of cells")
        self.cells = [check_cell(f"StackedRNNCells.cells[{at}]", cell) for at, cell in enumerate(cells)]

    @property
    def state_size(self) -> list[int]:
        """Widths of the states of all cells, from the bottom up."""
        return [size for cell in self.cells for size in sizes_of(cell)]

    @property
    def output_size(self) -> int:
        """Width of the top's output."""
        return output_of(self.cells[-1])

    def build(self, input_shape: Any) -> None:
        shape = input_shape if is_shape(input_shape) else input_shape[0]
        for at, cell in enumerate(self.cells):
            if not cell.built:
                cell.path = f"{self.path}.cells.{at}"
            cell.ensure_built(shape)
            shape = (shape[0], output_of(cell))

    def draw(self, x: Tensor) -> list[Any]:
        """What each cell draws for a sequence."""
        drawn = []
        for cell in self.cells:
            drawn.append(factors_for(cell, x))
            x = x.new_empty(x.shape[0], output_of(cell))
        return drawn

    def call(self, x: Tensor, states: Any, factors: list[Any] | None = None) -> tuple[Tensor, list[Tensor]]:
        before, after = list(states), []
        for at, cell in enumerate(self.cells):
            count = len(sizes_of(cell))
            own, before = before[:count], before[count:]
            x, new = step_of(cell, x, own, None if factors is None else factors[at])
            after += new
        return x, after

    def compute_output_shape(self, input_shape: Any) -> Any:
        batch = (input_shape if is_shape(input_shape) else input_shape[0])[0]
        return (batch, self.output_size), [(batch, size) for size in self.state_size]


class RNN(SequenceLayer):
    """Steps a cell through a sequence: ours, a list of them, or your own.

    A cell is a `Layer` with `state_size` (an int, or a list for several states) and `call(x, states)`, which takes
    `(B, D)` and a list of `(B, size)`, and gives the output `(B, output_size)` and the states after the step;
    `output_size` is the first state's size unless the cell says otherwise.

    Shapes: `(B, T, D)` in, `(B, output_size)` out; `(B, T, output_size)` with `return_sequences`. `return_state` adds
    all states, one after the other. For masks and the options see `SequenceLayer`. It runs step by step in Python:
    where `LSTM`, `GRU` and `SimpleRNN` do, they are faster.

    Raises: ConfigError for what is no cell; ShapeError naming the layer.

    Example:
        >>> import torch
        >>> RNN(GRUCell(8), return_sequences=True)(torch.ones(2, 5, 3)).shape
        torch.Size([2, 5, 8])
    """

    ndim = 3

    def __init__(self, cell: Any, **options: Unpack[SequenceOptions]) -> None:
        super().__init__(**options)
        self.cell = StackedRNNCells(cell) if isinstance(cell, list | tuple) else check_cell("RNN.cell", cell)

    def build(self, input_shape: Any) -> None:
        if not self.cell.built:
            self.cell.path = f"{self.path}.cell"
        self.cell.ensure_built((input_shape[0], *input_shape[2:]))

    def state_shapes(self, input_shape: Any) -> list[Shape]:
        return [(input_shape[0], size) for size in sizes_of(self.cell)]

    def step_shape(self, input_shape: Any) -> Shape:
        return input_shape[0], output_of(self.cell)

    def run(self, x: Tensor, states: list[Tensor], padded: Tensor | None) -> tuple[Tensor, list[Tensor]]:
        factors = factors_for(self.cell, x[:, 0])
        return unroll(lambda each, before: step_of(self.cell, each, before, factors), x, states, padded)


def check_cell(at: str, cell: Any) -> Layer:
    """A layer that can be stepped.

    Raises: ConfigError.
    """
    if not isinstance(cell, Layer) or getattr(cell, "state_size", None) is None:
        fix = "Write LSTMCell(8), or a Layer of your own with state_size and call(x, states)."
        raise ConfigError(at=at, got=cell, expected="a cell", fix=fix)
    return cell


def sizes_of(cell: Any) -> list[int]:
    """The sizes of a cell's states."""
    size = cell.state_size
    return list(size) if isinstance(size, list | tuple) else [size]


def output_of(cell: Any) -> int:
    """The size of a cell's output."""
    size = getattr(cell, "output_size", None)
    return sizes_of(cell)[0] if size is None else int(size)


def factors_for(cell: Any, x: Tensor) -> Any:
    """What a cell of ours draws once for a sequence; None for a user's."""
    return cell.draw(x) if takes(type(cell), "factors") else None


def step_of(cell: Any, x: Tensor, states: list[Tensor], factors: Any) -> tuple[Tensor, list[Tensor]]:
    """A step of any cell: a user's may give one state that is not in a list."""
    output, after = cell(x, states) if factors is None else cell(x, states, factors=factors)
    return output, [after] if isinstance(after, Tensor) else list(after)
