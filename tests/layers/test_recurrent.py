from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

from lepton_ai import layers, rng
from lepton_ai.core import ConfigError, DataError, ShapeError
from lepton_ai.layers import Layer
from tests.contracts.layer import Inputs, LayerContract, noise

both = pytest.mark.parametrize("kind", [layers.LSTM, layers.GRU])


class _OnSeries(LayerContract):
    def example(self) -> Inputs:
        return (noise(7, 4, 3),)


class TestLSTM(_OnSeries):
    def make(self) -> Layer:
        return layers.LSTM(5, return_sequences=True, return_state=True, go_backwards=True, kernel_regularizer="l2")


class TestGRU(_OnSeries):
    def make(self) -> Layer:
        return layers.GRU(5, dropout=0.2, recurrent_regularizer="l1")


def mask_of(lengths: list[int], steps: int) -> torch.Tensor:
    return torch.arange(steps) < torch.tensor(lengths)[:, None]


@both
@pytest.mark.parametrize("backwards", [False, True])
def test_padding_changes_nothing(kind: Any, backwards: bool) -> None:
    """Each padded row gives what it gives alone without its padding."""
    layer = kind(5, return_sequences=True, return_state=True, go_backwards=backwards)
    x = noise(4, 6, 3)
    lengths = [6, 1, 4, 3]
    outputs, *states = layer(x, mask=mask_of(lengths, 6))
    garbled = layer(x + 1000 * ~mask_of(lengths, 6)[:, :, None], mask=mask_of(lengths, 6))
    for got, wanted in zip(garbled, (outputs, *states), strict=True):
        torch.testing.assert_close(got, wanted)
    for row, length in enumerate(lengths):
        alone, *alone_states = layer(x[row : row + 1, :length])
        here = outputs[row, 6 - length :] if backwards else outputs[row, :length]
        torch.testing.assert_close(here, alone[0])
        torch.testing.assert_close(outputs[row, -1], alone[0, -1])
        for state, alone_state in zip(states, alone_states, strict=True):
            torch.testing.assert_close(state[row], alone_state[0])


@both
def test_an_empty_row_keeps_its_initial_state(kind: Any) -> None:
    layer = kind(5, return_state=True)
    start = [noise(2, 5, seed=1), noise(2, 5, seed=2)][: layer.states]
    output, *states = layer(noise(2, 4, 3), mask=mask_of([0, 4], 4), initial_state=start)
    assert not output[0].any() and output[1].any()
    for state, initial in zip(states, start, strict=True):
        assert torch.equal(state[0], initial[0])


@both
def test_masked_gradients_do_not_reach_the_padding(kind: Any) -> None:
    layer = kind(5, return_state=True)
    x = noise(3, 4, 3).requires_grad_()
    sum(part.sum() for part in layer(x, mask=mask_of([4, 2, 1], 4))).backward()
    assert x.grad is not None and x.grad.isfinite().all()
    assert torch.equal(x.grad.abs().sum(-1) > 0, mask_of([4, 2, 1], 4))


