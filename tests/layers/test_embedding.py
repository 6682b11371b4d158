import pytest
import torch

from lepton_ai import layers
from lepton_ai.core import ConfigError, DataError, ShapeError
from lepton_ai.layers import Layer
from tests.contracts.layer import Inputs, LayerContract


class TestEmbedding(LayerContract):
    differentiable = False
    any_rank = True

    def make(self) -> Layer:
        return layers.Embedding(11, 3)

    def example(self) -> Inputs:
        return (torch.arange(28).view(7, 4) % 11,)


class TestReversibleEmbedding(TestEmbedding):
    def make(self) -> Layer:
        return layers.ReversibleEmbedding(11, 3, tie_weights=False, logit_soft_cap=5.0)


def test_the_way_back_scores_each_token() -> None:
    tied = layers.ReversibleEmbedding(5, 2, mask_zero=True)
    vectors = tied(torch.tensor([[1, 4, 0]]))
    assert torch.allclose(tied(vectors, reverse=True), vectors @ tied.weight.T)
    assert tied.compute_mask(vectors, torch.tensor([[True, False, True]])).tolist() == [[True, False, True]]
    capped = layers.ReversibleEmbedding(5, 2, logit_soft_cap=0.01)
    assert capped(vectors * 1e6, reverse=True).abs().max() <= 0.01
    own = layers.ReversibleEmbedding(5, 2, tie_weights=False)
    assert not torch.allclose(own(vectors, reverse=True), vectors @ own.weight.T)
    assert [each.shape for each in own.get_weights()] == [(5, 2), (2, 5)]
    tokens = layers.Input((3,), dtype="int64")
    assert tied(tied(tokens), reverse=True).shape == (None, 3, 5)
    with pytest.raises(ShapeError, match="expected vectors of 2 to lead back"):
        tied(torch.ones(1, 3), reverse=True)
    with pytest.raises(ConfigError, match="logit_soft_cap: got 0, expected above 0, or None"):
        layers.ReversibleEmbedding(5, 2, logit_soft_cap=0)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int64, torch.float32])
def test_tokens_of_any_dtype(dtype: torch.dtype) -> None:
    layer = layers.Embedding(5, 2)
    assert torch.equal(layer(torch.tensor([[0, 4]], dtype=dtype))[0], layer.weight[[0, 4]])


@pytest.mark.parametrize("token", [5, -1])
def test_a_token_out_of_range_is_named(token: int) -> None:
    with pytest.raises(DataError, match=rf"Embedding 'words': got the token {token}, expected 0 to 4\. Make input_dim"):
        layers.Embedding(5, 2, name="words")(torch.tensor([[0, token]]))


def test_zero_is_padding_if_asked() -> None:
    layer = layers.Embedding(5, 2, mask_zero=True)
    assert layer.get_config()["mask_zero"] is True
    assert layer.compute_mask(torch.tensor([[1, 0]])).tolist() == [[True, False]]


def test_regularisation() -> None:
    layer = layers.Embedding(5, 2, embeddings_initializer="ones", embeddings_regularizer=layers.L2(0.1))
    layer(torch.zeros(1, 1, dtype=torch.int64))
    assert [penalty.item() for penalty in layer.regularization()] == pytest.approx([1.0])


@pytest.mark.parametrize("token", [0.7, float("nan")])
def test_fractional_tokens_are_refused(token: float) -> None:
    with pytest.raises(DataError, match=rf"got the token {token}, expected whole numbers"):
        layers.Embedding(5, 2)(torch.tensor([[1.0, token]]))
