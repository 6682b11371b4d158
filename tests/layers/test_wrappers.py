from typing import Any

import numpy as np
import pytest
import torch

from lepton_ai import layers
from lepton_ai.core import ConfigError, ShapeError
from lepton_ai.layers import Layer
from tests.contracts.layer import Inputs, LayerContract, noise


class TestTimeDistributed(LayerContract):
    def make(self) -> Layer:
        return layers.TimeDistributed(layers.Dense(4, activation="tanh"))

    def example(self) -> Inputs:
        return (noise(7, 4, 3),)


class TestBidirectional(LayerContract):
    def make(self) -> Layer:
        inner = layers.LSTM(3, return_sequences=True, return_state=True, dropout=0.1, name="read")
        return layers.Bidirectional(inner)

    def example(self) -> Inputs:
        return (noise(7, 4, 3),)


def test_time_distributed_runs_each_step_by_itself() -> None:
    layer = layers.TimeDistributed(layers.Conv2D(2, 3))
    x = noise(2, 3, 6, 5, 4)
    outputs = layer(x)
    for step in range(3):
        torch.testing.assert_close(outputs[:, step], layer.layer(x[:, step]))
    assert layer.compute_output_shape((None, None, 6, 5, 4)) == (None, None, 4, 3, 2)


def test_masks_of_sequences_of_sequences() -> None:
    """Sentences of words: the inner layer reads words by their mask, the outer one sentences by what is left."""
    words = torch.tensor([[[3, 4, 0], [5, 0, 0], [0, 0, 0]], [[1, 0, 0], [0, 0, 0], [0, 0, 0]]])
    embedding = layers.Embedding(7, 4, mask_zero=True)
    layer = layers.TimeDistributed(layers.GRU(3))
    mask = embedding.compute_mask(words)
    outputs = layer(embedding(words), mask=mask)
    alone = layer.layer(embedding(words[0]), mask=mask[0])
    torch.testing.assert_close(outputs[0], alone)
    left = layer.compute_mask(embedding(words), mask)
    assert left.tolist() == [[True, True, False], [True, False, False]]
    whole = layers.TimeDistributed(layers.GRU(3, return_sequences=True))
    assert torch.equal(whole.compute_mask(embedding(words), mask), mask)


def test_directions_are_named_and_keep_their_weights() -> None:
    layer = layers.Bidirectional(layers.GRU(3, name="read"))
    layer(noise(2, 4, 3))
    assert (layer.forward_layer.name, layer.backward_layer.name) == ("forward_read", "backward_read")
    assert not np.array_equal(layer.forward_layer.get_weights()[0], layer.backward_layer.get_weights()[0])
    again = layers.Bidirectional(layers.GRU(3), weights=layer.get_weights())
    again(noise(2, 4, 3))
    for got, wanted in zip(again.get_weights(), layer.get_weights(), strict=True):
        np.testing.assert_array_equal(got, wanted)
    assert again.get_config()["weights"] is None


def test_padding_changes_nothing_in_either_direction() -> None:
    layer = layers.Bidirectional(layers.LSTM(3, return_sequences=True))
    x, mask = noise(2, 5, 3), torch.tensor([[True] * 3 + [False] * 2, [True] * 5])
    outputs = layer(x, mask=mask)
    torch.testing.assert_close(outputs[0, :3], layer(x[:1, :3])[0])
    assert not outputs[0, 3:].any()


def test_states_for_both_directions() -> None:
    layer = layers.Bidirectional(layers.LSTM(3, return_state=True), merge_mode="sum")
    x, states = noise(2, 5, 3), [noise(2, 3, seed=seed) for seed in range(4)]
    output, *final = layer(x, initial_state=states)
    forward = layer.forward_layer(x, initial_state=states[:2])
    backward = layer.backward_layer(x, initial_state=states[2:])
    torch.testing.assert_close(output, forward[0] + backward[0])
    assert all(torch.equal(a, b) for a, b in zip(final, (*forward[1:], *backward[1:]), strict=True))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((layers.Dense(3),), r"Bidirectional\.layer: got .*, expected a recurrent layer, such as LSTM\(8\)"),
        ((layers.GRU(3), "add"), r'merge_mode: got \'add\', expected "concat", "sum", "mul", "ave" or None'),
        ((layers.GRU(3, go_backwards=True),), r"both layers read in the same direction\. Write backward_layer="),
        (
            (layers.GRU(3), "concat", None, layers.GRU(3, go_backwards=True, return_sequences=True)),
            r"the layers have unequal return_sequences\. Give both the same return_sequences",
        ),
    ],
)
def test_layers_that_do_not_pair(arguments: Any, expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        layers.Bidirectional(*arguments)


def test_what_time_distributed_refuses() -> None:
    with pytest.raises(ConfigError, match=r"TimeDistributed\.layer: got 5, expected a layer"):
        layers.TimeDistributed(5)  # type: ignore[arg-type]
    with pytest.raises(
        ShapeError, match=r"TimeDistributed 'each': got an input of shape \(2, 3\), expected at least 3"
    ):
        layers.TimeDistributed(layers.Dense(2), name="each")(noise(2, 3))
    several = layers.TimeDistributed(layers.LSTM(2, return_state=True), name="each")
    with pytest.raises(ConfigError, match=r"'each': LSTM 'lstm' gives several outputs, expected one"):
        several.compute_output_shape((2, 3, 4, 5))