@both
@pytest.mark.filterwarnings("ignore")  # torch's exporter warns of itself
def test_its_graph_has_free_batch_and_time_and_masks(kind: Any, tmp_path: Path) -> None:
    """onnxruntime against torch: gate orders, padding and states survive the translation."""

    class Masked(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = kind(5, return_sequences=True, return_state=True, go_backwards=True)

        def forward(self, x: torch.Tensor, mask: torch.Tensor) -> Any:
            return self.layer(x, mask=mask)

    module = Masked().eval()
    example = noise(2, 6, 3), mask_of([6, 4], 6)
    module(*example)
    free = {0: torch.export.Dim("batch"), 1: torch.export.Dim("time")}
    # torch 2.13 swaps the kernel for its exporter but not what it remembers of it: a second export fixes the time.
    for operator in (torch.ops.aten.lstm.input, torch.ops.aten.gru.input):
        operator._dispatch_cache.clear()
    with torch.no_grad():
        program = torch.onnx.export(module, example, dynamo=True, dynamic_shapes=(free, free), verbose=False)
    assert program is not None
    program.save(str(tmp_path / "graph.onnx"))
    session = onnxruntime.InferenceSession(str(tmp_path / "graph.onnx"), providers=["CPUExecutionProvider"])
    assert kind.__name__ in [node.op_type for node in program.model.graph]
    for lengths, steps in (([3], 3), ([9, 0, 5], 9)):
        x, mask = noise(len(lengths), steps, 3), mask_of(lengths, steps)
        names = [given.name for given in session.get_inputs()]
        answers = session.run(None, dict(zip(names, (x.numpy(), mask.numpy()), strict=True)))
        for got, wanted in zip(answers, module(x, mask), strict=True):
            np.testing.assert_allclose(got, wanted.detach(), rtol=1e-5, atol=1e-6)


def test_forget_bias_starts_at_one() -> None:
    layer = layers.LSTM(2)
    layer(noise(1, 3, 3))
    assert layer.bias is not None and layer.bias.tolist() == [0, 0, 1, 1, 0, 0, 0, 0]
    plain = layers.LSTM(2, unit_forget_bias=False)
    plain(noise(1, 3, 3))
    assert plain.bias is not None and not plain.bias.any()


@both
def test_dropout_zeroes_inputs_for_a_whole_sequence(kind: Any) -> None:
    layer = kind(5, dropout=0.5)
    x = noise(6, 4, 3)
    at_rest = layer(x)
    layer.train()

    def run(start: int, stop: int) -> torch.Tensor:
        positions = torch.arange(start, stop, dtype=torch.int32)
        with rng.step_context(rng.StepContext(seed=0, epoch=0, positions=positions)), torch.no_grad():
            answer: torch.Tensor = layer(x[start:stop])
        return answer

    torch.testing.assert_close(run(2, 5), run(0, 6)[2:5])
    assert not torch.allclose(run(0, 6), at_rest)


def test_keras_gate_order_of_the_gru() -> None:
    layer = layers.GRU(2)
    layer(noise(1, 3, 4))
    kernel = np.repeat([[0.0, 1.0, 2.0]], 2, 1).reshape(1, 6).repeat(4, 0)
    layer.set_weights([kernel, layer.get_weights()[1], layer.get_weights()[2]])
    assert layer.weight[:, 0].tolist() == [1, 1, 0, 0, 2, 2]
    np.testing.assert_array_equal(layer.get_weights()[0], kernel)


@both
def test_what_the_fused_kernel_does_not_know_is_refused(kind: Any) -> None:
    name = kind.__name__
    with pytest.raises(ConfigError, match=rf'{name}\.activation: got .relu., expected "tanh"\. The fused kernel'):
        kind(4, activation="relu")
    with pytest.raises(ConfigError, match=rf"{name}\.recurrent_activation: got .hard_sigmoid."):
        kind(4, recurrent_activation="hard_sigmoid")
    with pytest.raises(ConfigError, match=rf"{name}\.recurrent_dropout: got 0\.1, expected 0\. The fused kernel"):
        kind(4, recurrent_dropout=0.1)
    with pytest.raises(ConfigError, match=r"GRU\.reset_after: got False"):
        layers.GRU(4, reset_after=False)


@both
def test_masks_and_states_that_do_not_fit(kind: Any) -> None:
    layer = kind(5, name="read")
    x = noise(2, 4, 3)
    with pytest.raises(DataError, match=r"'read': got a mask with a step that counts after one that does not\. Pad"):
        layer(x, mask=torch.tensor([[True, False, True, False]] * 2))
    with pytest.raises(ShapeError, match=r"'read': got a mask of shape \(2, 3\), expected \(2, 4\)"):
        layer(x, mask=torch.ones(2, 3, dtype=torch.bool))
    with pytest.raises(ShapeError, match=rf"'read'\.initial_state: got .*, expected {layer.states} of \(2, 5\)"):
        layer(x, initial_state=[noise(2, 4)])


@pytest.mark.parametrize("kind", [layers.LSTM, layers.GRU])
def test_no_steps_are_refused(kind: type[layers.LSTM]) -> None:
    with pytest.raises(ShapeError, match=r"sequences of 0 steps, shape \(2, 0, 3\)"):
        kind(4)(torch.ones(2, 0, 3))
