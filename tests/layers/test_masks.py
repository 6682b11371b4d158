"""How masks pass from layer to layer."""

import warnings
from typing import Any

import pytest
import torch

from lepton_ai import layers
from lepton_ai.core import DataError, ShapeError
from lepton_ai.layers import Layer
from lepton_ai.layers.masks import carry, check_mask, takes, uses_mask
from tests.contracts.layer import Inputs, LayerContract, noise

MASK = torch.tensor([[True, True, False, True], [True, False, False, False]])


class TestMasking(LayerContract):
    def make(self) -> Layer:
        return layers.Masking(0.5)

    def example(self) -> Inputs:
        x = noise(7, 4, 3)
        x[1, 2:] = x[3] = 0.5
        return (x,)

    def test_gradients(self) -> None:
        """Only of steps that are not exactly at the value: there a step falls out at once."""
        layer, x = self.make(), self.example()[0].double().requires_grad_()
        layer(x).sum().backward()
        assert x.grad is not None and torch.equal(x.grad[..., 0], layer.compute_mask(x).double())


def test_steps_of_one_value_do_not_count() -> None:
    x = torch.tensor([[[1.0, 0.0], [0.0, 0.0], [float("nan"), 0.0]]])
    layer = layers.Masking()
    assert layer.compute_mask(x).tolist() == [[True, False, True]]
    infinite = layers.Masking(float("inf"))
    assert infinite(torch.full((1, 2, 3), float("inf"))).tolist() == [[[0.0] * 3] * 2]


def test_tokens_other_than_zero_count() -> None:
    layer = layers.Embedding(5, 2, mask_zero=True)
    assert layer.makes_mask and layer.compute_mask(torch.tensor([[1, 0, 4]])).tolist() == [[True, False, True]]
    plain = layers.Embedding(5, 2)
    assert not plain.makes_mask and plain.compute_mask(torch.tensor([[1, 0]]), MASK) is None


KEEPS = [
    layers.Dense(3), layers.Activation("relu"), layers.ReLU(), layers.LeakyReLU(), layers.ELU(), layers.PReLU(),
    layers.Softmax(), layers.Dropout(0.5), layers.SpatialDropout1D(0.5), layers.AlphaDropout(0.5),
    layers.GaussianNoise(0.1), layers.GaussianDropout(0.1), layers.Rescaling(2.0), layers.BatchNormalization(),
    layers.LayerNormalization(), layers.RMSNormalization(), layers.UnitNormalization(), layers.GroupNormalization(3),
    layers.TimeDistributed(layers.Dense(2)), layers.LSTM(2, return_sequences=True),
    layers.Bidirectional(layers.GRU(2, return_sequences=True)), layers.RNN(layers.GRUCell(2), return_sequences=True),
]  # fmt: skip


@pytest.mark.parametrize("layer", KEEPS, ids=lambda layer: type(layer).__name__)
def test_layers_that_keep_steps_apart_pass_the_mask(layer: Layer) -> None:
    outputs, mask = carry(layer, (noise(2, 4, 3),), {}, (MASK,))
    assert outputs.shape[:2] == (2, 4) and torch.equal(mask, MASK)


@pytest.mark.parametrize(
    "layer",
    [
        layers.LSTM(2),
        layers.Bidirectional(layers.GRU(2)),
        layers.GlobalAveragePooling1D(),
        layers.RNN(layers.GRUCell(2)),
    ],
)
def test_layers_that_use_it_up_end_it_in_silence(layer: Layer) -> None:
    x = noise(2, 4, 3)
    outputs, mask = carry(layer, (x,), {}, (MASK,))
    assert mask is None and torch.equal(outputs, layer(x, mask=MASK)) and not torch.equal(outputs, layer(x))


@pytest.mark.parametrize("layer", [layers.Flatten(), layers.Conv1D(2, 3), layers.GlobalMaxPooling1D()])
def test_other_layers_lose_it_and_say_so_once(layer: Layer) -> None:
    expected = rf"{type(layer).__name__} '.*' has no use for the mask that comes with its input: padded steps count"
    with pytest.warns(UserWarning, match=expected):
        assert carry(layer, (noise(2, 4, 3),), {}, (MASK,))[1] is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert carry(layer, (noise(2, 4, 3),), {}, (MASK,))[1] is None


