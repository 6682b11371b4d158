from typing import Any

import pytest
import torch

from lepton_ai import layers, rng
from lepton_ai.core import ConfigError, ShapeError
from lepton_ai.layers import Layer
from tests.contracts.layer import Inputs, LayerContract, noise


class TestMultiHeadAttention(LayerContract):
    def make(self) -> Layer:
        return layers.MultiHeadAttention(2, 3, kernel_regularizer="l2", dropout=0.2)

    def example(self) -> Inputs:
        return noise(7, 4, 5), noise(7, 6, 2)


class TestMultiHeadAttentionWithKey(LayerContract):
    def make(self) -> Layer:
        return layers.MultiHeadAttention(
            2, 3, value_dim=4, output_shape=3, use_bias=False, use_gate=True, kernel_constraint="max_norm"
        )

    def example(self) -> Inputs:
        return noise(7, 4, 5), noise(7, 6, 2), noise(7, 6, 3)


class TestGroupQueryAttention(LayerContract):
    def make(self) -> Layer:
        return layers.GroupQueryAttention(3, 4, 2, dropout=0.2, sliding_window=3)

    def example(self) -> Inputs:
        return noise(7, 4, 5), noise(7, 6, 2)


HEADS = pytest.mark.parametrize(
    "layer",
    [
        layers.MultiHeadAttention(2, 3),
        layers.GroupQueryAttention(3, 4, 2),
        layers.MultiHeadAttention(2, 3, use_gate=True),
    ],
    ids=["all", "grouped", "gated"],
)


@HEADS
def test_a_query_that_may_look_nowhere_gets_nothing(layer: Any) -> None:
    x = noise(2, 4, 5).requires_grad_()
    mask = torch.ones(2, 4, 4, dtype=torch.bool)
    mask[1, 2] = False
    fast = layer(x, x, attention_mask=mask)
    slow, scores = layer(x, x, attention_mask=mask, return_attention_scores=True)
    torch.testing.assert_close(fast, slow)
    torch.testing.assert_close(fast[1, 2], layer.output.bias)
    assert not scores[1, :, 2].any()
    (slow.sum() + fast.square().sum()).backward()
    assert x.grad is not None and x.grad.isfinite().all()


@HEADS
def test_masks_of_steps_and_of_pairs_say_the_same(layer: Any) -> None:
    query, value = noise(3, 4, 5), noise(3, 6, 5, seed=1)
    steps = torch.arange(6) < torch.tensor([6, 2, 0])[:, None]
    own = torch.tensor([[True, True, False, True]]).expand(3, -1)
    pairs = steps[:, None] & own[:, :, None]
    wanted = layer(query, value, attention_mask=pairs)
    assert torch.equal(layer(query, value, query_mask=own, value_mask=steps), wanted)
    assert torch.equal(layer(query, value, query_mask=own, key_mask=steps), wanted)
    assert torch.equal(layer(query, value, query_mask=own, key_mask=steps, attention_mask=pairs[:, None]), wanted)
    slow, _ = layer(query, value, query_mask=own, value_mask=steps, return_attention_scores=True)
    torch.testing.assert_close(slow, wanted)
    assert wanted.isfinite().all() and torch.equal(layer.compute_mask([query, value], [own, steps]), own)


def test_what_a_masked_step_holds_does_not_matter() -> None:
    layer = layers.MultiHeadAttention(2, 3)
    x, mask = noise(2, 4, 5), torch.tensor([[True] * 4, [True, True, False, False]])
    other = x.clone()
    other[1, 2:] = 1e4
    got, wanted = layer(other, other, value_mask=mask), layer(x, x, value_mask=mask)
    torch.testing.assert_close(got[1, :2], wanted[1, :2])


