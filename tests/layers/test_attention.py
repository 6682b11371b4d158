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
        return layers.MultiHeadAttention(2, 3, value_dim=4, output_shape=3, use_bias=False)

    def example(self) -> Inputs:
        return noise(7, 4, 5), noise(7, 6, 2), noise(7, 6, 3)


def test_a_query_that_may_look_nowhere_gets_nothing() -> None:
    layer = layers.MultiHeadAttention(2, 3)
    x = noise(2, 4, 5).requires_grad_()
    mask = torch.ones(2, 4, 4, dtype=torch.bool)
    mask[1, 2] = False
    fast = layer(x, x, attention_mask=mask)
    slow, scores = layer(x, x, attention_mask=mask, return_attention_scores=True)
    torch.testing.assert_close(fast, slow)
    assert torch.equal(fast[1, 2], layer.output(torch.zeros(1, 6))[0]) and not scores[1, :, 2].any()
    slow.sum().backward()
    assert x.grad is not None and x.grad.isfinite().all()


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


@pytest.mark.parametrize("arguments", [(0, 1), (1, 0), (1, 1, 0), (1, 1, 1, 1.0)])
def test_impossible_sizes(arguments: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match=r"MultiHeadAttention\.\w+: got"):
        layers.MultiHeadAttention(*arguments)
