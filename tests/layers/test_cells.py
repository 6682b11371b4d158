from typing import Any, Unpack

import pytest
import torch
from torch import Tensor

from lepton_ai import layers, rng
from lepton_ai.core import ConfigError, ShapeError
from lepton_ai.layers import Layer, LayerOptions
from tests.contracts.layer import Inputs, LayerContract, noise

CELLS = [layers.SimpleRNNCell, layers.LSTMCell, layers.GRUCell]
every = pytest.mark.parametrize("kind", CELLS)
LAYERS = {layers.SimpleRNNCell: layers.SimpleRNN, layers.LSTMCell: layers.LSTM, layers.GRUCell: layers.GRU}


class Leaky(Layer):
    """A cell of a user's own, with one state that is not in a list, and an output of another width."""

    def __init__(self, units: int, leak: float = 0.5, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self.units = units
        self.leak = leak
        self.state_size = units
        self.output_size = 2

    def build(self, input_shape: Any) -> None:
        self.mix = self.add_weight("kernel", (self.units, input_shape[-1]))
        self.out = self.add_weight("readout", (2, self.units))

    def call(self, x: Tensor, states: list[Tensor]) -> tuple[Tensor, Tensor]:
        state = self.leak * states[0] + torch.tanh(x @ self.mix.T)
        return state @ self.out.T, state


class TestRNN(LayerContract):
    def make(self) -> Layer:
        return layers.RNN(Leaky(4), return_sequences=True, return_state=True, go_backwards=True)

    def example(self) -> Inputs:
        return (noise(7, 4, 3),)


class TestStackedRNNCells(LayerContract):
    def make(self) -> Layer:
        cells = [layers.LSTMCell(4, dropout=0.2), Leaky(3), layers.GRUCell(2, reset_after=False)]
        return layers.RNN(layers.StackedRNNCells(cells), return_state=True)

    def example(self) -> Inputs:
        return (noise(7, 4, 3),)


class TestSimpleRNNCell(LayerContract):
    def make(self) -> Layer:
        return layers.RNN(layers.SimpleRNNCell(4, kernel_regularizer="l2"))

    def example(self) -> Inputs:
        return (noise(7, 4, 3),)


class TestLSTMCell(TestSimpleRNNCell):
    def make(self) -> Layer:
        return layers.RNN(layers.LSTMCell(4, unit_forget_bias=False))


class TestGRUCell(TestSimpleRNNCell):
    def make(self) -> Layer:
        return layers.RNN(layers.GRUCell(4), return_sequences=True)


@every
def test_a_cell_alone_takes_steps(kind: Any) -> None:
    """Stepped by hand it computes what its layer does."""
    cell, layer, x = kind(5), LAYERS[kind](5, return_state=True), noise(3, 4, 2)
    output, *final = layer(x)
    states = [torch.zeros(3, 5)] * cell.states
    cell(x[:, 0], states)
    cell.set_weights(layer.get_weights())
    for step in range(4):
        last, states = cell(x[:, step], states)
    for got, wanted in zip((last, *states), (output, *final), strict=True):
        torch.testing.assert_close(got, wanted)
    assert cell.state_size == (5 if cell.states == 1 else [5, 5])


def test_dropout_is_drawn_once_for_a_sequence() -> None:
    cells = [layers.GRUCell(5, dropout=0.5), layers.LSTMCell(4, recurrent_dropout=0.5)]
    layer = layers.RNN(cells, return_sequences=True)
    x = noise(6, 4, 3)
    at_rest = layer(x)

    def run(start: int, stop: int) -> Tensor:
        positions = torch.arange(start, stop, dtype=torch.int32)
        with rng.step_context(rng.StepContext(seed=0, epoch=0, positions=positions)), torch.no_grad():
            answer: Tensor = layer.train()(x[start:stop])
        return answer

    torch.testing.assert_close(run(2, 5), run(0, 6)[2:5])
    assert not torch.allclose(run(0, 6), at_rest)


def test_masks_hold_the_states_of_any_cell() -> None:
    layer = layers.RNN([Leaky(4), layers.LSTMCell(3)], return_state=True)
    x, mask = noise(2, 5, 3), torch.tensor([[True, False, True, False, False], [False, True, True, True, False]])
    for row in range(2):
        together = layer(x, mask=mask)
        alone = layer(x[row : row + 1, mask[row]])
        for got, wanted in zip(together, alone, strict=True):
            torch.testing.assert_close(got[row], wanted[0])


def test_states_may_be_nested_as_keras_has_them() -> None:
    layer = layers.RNN([layers.LSTMCell(4), layers.GRUCell(3)])
    flat = [noise(2, 4, seed=1), noise(2, 4, seed=2), noise(2, 3, seed=3)]
    x = noise(2, 5, 3)
    assert torch.equal(layer(x, initial_state=[flat[:2], flat[2]]), layer(x, initial_state=flat))
    with pytest.raises(ShapeError, match=r"initial_state: got .*, expected 3 of \(2, 4\), \(2, 4\), \(2, 3\)"):
        layer(x, initial_state=flat[:2])


def test_what_is_no_cell() -> None:
    expected = r"RNN\.cell: got .*, expected a cell\. Write LSTMCell\(8\), or a Layer of your own with state_size"
    with pytest.raises(ConfigError, match=expected):
        layers.RNN(layers.Dense(3))
    with pytest.raises(ConfigError, match=r"StackedRNNCells\.cells\[1\]: got 5, expected a cell"):
        layers.RNN([layers.GRUCell(3), 5])
    with pytest.raises(ConfigError, match=r"StackedRNNCells\.cells: got \[\], expected a list of cells"):
        layers.StackedRNNCells([])
    with pytest.raises(ConfigError, match=r"RNN\.stateful: got True"):
        layers.RNN(layers.GRUCell(3), stateful=True)