def test_a_window_and_a_mask_of_all_pairs() -> None:
    layer = layers.MultiHeadAttention(2, 3, sliding_window=2)
    x = noise(2, 5, 4)
    _, scores = layer(x, x, return_attention_scores=True)
    assert not scores.triu(2).any() and not scores.tril(-2).any()
    _, causal = layer(x, x, use_causal_mask=True, return_attention_scores=True)
    assert not causal.triu(1).any() and not causal.tril(-2).any()
    near = (torch.arange(5)[:, None] - torch.arange(5)).abs() < 2
    wide = layers.MultiHeadAttention(2, 3)
    wide(x, x)
    wide.set_weights(layer.get_weights())
    torch.testing.assert_close(wide(x, x, attention_mask=near), layer(x, x))
    torch.testing.assert_close(layer(x, x, use_causal_mask=True), wide(x, x, attention_mask=near.tril()))


def test_scores_are_a_distribution_and_causal() -> None:
    layer = layers.MultiHeadAttention(2, 3)
    x = noise(2, 4, 5)
    _, scores = layer(x, x, use_causal_mask=True, return_attention_scores=True)
    torch.testing.assert_close(scores.sum(-1), torch.ones(2, 2, 4))
    assert not scores.triu(1).any()


def test_dropout_follows_the_step_and_the_row() -> None:
    layer = layers.MultiHeadAttention(2, 3, dropout=0.5)
    x = noise(6, 4, 5)
    layer(x, x)
    layer.train()

    def run(start: int, stop: int) -> torch.Tensor:
        positions = torch.arange(start, stop, dtype=torch.int32)
        with rng.step_context(rng.StepContext(seed=0, epoch=0, positions=positions)), torch.no_grad():
            answer: torch.Tensor = layer(x[start:stop], x[start:stop])
        return answer

    torch.testing.assert_close(run(2, 5), run(0, 6)[2:5])
    assert not torch.allclose(run(0, 6), layer.eval()(x, x))


def test_query_value_and_key_by_name() -> None:
    layer = layers.MultiHeadAttention(2, 3)
    x = noise(2, 4, 5)
    assert torch.equal(layer(query=x, value=x, key=x), layer(x, x))
    symbol = layers.Input((4, 5))
    output, scores = layer(query=symbol, value=symbol, return_attention_scores=True)
    assert output.shape == (None, 4, 5) and scores.shape == (None, 2, 4, 4)


def test_regularisers_and_freezing_reach_the_projections() -> None:
    layer = layers.MultiHeadAttention(2, 3, kernel_regularizer="l2", trainable=False)
    layer(noise(2, 4, 5), noise(2, 4, 5))
    assert not list(layer.regularization()) and not any(weight.requires_grad for weight in layer.parameters())
    layer.trainable = True
    assert len(list(layer.regularization())) == 4 and all(weight.requires_grad for weight in layer.parameters())


def test_shapes_that_do_not_fit() -> None:
    layer = layers.MultiHeadAttention(2, 3, name="look")
    x = noise(2, 4, 5)
    with pytest.raises(
        ShapeError, match=r"'look': got a query and no value\. For self-attention write attention\(x, x\)"
    ):
        layer(x)
    with pytest.raises(ShapeError, match=r"'look': got query \(2, 4, 5\), value \(2, 6, 5\) and key \(2, 4, 5\)"):
        layer(x, noise(2, 6, 5), x)
    with pytest.raises(ShapeError, match=r"'look': got an attention_mask of shape \(2, 4\), expected \(2, 4, 4\)"):
        layer(x, x, attention_mask=torch.ones(2, 4))
    with pytest.raises(ShapeError, match=r"'look'\.value_mask: got a mask of shape \(2, 3\), expected \(2, 4\)"):
        layer(x, x, value_mask=torch.ones(2, 3, dtype=torch.bool))


@pytest.mark.parametrize("arguments", [(0, 1), (1, 0), (1, 1, 0), (1, 1, 1, 1.0)])
def test_impossible_sizes(arguments: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match=r"MultiHeadAttention\.\w+: got"):
        layers.MultiHeadAttention(*arguments)


def test_heads_that_cannot_be_grouped() -> None:
    with pytest.raises(ConfigError) as caught:
        layers.GroupQueryAttention(8, 4, 3)
    assert str(caught.value) == (
        "GroupQueryAttention.num_key_value_heads: got 3, expected a divisor of num_query_heads=4"
    )
