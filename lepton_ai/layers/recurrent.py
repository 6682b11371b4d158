"""Recurrent layers, on torch's fused kernels."""

import abc
from collections.abc import Sequence
from typing import Any, ClassVar, Unpack

import torch
from torch import Tensor, nn

from lepton_ai.core import ConfigError, DataError, ShapeError
from lepton_ai.layers.activations import Function, get_activation, sigmoid, tanh
from lepton_ai.layers.arguments import fraction, positive_int
from lepton_ai.layers.dtypes import as_float
from lepton_ai.layers.initializers import Initializer, get_initializer
from lepton_ai.layers.kernel import KernelLayer, KernelOptions
from lepton_ai.layers.random import draws_for
from lepton_ai.layers.regularizers import Regularizer, get_regularizer
from lepton_ai.layers.shapes import Shape, show

# Beyond it a sigmoid is exactly 0 or 1 in every float type.
_SHUT = 1e4


class RecurrentOptions(KernelOptions, total=False):
    """What the constructors of recurrent layers take besides their own arguments."""

    recurrent_initializer: str | Initializer
    recurrent_regularizer: str | Regularizer | None
    dropout: float
    recurrent_dropout: float
    return_sequences: bool
    return_state: bool
    go_backwards: bool
    seed: int | None


class RecurrentLayer(KernelLayer, abc.ABC):
    """The base of recurrent layers over `(B, T, D)`.

    Args:
        dropout: share of the inputs zeroed in training, the same ones at each step of a sequence.
        return_sequences: give the output of every step, `(B, T, units)`, not only the last, `(B, units)`.
        return_state: give the final states too.
        go_backwards: read from the last step to the first; the outputs come in that order.

    A `mask`, boolean `(B, T)`, is True for steps that count. They come first: sequences are padded on the right.
    The output is that of the last step that counts; with `return_sequences` the padded steps repeat it. Where
    nothing counts, outputs are 0.
    """

    recurrent_weight: nn.Parameter
    ndim = 3
    fixed_axes = (-1,)
    keras_axes = {"weight": (1, 0), "recurrent_weight": (1, 0)}
    gates: ClassVar[int]
    states: ClassVar[int]

    def __init__(
        self,
        units: int,
        activation: str | Function | None,
        recurrent_activation: str | Function | None,
        *,
        recurrent_initializer: str | Initializer = "orthogonal",
        recurrent_regularizer: str | Regularizer | None = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        seed: int | None = None,
        **options: Unpack[KernelOptions],
    ) -> None:
        super().__init__(**options)
        at = type(self).__name__
        self.units = positive_int(f"{at}.units", units)
        self.activation = get_activation(activation)
        self.recurrent_activation = get_activation(recurrent_activation)
        fused = f"The fused kernel, which makes {at} fast, computes nothing else."
        if self.activation is not tanh:
            raise ConfigError(at=f"{at}.activation", got=activation, expected='"tanh"', fix=fused)
        if self.recurrent_activation is not sigmoid:
            raise ConfigError(
                at=f"{at}.recurrent_activation", got=recurrent_activation, expected='"sigmoid"', fix=fused
            )
        if recurrent_dropout:
            raise ConfigError(at=f"{at}.recurrent_dropout", got=recurrent_dropout, expected="0", fix=fused)
        self.recurrent_dropout = recurrent_dropout
        self.recurrent_initializer = get_initializer(recurrent_initializer)
        self.recurrent_regularizer = get_regularizer(recurrent_regularizer)
        self.dropout = fraction(f"{at}.dropout", dropout)
        self.return_sequences = return_sequences
        self.return_state = return_state
        self.go_backwards = go_backwards
        self.seed = seed

    def build(self, input_shape: Any) -> None:
        width = input_shape[-1]
        if width is None:
            raise ShapeError(f"got an input of shape {show(input_shape)} whose last size is free", at=self.label)
        rows = self.gates * self.units
        self.add_kernel((rows, width))
        self.add_weight(
            "recurrent_weight", (rows, self.units), self.recurrent_initializer, regularizer=self.recurrent_regularizer
        )
        self.add_bias(self.bias_shape())

    @abc.abstractmethod
    def bias_shape(self) -> tuple[int, ...]:
        """The bias as Keras shapes it."""

    @abc.abstractmethod
    def run(self, x: Tensor, states: list[Tensor], padded: Tensor | None) -> tuple[Tensor, list[Tensor]]:
        """Outputs `(B, T, units)` and final states `(B, units)`; steps with True in `padded` do not change them."""

    def call(
        self, x: Tensor, *, mask: Tensor | None = None, initial_state: Tensor | Sequence[Tensor] | None = None
    ) -> Any:
        self.check_shape(tuple(x.shape))  # oneDNN's kernel would read on beyond a width that does not fit
        if not torch.compiler.is_compiling() and x.shape[1] == 0:
            raise ShapeError(
                f"got sequences of 0 steps, shape {show(tuple(x.shape))}, expected one at least", at=self.label
            )
        x = as_float(x, self.weight)
        lengths = None if mask is None else self._lengths(x, mask)
        if self.training and self.dropout:
            keep = draws_for(self, x, self.seed).keep((x.shape[0], 1, x.shape[2]), self.dropout)
            x = x * keep * (1 / (1 - self.dropout))
        if self.go_backwards:
            x = x.flip(1) if lengths is None else _reverse(x, lengths)
        states = self._initial(x, initial_state)
        if lengths is None:
            outputs, states = self.run(x, states, None)
            output = outputs if self.return_sequences else outputs[:, -1]
        else:
            steps = torch.arange(x.shape[1], device=x.device)
            outputs, states = self.run(x, states, steps >= lengths[:, None])
            index = (steps - (x.shape[1] - lengths[:, None])) if self.go_backwards else steps.expand(x.shape[0], -1)
            if not self.return_sequences:
                index = lengths[:, None] - 1
            output = _at(outputs, index, lengths)
            output = output if self.return_sequences else output[:, 0]
        return (output, *states) if self.return_state else output

    def _lengths(self, x: Tensor, mask: Tensor) -> Tensor:
        if mask.shape != x.shape[:2]:
            raise ShapeError(
                f"got a mask of shape {show(tuple(mask.shape))}, expected {show(tuple(x.shape[:2]))}", at=self.label
            )
        mask = mask.bool()
        if not torch.compiler.is_compiling() and bool((mask[:, 1:] & ~mask[:, :-1]).any()):
            raise DataError(
                "got a mask with a step that counts after one that does not",
                at=self.label,
                fix="Pad the sequences on the right.",
            )
        return mask.sum(1)

    def _initial(self, x: Tensor, given: Tensor | Sequence[Tensor] | None) -> list[Tensor]:
        if given is None:
            return [x.new_zeros(x.shape[0], self.units) for _ in range(self.states)]
        states = [given] if isinstance(given, Tensor) else list(given)
        expected = (x.shape[0], self.units)
        if len(states) != self.states or any(state.shape != expected for state in states):
            raise ShapeError(
                at=f"{self.label}.initial_state",
                got=[tuple(state.shape) for state in states],
                expected=f"{self.states} of {show(expected)}",
            )
        return states

    def compute_output_shape(self, input_shape: Any) -> Any:
        batch, steps, _ = input_shape
        output: Shape = (batch, steps, self.units) if self.return_sequences else (batch, self.units)
        return (output, *[(batch, self.units)] * self.states) if self.return_state else output


