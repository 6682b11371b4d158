"""Recurrent layers, on torch's fused kernels wherever these compute what was asked for."""

from typing import Any, Unpack

import torch
from torch import Tensor

from lepton_ai.layers.activations import Function, relu, sigmoid, tanh
from lepton_ai.layers.dtypes import as_float
from lepton_ai.layers.gates import GateOptions, Gates, GRUGates, LSTMGates, SimpleGates
from lepton_ai.layers.sequences import SequenceLayer, SequenceOptions, take, unroll
from lepton_ai.layers.shapes import Shape

# Beyond it a sigmoid is exactly 0 or 1 in every float type.
_SHUT = 1e4


class RecurrentOptions(GateOptions, SequenceOptions, total=False):
    """What the constructors of recurrent layers take besides their own arguments."""


class RecurrentLayer(SequenceLayer, Gates):
    """The base of recurrent layers over `(B, T, D)`; for the options see `SequenceLayer`, `Gates` and `KernelLayer`.

    The fused kernels know Keras' default activations and no recurrent dropout; with others a layer steps through the
    sequence in Python, several times slower.
    """

    ndim = 3

    def state_shapes(self, input_shape: Any) -> list[Shape]:
        return [(input_shape[0], self.units)] * self.states

    def prepare(self, x: Tensor) -> Tensor:
        x = as_float(x, self.weight)
        factors = self.draw_inputs(x)
        return x if factors is None else x * factors.unsqueeze(1)

    @property
    def fusible(self) -> bool:
        """Whether the fused kernel computes what this layer is to compute."""
        raise NotImplementedError

    def fused(self, x: Tensor, states: list[Tensor], padded: Tensor | None) -> tuple[Tensor, list[Tensor]]:
        """As `run`, by the fused kernel."""
        raise NotImplementedError

    def run(self, x: Tensor, states: list[Tensor], padded: Tensor | None) -> tuple[Tensor, list[Tensor]]:
        if self.fusible and not (self.training and self.recurrent_dropout):
            return self.fused(x, states, padded)
        keep = self.draw_recurrent(x)

        def step(projected: Tensor, before: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
            after = self.advance(projected, before, keep)
            return after[0], after

        return unroll(step, self.project(x), states, padded)


class SimpleRNN(RecurrentLayer, SimpleGates):
    """The plain recurrent layer (Elman, 1990): `activation(x @ kernel + h @ recurrent_kernel + bias)`.

    Shapes: `(B, T, D)` in, `(B, units)` out; `(B, T, units)` with `return_sequences`. `return_state` adds the
    state, `(B, units)`. For masks and the options see `SequenceLayer` and `Gates`.

    Raises: ConfigError for impossible settings; ShapeError naming the layer.

    Example:
        >>> SimpleRNN(8)(torch.ones(2, 5, 3)).shape
        torch.Size([2, 8])
    """

    def __init__(
        self, units: int, activation: str | Function | None = "tanh", **options: Unpack[RecurrentOptions]
    ) -> None:
        super().__init__(units, activation, **options)

    @property
    def fusible(self) -> bool:
        # This kernel, unlike the others, is taken apart step by step in export, and the time axis would be fixed.
        return self.activation in (tanh, relu) and not torch.compiler.is_exporting()

    def fused(self, x: Tensor, states: list[Tensor], padded: Tensor | None) -> tuple[Tensor, list[Tensor]]:
        parameters: list[Tensor] = [self.weight, self.recurrent_weight]
        if self.bias is not None:
            parameters += [self.bias, torch.zeros_like(self.bias)]
        kernel = torch.rnn_tanh if self.activation is tanh else torch.rnn_relu
        train = torch.is_grad_enabled()  # cuDNN computes gradients in this mode only; without dropout it is no other
        outputs, hidden = kernel(
            x, states[0].unsqueeze(0), parameters, self.bias is not None, 1, 0.0, train, False, True
        )
        return outputs, [hidden[0] if padded is None else _last_state(outputs, states[0], padded)]


class LSTM(RecurrentLayer, LSTMGates):
    """Long short-term memory (Hochreiter and Schmidhuber, 1997).

    Shapes: `(B, T, D)` in, `(B, units)` out; `(B, T, units)` with `return_sequences`. `return_state` adds the
    hidden and the cell state, `(B, units)` each, as `initial_state` takes them. For masks and the options see
    `SequenceLayer` and `Gates`. Keras' gate order is kept: input, forget, cell, output.

    Raises: ConfigError for impossible settings; ShapeError naming the layer.

    Example:
        >>> LSTM(8)(torch.ones(2, 5, 3)).shape
        torch.Size([2, 8])
    """

    def __init__(
        self,
        units: int,
        activation: str | Function | None = "tanh",
        recurrent_activation: str | Function | None = "sigmoid",
        *,
        unit_forget_bias: bool = True,
        **options: Unpack[RecurrentOptions],
    ) -> None:
        super().__init__(units, activation, recurrent_activation, unit_forget_bias=unit_forget_bias, **options)

    @property
    def fusible(self) -> bool:
        return self.activation is tanh and self.recurrent_activation is sigmoid

    def fused(self, x: Tensor, states: list[Tensor], padded: Tensor | None) -> tuple[Tensor, list[Tensor]]:
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


class GRU(RecurrentLayer, GRUGates):
    """Gated recurrent unit (Cho et al., 2014), with the reset gate after the product, as cuDNN and Keras have it;
    `reset_after=False` puts it before.

    Shapes: `(B, T, D)` in, `(B, units)` out; `(B, T, units)` with `return_sequences`. `return_state` adds the
    state, `(B, units)`. For masks and the options see `SequenceLayer` and `Gates`. The weights are kept in torch's
    gate order (reset, update, new); `get_weights` and `set_weights` speak Keras' (update, reset, new).

    Raises: ConfigError for impossible settings; ShapeError naming the layer.

    Example:
        >>> GRU(8, return_sequences=True)(torch.ones(2, 5, 3)).shape
        torch.Size([2, 5, 8])
    """

    def __init__(
        self,
        units: int,
        activation: str | Function | None = "tanh",
        recurrent_activation: str | Function | None = "sigmoid",
        *,
        reset_after: bool = True,
        **options: Unpack[RecurrentOptions],
    ) -> None:
        super().__init__(units, activation, recurrent_activation, reset_after=reset_after, **options)

    @property
    def fusible(self) -> bool:
        return self.activation is tanh and self.recurrent_activation is sigmoid and self.reset_after

    def fused(self, x: Tensor, states: list[Tensor], padded: Tensor | None) -> tuple[Tensor, list[Tensor]]:
        parameters: list[Tensor] = [self.weight, self.recurrent_weight]
        if self.bias is not None:
            parameters += [self.bias[0], self.bias[1]]
        outputs, hidden = torch.gru(
            x, states[0].unsqueeze(0), parameters, self.bias is not None, 1, 0.0, torch.is_grad_enabled(), False, True
        )
        return outputs, [hidden[0] if padded is None else _last_state(outputs, states[0], padded)]


def _last_state(outputs: Tensor, initial: Tensor, padded: Tensor) -> Tensor:
    """The hidden state after the last step that counts: its output, or the initial state if there is none."""
    lengths = (~padded).sum(1, keepdim=True)
    last = take(outputs, (lengths - 1).clamp(min=0))[:, 0]
    return torch.where(lengths > 0, last, initial)
