"""Recurrent layers over series of images: an LSTM whose products are convolutions."""

from typing import Any, Unpack

import torch.nn.functional as F
from torch import Tensor

from lepton_ai.core import ShapeError
from lepton_ai.layers.activations import Function, get_activation
from lepton_ai.layers.arguments import positive_int
from lepton_ai.layers.conv import Convolution
from lepton_ai.layers.dtypes import as_float
from lepton_ai.layers.gates import GateOptions, RecurrentKernel
from lepton_ai.layers.sequences import SequenceLayer, SequenceOptions, unroll
from lepton_ai.layers.shapes import Shape, show
from lepton_ai.layers.windows import Window, around, flat, spatial_shape, to_channels_first, to_channels_last

_CONVOLVE = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


class ConvLSTMOptions(GateOptions, SequenceOptions, total=False):
    """What the constructors of convolutional LSTMs take besides their own arguments."""


class ConvLSTM(SequenceLayer, RecurrentKernel, Convolution[Window]):
    """The base of LSTMs over `(B, T, *spatial, C)`; for the options see `SequenceLayer`, `RecurrentKernel` and
    `KernelLayer`. The states keep the size of the convolved inputs: over them the kernel slides with "same"."""

    def __init__(
        self,
        filters: int,
        kernel_size: int | Window,
        strides: int | Window = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: int | Window = 1,
        activation: str | Function | None = "tanh",
        recurrent_activation: str | Function | None = "sigmoid",
        *,
        unit_forget_bias: bool = True,
        **options: Unpack[ConvLSTMOptions],
    ) -> None:
        super().__init__(kernel_size, strides, padding, data_format, dilation_rate, activation, **options)
        self.filters = positive_int(f"{type(self).__name__}.filters", filters)
        self.recurrent_activation = get_activation(recurrent_activation)
        self.unit_forget_bias = unit_forget_bias

    def channels_out(self, channels: int | None) -> int:
        return self.filters

    def build(self, input_shape: Any) -> None:
        if None in input_shape[2:]:
            raise ShapeError(
                f"got an input of shape {show(input_shape)}, expected fixed sizes behind the steps", at=self.label
            )
        channels = self.channels_in(input_shape)
        self.state_shapes(input_shape)
        self.add_kernel((4 * self.filters, channels, *self.kernel_size))
        self.add_recurrent_kernel((4 * self.filters, self.filters, *self.kernel_size))
        self.add_bias((4 * self.filters,))
        if self.bias is not None and self.unit_forget_bias:
            self.bias.data[self.filters : 2 * self.filters] = 1

    def prepare(self, x: Tensor) -> Tensor:
        x = as_float(x, self.weight)
        factors = self.factors(x, (x.shape[0], 1, *x.shape[2:]), self.dropout)
        return x if factors is None else x * factors

    def state_shapes(self, input_shape: Any) -> list[Shape]:
        spatial = spatial_shape(
            self.label,
            (input_shape[0], *input_shape[2:]),
            self.kernel_size,
            self.strides,
            self.padding,
            self.dilation_rate,
        )
        return [(input_shape[0], *spatial, self.filters)] * 2

    def run(self, x: Tensor, states: list[Tensor], padded: Tensor | None) -> tuple[Tensor, list[Tensor]]:
        before = [to_channels_first(state) for state in states]
        keep = self.factors(x, (x.shape[0], 4, *before[0].shape[1:]), self.recurrent_dropout)
        # The inputs of all steps are convolved at once, as rows.
        rows = self.convolve(to_channels_first(x.flatten(0, 1)), self.bias, 1)
        projected = rows.reshape(*x.shape[:2], *rows.shape[1:])

        def step(each: Tensor, old: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
            enter, forget, new, leave = (each + self._recur(old[0], keep)).chunk(4, 1)
            cell = self.recurrent_activation(forget) * old[1] + self.recurrent_activation(enter) * self.activation(new)
            hidden = self.recurrent_activation(leave) * self.activation(cell)
            return hidden, [hidden, cell]

        outputs, after = unroll(step, projected, before, padded)
        return outputs.movedim(2, -1), [to_channels_last(state) for state in after]

    def _recur(self, hidden: Tensor, keep: Tensor | None) -> Tensor:
        """What the state, `(B, filters, *spatial)`, adds to each gate."""
        ones: Any = (1,) * self.rank
        borders = flat(around(hidden, self.kernel_size, ones))
        convolve = _CONVOLVE[self.rank]
        if keep is None:
            result: Tensor = convolve(F.pad(hidden, borders), self.recurrent_weight)
            return result
        # One group for each gate: it sees its own part of the state.
        parts = (hidden.unsqueeze(1) * keep).flatten(1, 2)
        apart: Tensor = convolve(F.pad(parts, borders), self.recurrent_weight, groups=4)
        return apart


class ConvLSTM1D(ConvLSTM[tuple[int]]):
    """A convolutional LSTM (Shi et al., 2015, arXiv:1506.04214) over a series of series.

    Shapes: `(B, T, S, C)` in, `(B, S', filters)` out; `(B, T, S', filters)` with `return_sequences`. `return_state`
    adds the hidden and the cell state. For the options see `ConvLSTM`.

    Raises: ConfigError for impossible sizes; ShapeError naming the layer.

    Example:
        >>> import torch
        >>> ConvLSTM1D(4, 3, padding="same")(torch.ones(2, 5, 8, 3)).shape
        torch.Size([2, 8, 4])
    """

    rank, ndim = 1, 4
    keras_axes = {"weight": (2, 1, 0), "recurrent_weight": (2, 1, 0)}


class ConvLSTM2D(ConvLSTM[tuple[int, int]]):
    """A convolutional LSTM (Shi et al., 2015, arXiv:1506.04214) over a series of images.

    Shapes: `(B, T, H, W, C)` in, `(B, H', W', filters)` out; `(B, T, H', W', filters)` with `return_sequences`.
    `return_state` adds the hidden and the cell state. For the options see `ConvLSTM`.

    Raises: ConfigError for impossible sizes; ShapeError naming the layer.

    Example:
        >>> import torch
        >>> ConvLSTM2D(4, 3, return_sequences=True)(torch.ones(2, 5, 8, 8, 3)).shape
        torch.Size([2, 5, 6, 6, 4])
    """

    rank, ndim = 2, 5
    keras_axes = {"weight": (2, 3, 1, 0), "recurrent_weight": (2, 3, 1, 0)}


class ConvLSTM3D(ConvLSTM[tuple[int, int, int]]):
    """A convolutional LSTM (Shi et al., 2015, arXiv:1506.04214) over a series of volumes.

    Shapes: `(B, T, D, H, W, C)` in, `(B, D', H', W', filters)` out; with `(B, T, ...)` in front for
    `return_sequences`. `return_state` adds the hidden and the cell state. For the options see `ConvLSTM`.

    Raises: ConfigError for impossible sizes; ShapeError naming the layer.

    Example:
        >>> import torch
        >>> ConvLSTM3D(4, 2)(torch.ones(2, 5, 3, 4, 5, 1)).shape
        torch.Size([2, 2, 3, 4, 4])
    """

    rank, ndim = 3, 6
    keras_axes = {"weight": (2, 3, 4, 1, 0), "recurrent_weight": (2, 3, 4, 1, 0)}