def _reverse(x: Tensor, lengths: Tensor) -> Tensor:
    """Each row's first `lengths` steps in reverse; the padding stays."""
    steps = torch.arange(x.shape[1], device=x.device)
    index = torch.where(steps < lengths[:, None], lengths[:, None] - 1 - steps, steps)
    return x.gather(1, index[:, :, None].expand(-1, -1, x.shape[2]))


def _at(outputs: Tensor, index: Tensor, lengths: Tensor) -> Tensor:
    """Outputs `(B, T, units)` at the steps `index` `(B, N)`: 0 before the first, the last that counts beyond it."""
    inside = torch.minimum(index, lengths[:, None] - 1).clamp(min=0)
    picked = outputs.gather(1, inside[:, :, None].expand(-1, -1, outputs.shape[2]))
    nothing = (index < 0) | (lengths == 0)[:, None]
    return picked.masked_fill(nothing[:, :, None], 0)


class LSTM(RecurrentLayer):
    """Long short-term memory (Hochreiter and Schmidhuber, 1997).

    Shapes: `(B, T, D)` in, `(B, units)` out; `(B, T, units)` with `return_sequences`. `return_state` adds the
    hidden and the cell state, `(B, units)` each, as `initial_state` takes them. For masks and the options see
    `RecurrentLayer`. Keras' gate order is kept: input, forget, cell, output.

    Raises: ConfigError for settings that the fused kernel does not know; ShapeError; DataError for a mask that is
        not padded on the right.

    Example:
        >>> LSTM(8)(torch.ones(2, 5, 3)).shape
        torch.Size([2, 8])
    """

    gates = 4
    states = 2

    def __init__(
        self,
        units: int,
        activation: str | Function | None = "tanh",
        recurrent_activation: str | Function | None = "sigmoid",
        *,
        unit_forget_bias: bool = True,
        **options: Unpack[RecurrentOptions],
    ) -> None:
        super().__init__(units, activation, recurrent_activation, **options)
        self.unit_forget_bias = unit_forget_bias

    def build(self, input_shape: Any) -> None:
        super().build(input_shape)
        if self.bias is not None and self.unit_forget_bias:
            self.bias.data[self.units : 2 * self.units] = 1

    def bias_shape(self) -> tuple[int, ...]:
        return (4 * self.units,)

    def run(self, x: Tensor, states: list[Tensor], padded: Tensor | None) -> tuple[Tensor, list[Tensor]]:
        weight: Tensor = self.weight
        if padded is not None and self.return_state:
            # One more input, 1 at padded steps, shuts the input gate and opens the forget gate: the cell stays.
            x = torch.cat((x, padded[:, :, None].to(x.dtype)), 2)
            switch = weight.new_zeros(4, self.units)
            switch[0], switch[1] = -_SHUT, _SHUT
            weight = torch.cat((weight, switch.view(-1, 1)), 1)
        parameters: list[Tensor] = [weight, self.recurrent_weight]
        if self.bias is not None:
            parameters += [self.bias, torch.zeros_like(self.bias)]
        hidden, cell = (state.unsqueeze(0) for state in states)
        train = torch.is_grad_enabled()  # cuDNN computes gradients in this mode only; without dropout it is no other
        outputs, hidden, cell = torch.lstm(
            x, (hidden, cell), parameters, self.bias is not None, 1, 0.0, train, False, True
        )
        hidden, cell = hidden[0], cell[0]
        if padded is not None and self.return_state:
            hidden = _last_state(outputs, states[0], padded)
        return outputs, [hidden, cell]


