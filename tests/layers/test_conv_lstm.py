import pytest
import torch

from lepton_ai import layers
from lepton_ai.core import ConfigError, ShapeError
from lepton_ai.layers import Layer
from tests.contracts.layer import Inputs, LayerContract, noise


class TestConvLSTM1D(LayerContract):
    def make(self) -> Layer:
        return layers.ConvLSTM1D(2, 3, padding="same", return_sequences=True, return_state=True, go_backwards=True)

    def example(self) -> Inputs:
        return (noise(7, 3, 5, 2),)


class TestConvLSTM2D(LayerContract):
    def make(self) -> Layer:
        return layers.ConvLSTM2D(2, (2, 3), dropout=0.2, recurrent_dropout=0.2, kernel_regularizer="l2")

    def example(self) -> Inputs:
        return (noise(7, 3, 4, 5, 2),)


class TestConvLSTM3D(LayerContract):
    def make(self) -> Layer:
        return layers.ConvLSTM3D(2, 2, strides=2, padding="same")

    def example(self) -> Inputs:
        return (noise(7, 2, 3, 4, 3, 1),)


def test_masked_frames_are_passed_over() -> None:
    layer = layers.ConvLSTM2D(2, 3, padding="same", return_sequences=True)
    x, mask = noise(2, 4, 5, 5, 1), torch.tensor([[True, False, True, True], [False, True, True, False]])
    outputs = layer(x, mask=mask)
    for row in range(2):
        torch.testing.assert_close(outputs[row, mask[row]], layer(x[row : row + 1, mask[row]])[0])


def test_gates_see_their_own_part_of_the_state() -> None:
    """Recurrent dropout in groups is that of four convolutions."""
    layer = layers.ConvLSTM1D(2, 3)
    layer(noise(1, 2, 6, 1))
    hidden, keep = noise(3, 2, 4), (noise(3, 4, 2, 4, seed=1) > 0).float()
    got = layer._recur(hidden, keep)
    for gate in range(4):
        wanted = layer._recur(hidden * keep[:, gate], None)[:, 2 * gate : 2 * gate + 2]
        torch.testing.assert_close(got[:, 2 * gate : 2 * gate + 2], wanted)


def test_forget_bias_starts_at_one() -> None:
    layer = layers.ConvLSTM1D(1, 2)
    layer(noise(1, 2, 3, 1))
    assert layer.bias is not None and layer.bias.tolist() == [0, 1, 0, 0]


def test_what_is_refused() -> None:
    with pytest.raises(
        ShapeError, match=r"'film': got an input of shape \(None, None, None, 8, 3\), expected fixed sizes"
    ):
        layers.ConvLSTM2D(2, 3, name="film").ensure_built((None, None, None, 8, 3))
    with pytest.raises(ShapeError, match=r"'film': got an input of shape \(2, 2, 8, 3\), smaller than the kernel"):
        layers.ConvLSTM2D(2, 3, name="film")(noise(2, 4, 2, 8, 3))
    with pytest.raises(ConfigError, match=r"ConvLSTM2D\.data_format"):
        layers.ConvLSTM2D(2, 3, data_format="channels_first")
    with pytest.raises(ConfigError, match=r"ConvLSTM2D\.stateful: got True"):
        layers.ConvLSTM2D(2, 3, stateful=True)