def test_states_have_no_mask() -> None:
    outputs, masks = carry(layers.LSTM(2, return_sequences=True, return_state=True), (noise(2, 4, 3),), {}, (MASK,))
    assert len(outputs) == len(masks) == 3 and masks[0] is MASK and masks[1:] == [None, None]
    both = layers.Bidirectional(layers.GRU(2, return_sequences=True, return_state=True), merge_mode=None)
    outputs, masks = carry(both, (noise(2, 4, 3),), {}, (MASK,))
    assert len(outputs) == len(masks) == 4 and masks[1] is MASK and masks[2:] == [None, None]


def test_masks_of_several_inputs() -> None:
    other = torch.tensor([[False, True, False, False]] * 2)
    pair = [noise(2, 4, 3), noise(2, 4, 3, seed=1)]
    assert torch.equal(carry(layers.Add(), (pair,), {}, ([MASK, other],))[1], MASK | other)
    assert carry(layers.Add(), (pair,), {}, ([MASK, None],))[1] is None
    assert torch.equal(carry(layers.Concatenate(), (pair,), {}, ([MASK, other],))[1], MASK | other)
    assert carry(layers.Concatenate(), (pair,), {}, ([MASK, None],))[1].all()
    one_after_the_other = carry(layers.Concatenate(1), (pair,), {}, ([MASK, None],))[1]
    assert torch.equal(one_after_the_other, torch.cat((MASK, torch.ones(2, 4, dtype=torch.bool)), 1))
    assert carry(layers.Dot(2), (pair,), {}, ([MASK, other],))[1] is None
    assert carry(layers.Add(), (pair,), {}, ([None, None],))[1] is None


@pytest.mark.parametrize("kind", [layers.Multiply, layers.Maximum, layers.Minimum])
def test_what_does_not_count_is_not_merged(kind: Any) -> None:
    first, second = torch.full((1, 2, 1), 2.0), torch.full((1, 2, 1), 3.0)
    masks = [torch.tensor([[True, False]]), torch.tensor([[False, True]])]
    assert carry(kind(), ([first, second],), {}, (masks,))[0].flatten().tolist() == [2.0, 3.0]


def test_attention_gets_a_mask_for_each_of_its_inputs() -> None:
    layer = layers.MultiHeadAttention(2, 4)
    x, y = noise(2, 4, 3), noise(2, 4, 3, seed=1)
    outputs, mask = carry(layer, (x, y), {}, (None, MASK))
    torch.testing.assert_close(outputs, layer(x, y, attention_mask=MASK[:, None]))
    assert mask is None


def test_a_mask_given_by_name_comes_first() -> None:
    layer, given = layers.GlobalAveragePooling1D(), ~MASK
    x = noise(2, 4, 3)
    assert torch.equal(carry(layer, (x,), {"mask": given}, (MASK,))[0], layer(x, mask=given))


def test_what_a_call_takes() -> None:
    assert takes(layers.LSTM, "mask") and not takes(layers.Dense, "mask")
    assert uses_mask(layers.MultiHeadAttention) and not uses_mask(layers.Flatten)


def test_masks_that_do_not_fit() -> None:
    assert torch.equal(check_mask(MASK.numpy(), (2, 4, 3), "here"), MASK)
    with pytest.raises(ShapeError, match=r"here: got a mask of shape \(4,\), expected \(2, 4\)"):
        check_mask(MASK[0], (2, 4, 3), "here")
    with pytest.raises(DataError, match=r"here: got a mask of dtype int64, expected bool"):
        check_mask(MASK.long(), (2, 4, 3), "here")
    for layer in (layers.GlobalAveragePooling1D(name="mean"), layers.BatchNormalization(name="mean").train()):
        with pytest.raises(ShapeError, match=r"'mean': got a mask of shape \(2, 3\), expected \(2, 4\)"):
            layer(noise(2, 4, 3), mask=MASK[:, :3])


def test_a_second_name_for_a_weight_is_no_second_weight() -> None:
    class Twice(Layer):
        def build(self, input_shape: Any) -> None:
            self.w = self.add_weight("kernel", (2, input_shape[-1]))

        def call(self, x: torch.Tensor) -> torch.Tensor:
            return x @ self.w.T

    layer = Twice()
    layer(noise(1, 3))
    assert list(layer.state_dict()) == ["kernel"] and len(layer.get_weights()) == 1
    assert layer.double().w is layer.kernel
