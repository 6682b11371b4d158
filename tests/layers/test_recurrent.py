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

KINDS = [layers.LSTM, layers.GRU, layers.SimpleRNN]
every = pytest.mark.parametrize("kind", KINDS)
FROM_THE_LOOP = [
    {"kind": layers.LSTM, "recurrent_activation": "hard_sigmoid"},
    {"kind": layers.GRU, "reset_after": False},
    {"kind": layers.SimpleRNN, "activation": "gelu"},
]


class _OnSeries(LayerContract):
    def example(self) -> Inputs:
        return (noise(7, 4, 3),)


class TestLSTM(_OnSeries):
    def make(self) -> Layer:
        return layers.LSTM(5, return_sequences=True, return_state=True, go_backwards=True, kernel_regularizer="l2")


class TestGRU(_OnSeries):
    def make(self) -> Layer:
        return layers.GRU(5, dropout=0.2, recurrent_regularizer="l1")


class TestSimpleRNN(_OnSeries):
    def make(self) -> Layer:
        return layers.SimpleRNN(5, recurrent_dropout=0.2, return_state=True)


class TestSteppedLSTM(_OnSeries):
    """The loop over steps, which is one operator in an exported graph."""

    def make(self) -> Layer:
        return layers.LSTM(5, "softsign", return_sequences=True, return_state=True)


def mask_of(lengths: list[int], steps: int) -> torch.Tensor:
    return torch.arange(steps) < torch.tensor(lengths)[:, None]


@every
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


@pytest.mark.parametrize("settings", [*({"kind": kind} for kind in KINDS), *FROM_THE_LOOP])
@pytest.mark.parametrize("backwards", [False, True])
def test_gaps_are_passed_over(settings: dict[str, Any], backwards: bool) -> None:
    """Wherever they stand: each row gives what its counting steps alone give."""
    kind = settings["kind"]
    rest = {name: value for name, value in settings.items() if name != "kind"}
    layer = kind(5, return_sequences=True, return_state=True, go_backwards=backwards, **rest)
    x, mask = noise(6, 8, 3), torch.rand(6, 8, generator=torch.Generator().manual_seed(1)) > 0.4
    outputs, *states = layer(x, mask=mask)
    for row in range(6):
        alone, *alone_states = layer(x[row : row + 1, mask[row]])
        order = mask[row].flip(0) if backwards else mask[row]
        torch.testing.assert_close(outputs[row, order], alone[0])
        held = torch.zeros(5)
        for at in range(8):
            if not order[at]:
                assert torch.equal(outputs[row, at], held)
            held = outputs[row, at]
        for state, alone_state in zip(states, alone_states, strict=True):
            torch.testing.assert_close(state[row], alone_state[0])


@every
def test_an_empty_row_keeps_its_initial_state(kind: Any) -> None:
    layer = kind(5, return_state=True)
    start = [noise(2, 5, seed=1), noise(2, 5, seed=2)][: layer.states]
    output, *states = layer(noise(2, 4, 3), mask=mask_of([0, 4], 4), initial_state=start)
    assert not output[0].any() and output[1].any()
    for state, initial in zip(states, start, strict=True):
        assert torch.equal(state[0], initial[0])


@every
def test_masked_gradients_do_not_reach_the_padding(kind: Any) -> None:
    layer = kind(5, return_state=True)
    x = noise(3, 4, 3).requires_grad_()
    sum(part.sum() for part in layer(x, mask=mask_of([4, 2, 1], 4))).backward()
    assert x.grad is not None and x.grad.isfinite().all()
    assert torch.equal(x.grad.abs().sum(-1) > 0, mask_of([4, 2, 1], 4))


@pytest.mark.parametrize("kind", [layers.LSTM, layers.GRU])
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
    gaps = torch.tensor([[False, True, False, True, True]])
    for mask in (mask_of([3], 3), mask_of([9, 0, 5], 9), gaps):
        x = noise(*mask.shape, 3)
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


def in_training(layer: Layer, x: torch.Tensor, start: int, stop: int) -> torch.Tensor:
    positions = torch.arange(start, stop, dtype=torch.int32)
    with rng.step_context(rng.StepContext(seed=0, epoch=0, positions=positions)), torch.no_grad():
        answer: torch.Tensor = layer.train()(x[start:stop])
    return answer


