from typing import Any

import pytest
import torch
from torch import Tensor

from lepton_ai import layers, rng
from lepton_ai.core import ConfigError, ShapeError, UsageError
from lepton_ai.layers import Layer
from tests.contracts.layer import Inputs, LayerContract, noise


class TestTransformerEncoder(LayerContract):
    def make(self) -> Layer:
        return layers.TransformerEncoder(8, 2, dropout=0.2, activation="gelu", normalize_first=True)

    def example(self) -> Inputs:
        return (noise(7, 4, 6),)


class TestTransformerDecoder(LayerContract):
    def make(self) -> Layer:
        return layers.TransformerDecoder(8, 2, kernel_initializer="he_normal", activation="tanh")

    def example(self) -> Inputs:
        return noise(7, 4, 6), noise(7, 5, 3, seed=1)

    def test_another_width_names_both_shapes(self) -> None:
        layer = self.built()
        with pytest.raises(ShapeError):
            layer(noise(7, 4, 12), noise(7, 5, 3))


class TestTransformerDecoderAlone(LayerContract):
    def make(self) -> Layer:
        return layers.TransformerDecoder(8, 2, activation="tanh", normalize_first=True)

    def example(self) -> Inputs:
        return (noise(7, 4, 6),)


MASK = torch.tensor([[True, True, True, True], [True, True, False, False], [False] * 4])


@pytest.mark.parametrize("first", [False, True])
def test_padding_has_no_say_in_the_steps_that_count(first: bool) -> None:
    layer = layers.TransformerEncoder(8, 2, normalize_first=first)
    x = noise(3, 4, 6).requires_grad_()
    wanted = layer(x, padding_mask=MASK)
    other = torch.where(MASK[:, :, None], x, 7.0 + noise(3, 4, 6, seed=1))
    torch.testing.assert_close(layer(other, padding_mask=MASK)[1, :2], wanted[1, :2])
    torch.testing.assert_close(layer(x[1:2, :2])[0], wanted[1, :2])
    assert torch.equal(layer(x, mask=MASK), wanted) and torch.equal(layer.compute_mask(x, MASK), MASK)
    assert torch.equal(layer(x, mask=MASK, padding_mask=torch.ones_like(MASK)), wanted)
    wanted.square().sum().backward()  # the last row has no step that counts
    assert wanted.isfinite().all() and x.grad is not None and x.grad.isfinite().all()


def test_scores() -> None:
    layer = layers.TransformerEncoder(8, 2)
    x = noise(3, 4, 6)
    output, scores = layer(x, padding_mask=MASK, return_attention_scores=True)
    torch.testing.assert_close(output, layer(x, padding_mask=MASK))
    torch.testing.assert_close(scores.sum(-1), MASK.any(1).float()[:, None, None].expand(3, 2, 4))
    symbols = layers.TransformerEncoder(8, 2)(layers.Input((None, 6)), return_attention_scores=True)
    assert [symbol.shape for symbol in symbols] == [(None, None, 6), (None, 2, None, None)]


def test_a_decoder_sees_no_later_step() -> None:
    layer = layers.TransformerDecoder(8, 2)
    x, encoded = noise(2, 4, 6), noise(2, 5, 3)
    wanted = layer(x, encoded)
    later = x.clone()
    later[:, 2:] += 1
    torch.testing.assert_close(layer(later, encoded)[:, :2], wanted[:, :2])
    assert not torch.allclose(layer(later, encoded)[:, 2:], wanted[:, 2:])
    everywhere = layer(later, encoded, use_causal_mask=False)
    assert not torch.allclose(everywhere[:, :2], layer(x, encoded, use_causal_mask=False)[:, :2])


def test_a_decoder_s_masks() -> None:
    layer = layers.TransformerDecoder(8, 2)
    x, encoded = noise(3, 4, 6).requires_grad_(), noise(3, 5, 3)
    others = torch.arange(5) < torch.tensor([5, 2, 0])[:, None]
    wanted = layer(x, encoded, decoder_padding_mask=MASK, encoder_padding_mask=others)
    assert torch.equal(layer(x, encoded, decoder_sequence_mask=MASK, encoder_sequence_mask=others), wanted)
    hidden = torch.where(others[:, :, None], encoded, 5.0)
    torch.testing.assert_close(layer(x, hidden, decoder_padding_mask=MASK, encoder_padding_mask=others), wanted)
    torch.testing.assert_close(
        layer(
            x,
            encoded,
            decoder_padding_mask=MASK,
            encoder_attention_mask=others[:, None].expand(-1, 4, -1),
            decoder_attention_mask=torch.ones(4, 4, dtype=torch.bool),
        ),
        wanted,
    )
    wanted.square().sum().backward()
    assert x.grad is not None and x.grad.isfinite().all()


def test_dropout_follows_the_step_and_the_row() -> None:
    layer = layers.TransformerEncoder(8, 2, dropout=0.3)
    x = noise(6, 4, 6)
    layer(x)
    layer.train()

    def run(start: int, stop: int) -> Tensor:
        positions = torch.arange(start, stop, dtype=torch.int32)
        with rng.step_context(rng.StepContext(seed=0, epoch=0, positions=positions)):
            answer: Tensor = layer(x[start:stop])
        return answer

    torch.testing.assert_close(run(2, 5), run(0, 6)[2:5])
    assert not torch.allclose(run(0, 6), layer.eval()(x))


def test_freezing_reaches_what_is_inside() -> None:
    layer = layers.TransformerDecoder(8, 2, trainable=False)
    layer(noise(2, 4, 6))
    assert not any(weight.requires_grad for weight in layer.parameters())


@pytest.mark.parametrize("kind", [layers.TransformerEncoder, layers.TransformerDecoder])
def test_what_does_not_fit(kind: Any) -> None:
    layer = kind(8, 3, name="block")
    with pytest.raises(ShapeError) as caught:
        layer(noise(2, 4, 8))
    assert str(caught.value) == (
        f"{kind.__name__} 'block': got an input of shape (2, 4, 8), expected a width that is a multiple of num_heads=3"
    )
    layer(noise(2, 4, 6))
    with pytest.raises(ConfigError, match=rf"{kind.__name__}\.num_heads: got 0, expected a positive int"):
        kind(8, 0)


def test_a_decoder_keeps_to_its_inputs() -> None:
    layer = layers.TransformerDecoder(8, 2, name="block")
    x, encoded = noise(2, 4, 6), noise(2, 5, 3)
    layer(x)
    with pytest.raises(UsageError) as caught:
        layer(x, encoded)
    assert str(caught.value) == (
        "TransformerDecoder 'block': its weights were made without an encoder's output. "
        "Call it with the same inputs each time."
    )
    with pytest.raises(
        ShapeError, match=r"got a sequence \(2, 4, 6\) and an encoder's output \(3, 5, 3\), expected one"
    ):
        layers.TransformerDecoder(8, 2)(x, noise(3, 5, 3))
    with pytest.raises(ShapeError, match=r"padding_mask: got a mask of shape \(2, 3\), expected \(2, 4\)"):
        layer(x, decoder_padding_mask=torch.ones(2, 3, dtype=torch.bool))
