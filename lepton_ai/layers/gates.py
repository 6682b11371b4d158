"""The arithmetic of recurrent cells: what one step makes of its input and of the states before it."""

import abc
from typing import Any, ClassVar, Unpack

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lepton_ai.core import ShapeError
from lepton_ai.layers.activations import Function, get_activation
from lepton_ai.layers.arguments import fraction, positive_int
from lepton_ai.layers.constraints import Constraint, get_constraint
from lepton_ai.layers.initializers import Initializer, get_initializer
from lepton_ai.layers.kernel import KernelLayer, KernelOptions
from lepton_ai.layers.random import draws_for
from lepton_ai.layers.regularizers import Regularizer, get_regularizer
from lepton_ai.layers.shapes import is_shape, show


class GateOptions(KernelOptions, total=False):
    """What the constructors of recurrent cells take besides their own arguments."""

    recurrent_initializer: str | Initializer
    recurrent_regularizer: str | Regularizer | None
    recurrent_constraint: str | Constraint | None
    dropout: float
    recurrent_dropout: float
    seed: int | None


class RecurrentKernel(KernelLayer):
    """The base of layers with a second kernel, `recurrent_weight`, for what comes from the step before.

    Args:
        dropout: share of the inputs zeroed in training, the same ones at each step of a sequence.
        recurrent_dropout: share of the state that each gate does not see in training, the same at each step.
    """

    recurrent_weight: nn.Parameter

    def __init__(
        self,
        *step: Any,  # what another base takes
        recurrent_initializer: str | Initializer = "orthogonal",
        recurrent_regularizer: str | Regularizer | None = None,
        recurrent_constraint: str | Constraint | None = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: int | None = None,
        **options: Unpack[KernelOptions],
    ) -> None:
        super().__init__(*step, **options)
        at = type(self).__name__
        self.recurrent_initializer = get_initializer(recurrent_initializer)
        self.recurrent_regularizer = get_regularizer(recurrent_regularizer)
        self.recurrent_constraint = get_constraint(recurrent_constraint)
        self.dropout = fraction(f"{at}.dropout", dropout)
        self.recurrent_dropout = fraction(f"{at}.recurrent_dropout", recurrent_dropout)
        self.seed = seed

    def add_recurrent_kernel(self, shape: tuple[int, ...]) -> None:
        """Make `recurrent_weight`, (out, in, *window) in `shape`."""
        self.add_weight(
            "recurrent_weight",
            shape,
            self.recurrent_initializer,
            regularizer=self.recurrent_regularizer,
            constraint=self.recurrent_constraint,
        )

    def factors(self, x: Tensor, shape: tuple[int, ...], rate: float) -> Tensor | None:
        """In training, what to multiply with to drop a share `rate` of `shape`, which begins with the batch of `x`."""
        if not self.training or not rate:
            return None
        return draws_for(self, x, self.seed).keep(shape, rate).to(x.dtype) * (1 / (1 - rate))


class Gates(RecurrentKernel, abc.ABC):
    """The base of steps over `(B, D)` with states `(B, units)`; for the options see `RecurrentKernel`."""

    fixed_axes = (-1,)
    keras_axes = {"weight": (1, 0), "recurrent_weight": (1, 0)}
    gates: ClassVar[int]
    states: ClassVar[int]

    def __init__(self, units: int, activation: str | Function | None, **options: Unpack[GateOptions]) -> None:
        super().__init__(**options)
        self.units = positive_int(f"{type(self).__name__}.units", units)
        self.activation = get_activation(activation)

    def build(self, input_shape: Any) -> None:
        width = (input_shape if is_shape(input_shape) else input_shape[0])[-1]
        if width is None:
            raise ShapeError(f"got an input of shape {show(input_shape)} whose last size is free", at=self.label)
        rows = self.gates * self.units
        self.add_kernel((rows, width))
        self.add_recurrent_kernel((rows, self.units))
        self.add_bias(self.bias_shape())

    def bias_shape(self) -> tuple[int, ...]:
        """The bias as Keras shapes it."""
        return (self.gates * self.units,)

    def project(self, x: Tensor) -> Tensor:
        """What the input, `(..., D)`, adds to each gate, `(..., gates * units)`."""
        return F.linear(x, self.weight, self.bias)

    @abc.abstractmethod
    def advance(self, projected: Tensor, states: list[Tensor], keep: Tensor | None) -> list[Tensor]:
        """The states after a step, the output first; `keep` is as `draw_recurrent` gives it."""

    def recur(self, hidden: Tensor, keep: Tensor | None, bias: Tensor | None = None) -> Tensor:
        """What the state adds to each gate."""
        if keep is None:
            return F.linear(hidden, self.recurrent_weight, bias)
        kernels = self.recurrent_weight.chunk(self.gates)
        parts = [F.linear(hidden * keep[:, gate], kernel) for gate, kernel in enumerate(kernels)]
        return torch.cat(parts, 1) if bias is None else torch.cat(parts, 1) + bias

    def draw_inputs(self, x: Tensor) -> Tensor | None:
        """In training, factors `(B, D)` for the inputs, of which `x` has the batch and the width."""
        return self.factors(x, (x.shape[0], x.shape[-1]), self.dropout)

    def draw_recurrent(self, x: Tensor) -> Tensor | None:
        """In training, factors `(B, gates, units)` for the state."""
        return self.factors(x, (x.shape[0], self.gates, self.units), self.recurrent_dropout)