@every
@pytest.mark.parametrize("settings", [{"dropout": 0.5}, {"recurrent_dropout": 0.5}])
def test_dropout_is_drawn_once_for_a_sequence(kind: Any, settings: dict[str, float]) -> None:
    layer = kind(5, **settings)
    x = noise(6, 4, 3)
    at_rest = layer(x)
    torch.testing.assert_close(in_training(layer, x, 2, 5), in_training(layer, x, 0, 6)[2:5])
    assert not torch.allclose(in_training(layer, x, 0, 6), at_rest)


def test_recurrent_dropout_scales_what_it_keeps() -> None:
    """A state of ones through a kernel of one row of ones: the mean over many draws is that without dropout."""
    layer = layers.SimpleRNN(4, None, recurrent_dropout=0.25, use_bias=False)
    layer(noise(1, 1, 2))
    layer.set_weights([np.zeros((2, 4)), np.ones((4, 4))])
    x = torch.zeros(4000, 1, 2)
    with torch.no_grad():
        outputs = layer.train()(x, initial_state=torch.ones(4000, 4))
    assert abs(float(outputs.mean()) - 4) < 0.1
    assert {round(float(value) * 3 / 4) for value in outputs.flatten()} == {0, 1, 2, 3, 4}


def test_keras_gate_order_of_the_gru() -> None:
    layer = layers.GRU(2)
    layer(noise(1, 3, 4))
    kernel = np.repeat([[0.0, 1.0, 2.0]], 2, 1).reshape(1, 6).repeat(4, 0)
    layer.set_weights([kernel, layer.get_weights()[1], layer.get_weights()[2]])
    assert layer.weight[:, 0].tolist() == [1, 1, 0, 0, 2, 2]
    np.testing.assert_array_equal(layer.get_weights()[0], kernel)


@every
def test_the_loop_computes_what_the_fused_kernel_does(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    layer = kind(5, return_sequences=True, return_state=True)
    x = noise(3, 6, 4)
    fused = layer(x, mask=mask_of([6, 2, 4], 6))
    monkeypatch.setattr(kind, "fusible", False)
    for got, wanted in zip(layer(x, mask=mask_of([6, 2, 4], 6)), fused, strict=True):
        torch.testing.assert_close(got, wanted)


@every
def test_states_go_on_where_they_ended(kind: Any) -> None:
    layer = kind(5, return_sequences=True, return_state=True)
    x = noise(3, 6, 4)
    whole = layer(x)[0]
    first, *states = layer(x[:, :2])
    torch.testing.assert_close(torch.cat((first, layer(x[:, 2:], initial_state=states)[0]), 1), whole)


@every
def test_what_is_refused(kind: Any) -> None:
    name = kind.__name__
    with pytest.raises(
        ConfigError, match=rf"{name}\.stateful: got True, expected False\. Write return_state=True, and"
    ):
        kind(4, stateful=True)
    with pytest.raises(ConfigError, match=rf"{name}\.units: got 0, expected a positive int"):
        kind(0)
    with pytest.raises(ConfigError, match=rf"{name}\.recurrent_dropout: got 1\.5, expected a number from 0 to below 1"):
        kind(4, recurrent_dropout=1.5)


@every
def test_masks_and_states_that_do_not_fit(kind: Any) -> None:
    layer = kind(5, name="read")
    x = noise(2, 4, 3)
    expected = r"'read': got a mask of dtype float32, expected bool: True for steps that count\. Write mask=mask\.bool"
    with pytest.raises(DataError, match=expected):
        layer(x, mask=torch.ones(2, 4))
    with pytest.raises(ShapeError, match=r"'read': got a mask of shape \(2, 3\), expected \(2, 4\)"):
        layer(x, mask=torch.ones(2, 3, dtype=torch.bool))
    with pytest.raises(ShapeError, match=rf"'read'\.initial_state: got .*, expected {layer.states} of \(2, 5\)"):
        layer(x, initial_state=[noise(2, 4)])


@every
def test_masks_may_be_numpy(kind: Any) -> None:
    layer, mask = kind(5), mask_of([4, 2], 4)
    assert torch.equal(layer(noise(2, 4, 3), mask=mask.numpy()), layer(noise(2, 4, 3), mask=mask))


@every
def test_no_steps_are_refused(kind: Any) -> None:
    with pytest.raises(ShapeError, match=r"sequences of 0 steps, shape \(2, 0, 3\)"):
        kind(4)(torch.ones(2, 0, 3))
