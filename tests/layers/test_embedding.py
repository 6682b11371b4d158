import pytest
import torch

from lepton_ai import layers
from lepton_ai.core import ConfigError, DataError
from lepton_ai.layers import Layer
from tests.contracts.layer import Inputs, LayerContract


class TestEmbedding(LayerContract):
    differentiable = False
    any_rank = True

    def make(self) -> Layer:
        return layers.Embedding(11, 3)

    def example(self) -> Inputs:
        return (torch.arange(28).view(7, 4) % 11,)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int64, torch.float32])
def test_tokens_of_any_dtype(dtype: torch.dtype) -> None:
    layer = layers.Embedding(5, 2)
    assert torch.equal(layer(torch.tensor([[0, 4]], dtype=dtype))[0], layer.weight[[0, 4]])


@pytest.mark.parametrize("token", [5, -1])
def test_a_token_out_of_range_is_named(token: int) -> None:
    with pytest.raises(DataError, match=rf"Embedding 'words': got the token {token}, expected 0 to 4\. Make input_dim"):
        layers.Embedding(5, 2, name="words")(torch.tensor([[0, token]]))


def test_masks_are_given_where_they_are_used() -> None:
    with pytest.raises(ConfigError, match=r"mask_zero: masks do not travel .* mask=tokens != 0"):
        layers.Embedding(5, 2, mask_zero=True)


def test_regularisation() -> None:
    layer = layers.Embedding(5, 2, embeddings_initializer="ones", embeddings_regularizer=layers.L2(0.1))
    layer(torch.zeros(1, 1, dtype=torch.int64))
    assert [penalty.item() for penalty in layer.regularization()] == pytest.approx([1.0])


@pytest.mark.parametrize("token", [0.7, float("nan")])
def test_fractional_tokens_are_refused(token: float) -> None:
    with pytest.raises(DataError, match=rf"got the token {token}, expected whole numbers"):
        layers.Embedding(5, 2)(torch.tensor([[1.0, token]]))