class SimpleGates(Gates):
    """`activation(x @ kernel + h @ recurrent_kernel + bias)`: output and state are one (Elman, 1990)."""

    gates = 1
    states = 1

    def advance(self, projected: Tensor, states: list[Tensor], keep: Tensor | None) -> list[Tensor]:
        return [self.activation(projected + self.recur(states[0], keep))]


class LSTMGates(Gates):
    """Input, forget, cell and output gate, in this order, over a hidden and a cell state."""

    gates = 4
    states = 2

    def __init__(
        self,
        units: int,
        activation: str | Function | None = "tanh",
        recurrent_activation: str | Function | None = "sigmoid",
        *,
        unit_forget_bias: bool = True,
        **options: Unpack[GateOptions],
    ) -> None:
        super().__init__(units, activation, **options)
        self.recurrent_activation = get_activation(recurrent_activation)
        self.unit_forget_bias = unit_forget_bias

    def build(self, input_shape: Any) -> None:
        super().build(input_shape)
        if self.bias is not None and self.unit_forget_bias:
            self.bias.data[self.units : 2 * self.units] = 1

    def advance(self, projected: Tensor, states: list[Tensor], keep: Tensor | None) -> list[Tensor]:
        enter, forget, new, leave = (projected + self.recur(states[0], keep)).chunk(4, 1)
        cell = self.recurrent_activation(forget) * states[1] + self.recurrent_activation(enter) * self.activation(new)
        return [self.recurrent_activation(leave) * self.activation(cell), cell]


class GRUGates(Gates):
    """Reset, update and new gate: torch's order, in which the weights are kept. `get_weights` and `set_weights`
    speak Keras' (update, reset, new)."""

    gates = 3
    states = 1

    def __init__(
        self,
        units: int,
        activation: str | Function | None = "tanh",
        recurrent_activation: str | Function | None = "sigmoid",
        *,
        reset_after: bool = True,
        **options: Unpack[GateOptions],
    ) -> None:
        super().__init__(units, activation, **options)
        self.recurrent_activation = get_activation(recurrent_activation)
        self.reset_after = reset_after

    def bias_shape(self) -> tuple[int, ...]:
        return (2, 3 * self.units) if self.reset_after else (3 * self.units,)

    def project(self, x: Tensor) -> Tensor:
        bias = self.bias[0] if self.bias is not None and self.reset_after else self.bias
        return F.linear(x, self.weight, bias)

    def advance(self, projected: Tensor, states: list[Tensor], keep: Tensor | None) -> list[Tensor]:
        hidden = states[0]
        bias = self.bias[1] if self.bias is not None and self.reset_after else None
        # In thirds, not slices: torch 2.13 cannot export the loop over steps with these in it.
        reset_x, update_x, new_x = projected.chunk(3, 1)
        reset_h, update_h, new_h = self.recur(hidden, keep, bias).chunk(3, 1)
        reset = self.recurrent_activation(reset_x + reset_h)
        update = self.recurrent_activation(update_x + update_h)
        if self.reset_after:
            inner = reset * new_h
        else:
            seen = hidden if keep is None else hidden * keep[:, 2]
            inner = F.linear(reset * seen, self.recurrent_weight.chunk(3)[2])
        return [update * hidden + (1 - update) * self.activation(new_x + inner)]

    def _to_keras(self, name: str, value: Tensor) -> Tensor:
        return super()._to_keras(name, _swap_first_gates(value, self._gate_axis(name)))

    def _from_keras(self, name: str, array: Tensor) -> Tensor:
        return _swap_first_gates(super()._from_keras(name, array), self._gate_axis(name))

    def _gate_axis(self, name: str) -> int:
        return 1 if name == "bias" and self.reset_after else 0


def _swap_first_gates(value: Tensor, axis: int) -> Tensor:
    first, second, third = value.chunk(3, axis)
    return torch.cat((second, first, third), axis)