class GRU(RecurrentLayer):
    """Gated recurrent unit (Cho et al., 2014), with the reset gate after the product, as cuDNN and Keras have it.

    Shapes: `(B, T, D)` in, `(B, units)` out; `(B, T, units)` with `return_sequences`. `return_state` adds the
    state, `(B, units)`. For masks and the options see `RecurrentLayer`. The weights are kept in torch's gate
    order (reset, update, new); `get_weights` and `set_weights` speak Keras' (update, reset, new).

    Raises: ConfigError for settings that the fused kernel does not know; ShapeError; DataError for a mask that is
        not padded on the right.

    Example:
        >>> GRU(8, return_sequences=True)(torch.ones(2, 5, 3)).shape
        torch.Size([2, 5, 8])
    """

    gates = 3
    states = 1

    def __init__(
        self,
        units: int,
        activation: str | Function | None = "tanh",
        recurrent_activation: str | Function | None = "sigmoid",
        *,
        reset_after: bool = True,
        **options: Unpack[RecurrentOptions],
    ) -> None:
        super().__init__(units, activation, recurrent_activation, **options)
        if not reset_after:
            raise ConfigError(
                at="GRU.reset_after", got=reset_after, expected="True", fix="The fused kernel computes nothing else."
            )
        self.reset_after = reset_after

    def bias_shape(self) -> tuple[int, ...]:
        return (2, 3 * self.units)

    def run(self, x: Tensor, states: list[Tensor], padded: Tensor | None) -> tuple[Tensor, list[Tensor]]:
        parameters: list[Tensor] = [self.weight, self.recurrent_weight]
        if self.bias is not None:
            parameters += [self.bias[0], self.bias[1]]
        outputs, hidden = torch.gru(
            x, states[0].unsqueeze(0), parameters, self.bias is not None, 1, 0.0, torch.is_grad_enabled(), False, True
        )
        final = hidden[0] if padded is None else _last_state(outputs, states[0], padded)
        return outputs, [final]

    def _to_keras(self, name: str, value: Tensor) -> Tensor:
        return super()._to_keras(name, _swap_first_gates(value, 1 if name == "bias" else 0))

    def _from_keras(self, name: str, array: Tensor) -> Tensor:
        return _swap_first_gates(super()._from_keras(name, array), 1 if name == "bias" else 0)


def _last_state(outputs: Tensor, initial: Tensor, padded: Tensor) -> Tensor:
    """The hidden state after the last step that counts: its output, or the initial state if there is none."""
    lengths = (~padded).sum(1)
    last = _at(outputs, lengths[:, None] - 1, lengths)[:, 0]
    return torch.where((lengths > 0)[:, None], last, initial)


def _swap_first_gates(value: Tensor, axis: int) -> Tensor:
    first, second, third = value.chunk(3, axis)
    return torch.cat((second, first, third), axis)
