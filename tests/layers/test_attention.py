from typing import Any

import pytest
import torch

from lepton_ai import layers, rng
from lepton_ai.core import ShapeError, UnknownNameError
from lepton_ai.layers import Layer
from tests.contracts.layer import Inputs, LayerContract, noise


class TestAttention(LayerContract):
    def make(self) -> Layer:
        return layers.Attention(use_scale=True, dropout=0.2)

    def example(self) -> Inputs:
        return ([noise(7, 4, 5), noise(7, 6, 2, seed=1), noise(7, 6, 5, seed=2)],)


class TestAttentionByConcatenation(LayerContract):
    def make(self) -> Layer:
        return layers.Attention(use_scale=True, score_mode="concat")

    def example(self) -> Inputs:
        return ([noise(7, 4, 5), noise(7, 6, 5, seed=1)],)


class TestAdditiveAttention(LayerContract):
    def make(self) -> Layer:
        return layers.AdditiveAttention(dropout=0.2, seed=1)

    def example(self) -> Inputs:
        return ([noise(7, 4, 5), noise(7, 6, 5, seed=1)],)


ALL = pytest.mark.parametrize(
    "layer",
    [layers.Attention(), layers.Attention(use_scale=True, score_mode="concat"), layers.AdditiveAttention()],
    ids=["dot", "concat", "additive"],
)


@ALL
def test_masks(layer: Any) -> None:
    x, value = noise(3, 4, 5).requires_grad_(), noise(3, 6, 5, seed=1)
    own = torch.tensor([[True, True, False, True]]).expand(3, -1)
    steps = torch.arange(6) < torch.tensor([6, 2, 0])[:, None]
    output, weights = layer([x, value], mask=[own, steps], return_attention_scores=True)
    torch.testing.assert_close(layer([x, value], mask=[own, steps]), output)
    assert not output[:, 2].any() and not output[2].any()
    torch.testing.assert_close(weights.sum(-1), torch.tensor([1.0, 1.0, 0.0])[:, None].expand(3, 4))
    assert not weights[1, :, 2:].any()
    other = value.clone()
    other[1, 2:] = 1e4
    torch.testing.assert_close(layer([x, other], mask=[None, steps])[1], layer([x, value], mask=[None, steps])[1])
    layer([x, value], mask=[own, steps]).square().sum().backward()
    assert x.grad is not None and x.grad.isfinite().all()
    assert torch.equal(layer.compute_mask([x, value], [own, steps]), own)


@ALL
def test_causal_attention_sees_no_later_step(layer: Any) -> None:
    x = noise(2, 4, 5)
    output, weights = layer([x, x], use_causal_mask=True, return_attention_scores=True)
    torch.testing.assert_close(layer([x, x], use_causal_mask=True), output)
    assert not weights.triu(1).any()
    torch.testing.assert_close(output[:, 0], x[:, 0])


def test_dropout_follows_the_step_and_the_row() -> None:
    layer = layers.Attention(dropout=0.5)
    x = noise(6, 4, 5)
    layer([x, x])
    layer.train()

    def run(start: int, stop: int) -> torch.Tensor:
        positions = torch.arange(start, stop, dtype=torch.int32)
        with rng.step_context(rng.StepContext(seed=0, epoch=0, positions=positions)):
            answer: torch.Tensor = layer([x[start:stop], x[start:stop]])
        return answer

    torch.testing.assert_close(run(2, 5), run(0, 6)[2:5])
    assert not torch.allclose(run(0, 6), layer.eval()([x, x]))


def test_symbolic_scores() -> None:
    query, value = layers.Input((4, 5)), layers.Input((6, 5))
    output, scores = layers.Attention()([query, value], return_attention_scores=True)
    assert output.shape == (None, 4, 5) and scores.shape == (None, 4, 6)


def test_inputs_that_do_not_fit() -> None:
    layer = layers.Attention(name="look")
    x = noise(2, 4, 5)
    with pytest.raises(ShapeError, match=r"'look': got one tensor, expected a list of query and value, or .*\(\[x, x"):
        layer(x)
    with pytest.raises(ShapeError, match=r"got query \(2, 4, 5\), value \(3, 4, 5\) and key \(3, 4, 5\), expected one"):
        layer([x, noise(3, 4, 5)])
    with pytest.raises(ShapeError, match=r"got query \(2, 4, 5\) and key \(2, 4, 6\), expected one width"):
        layer([x, noise(2, 4, 6)])
    with pytest.raises(ShapeError, match=r"'look'\.mask\[1\]: got a mask of shape \(2, 5\), expected \(2, 4\)"):
        layer([x, x], mask=[None, torch.ones(2, 5, dtype=torch.bool)])


def test_unknown_score_mode() -> None:
    with pytest.raises(UnknownNameError, match=r"Attention\.score_mode: unknown score_mode 'dots'.*'dot'"):
        layers.Attention(score_mode="dots")
