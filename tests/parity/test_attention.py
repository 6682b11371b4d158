"""Attention and Transformer blocks against Keras 3 and torch: float64, forward and gradients, equal weights."""

import os

os.environ["KERAS_BACKEND"] = "torch"

from typing import Any

import keras
import numpy as np
import pytest
import torch
from torch import nn

from lepton_ai import layers
from tests.parity.test_layers import assert_equal, assert_parity, case, double_precision, gradients, padded

__all__ = ["double_precision"]  # a fixture of every test here

X, Y = (2, 5, 6), (2, 4, 6)
PAIRS = np.random.default_rng(5).random((2, 5, 4)) < 0.6
PAIRS[..., 0] = True

CASES = [
    case("MultiHeadAttention", X, Y, num_heads=2, key_dim=4, value_dim=3, use_gate=True),
    case("MultiHeadAttention", X, X, num_heads=2, key_dim=4, sliding_window=2, call={"use_causal_mask": True}),
    case("MultiHeadAttention", X, Y, num_heads=2, key_dim=4, call={"value_mask": padded(4, 2, steps=4)}),
    case("MultiHeadAttention", X, Y, num_heads=2, key_dim=4,
         # Where a query may look nowhere Keras gives 0 on this path, as we do, and the mean of all values on its other.
         call={"value_mask": padded(4, 0, steps=4), "return_attention_scores": True}),
    case("MultiHeadAttention", X, Y, num_heads=2, key_dim=4,
         call={"key_mask": padded(4, 2, steps=4), "attention_mask": PAIRS, "return_attention_scores": True}),
    case("GroupQueryAttention", X, Y, head_dim=4, num_query_heads=6, num_key_value_heads=2),
    case("GroupQueryAttention", X, X, X, head_dim=4, num_query_heads=4, num_key_value_heads=1, use_bias=False,
         call={"use_causal_mask": True}),
    case("GroupQueryAttention", X, Y, head_dim=4, num_query_heads=4, num_key_value_heads=2, use_gate=True,
         sliding_window=4, call={"value_mask": padded(4, 2, steps=4)}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "inputs", "arguments", "call"), CASES)
def test_heads(name: str, inputs: tuple[Any, ...], arguments: dict[str, Any], call: dict[str, Any]) -> None:
    assert_parity(name, inputs, arguments, call)


@pytest.mark.parametrize("mask", [None, "value", "query", "causal"])
@pytest.mark.parametrize("shapes", [(X, Y), (X, (2, 4, 3), Y)], ids=["value", "key"])
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("Attention", {}),
        ("Attention", {"use_scale": True}),
        ("Attention", {"score_mode": "concat"}),
        ("Attention", {"score_mode": "concat", "use_scale": True}),
        ("AdditiveAttention", {}),
        ("AdditiveAttention", {"use_scale": False}),
    ],
)
def test_attention_without_projections(
    name: str, arguments: dict[str, Any], shapes: tuple[tuple[int, ...], ...], mask: str | None
) -> None:
    noise = np.random.default_rng(0)
    arrays = [noise.normal(size=shape) for shape in shapes]
    steps, own = torch.from_numpy(padded(4, 2, steps=4)), torch.from_numpy(padded(5, 3, steps=5))
    calls: dict[str | None, dict[str, Any]] = {
        None: {},
        "value": {"mask": [None, steps]},
        "query": {"mask": [own, steps], "return_attention_scores": True},
        "causal": {"use_causal_mask": True, "mask": [None, steps]},
    }
    call = calls[mask]
    theirs, ours = getattr(keras.layers, name)(**arguments, dtype="float64"), getattr(layers, name)(**arguments)
    answers = []
    for layer in (ours, theirs):
        tensors = [torch.from_numpy(array.copy()).requires_grad_() for array in arrays]
        if layer is ours:
            layer.ensure_built([tuple(shape) for shape in shapes])
            layer.double()
        else:
            layer(tensors)
        weights = np.random.default_rng(1)
        layer.set_weights([weights.normal(size=weight.shape) for weight in layer.get_weights()])
        outputs = layer(tensors, **call)
        outputs = list(outputs) if isinstance(outputs, tuple) else [outputs]
        torch.autograd.backward([(output * torch.arange(1.0, output.numel() + 1).view(output.shape)).sum()
                                 for output in outputs])  # fmt: skip
        answers.append([*outputs, *(tensor.grad for tensor in tensors)])
    for got, want in zip(*answers, strict=True):
        assert_equal(got.detach(), want.detach())
    for got, want in zip(*gradients(ours, theirs), strict=True):
        assert_equal(got, want)


# -- Transformer blocks, against torch -------------------------------------------------------------------

WIDTH, HEADS, INSIDE = 8, 2, 12


def into_heads(ours: Any, theirs: nn.MultiheadAttention) -> None:
    """The weights of torch's attention, which keeps the three projections in one."""
    assert theirs.in_proj_weight is not None
    for layer, weight, bias in zip(
        (ours.query, ours.key, ours.value), theirs.in_proj_weight.chunk(3), theirs.in_proj_bias.chunk(3), strict=True
    ):
        take(layer, weight, bias)
    take(ours.output, theirs.out_proj.weight, theirs.out_proj.bias)


def take(layer: Any, weight: Any, bias: Any) -> None:
    layer.weight.data, layer.bias.data = weight.detach().clone(), bias.detach().clone()


def randomise(module: nn.Module) -> None:
    generator = torch.Generator().manual_seed(0)
    for weight in module.parameters():
        weight.data = torch.randn(weight.shape, generator=generator, dtype=torch.float64) * 0.5


def compare(ours: Any, theirs: nn.Module, pairs: Any, *shapes: tuple[int, ...], call: Any, their_call: Any) -> None:
    """Outputs, the gradients of the inputs, and those of pairs of weights."""
    noise = np.random.default_rng(0)
    arrays = [noise.normal(size=shape) for shape in shapes]
    inputs = [[torch.from_numpy(array.copy()).requires_grad_() for array in arrays] for _ in range(2)]
    got, want = ours(*inputs[0], **call), theirs(*inputs[1], **their_call)
    assert_equal(got.detach(), want.detach())
    pull = torch.from_numpy(noise.normal(size=got.shape))
    got.backward(pull)
    want.backward(pull)
    for mine, other in zip(*inputs, strict=True):
        assert_equal(mine.grad, other.grad)
    for mine, other in pairs:
        assert_equal(mine.weight.grad, other.weight.grad)
        assert_equal(mine.bias.grad, other.bias.grad)


@pytest.mark.parametrize("first", [False, True], ids=["after", "first"])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("masked", [False, True], ids=["whole", "masked"])
def test_encoder(first: bool, activation: str, masked: bool) -> None:
    theirs = nn.TransformerEncoderLayer(
        WIDTH, HEADS, INSIDE, 0.0, activation, batch_first=True, norm_first=first, dtype=torch.float64
    )
    randomise(theirs)
    ours = layers.TransformerEncoder(INSIDE, HEADS, activation=activation, normalize_first=first)
    ours.ensure_built((2, 5, WIDTH))
    ours.double()
    into_heads(ours.attention, theirs.self_attn)
    pairs = [
        (ours.inner, theirs.linear1),
        (ours.outer, theirs.linear2),
        (ours.attention_norm, theirs.norm1),
        (ours.network_norm, theirs.norm2),
    ]
    for mine, other in pairs:
        take(mine, other.weight, other.bias)
    keep = torch.from_numpy(padded(5, 3, steps=5))
    may = torch.rand(5, 5, generator=torch.Generator().manual_seed(1)) < 0.5
    may[:, 0] = True
    call = {"padding_mask": keep, "attention_mask": may} if masked else {}
    their_call = {"src_key_padding_mask": ~keep, "src_mask": ~may} if masked else {}
    compare(ours, theirs, pairs, (2, 5, WIDTH), call=call, their_call=their_call)


@pytest.mark.parametrize("first", [False, True], ids=["after", "first"])
def test_decoder(first: bool) -> None:
    theirs = nn.TransformerDecoderLayer(
        WIDTH, HEADS, INSIDE, 0.0, batch_first=True, norm_first=first, dtype=torch.float64
    )
    randomise(theirs)
    ours = layers.TransformerDecoder(INSIDE, HEADS, normalize_first=first)
    ours.ensure_built(((2, 5, WIDTH), (2, 4, WIDTH)))
    ours.double()
    into_heads(ours.self_attention, theirs.self_attn)
    into_heads(ours.cross_attention, theirs.multihead_attn)
    pairs = [
        (ours.inner, theirs.linear1),
        (ours.outer, theirs.linear2),
        (ours.self_attention_norm, theirs.norm1),
        (ours.cross_attention_norm, theirs.norm2),
        (ours.network_norm, theirs.norm3),
    ]
    for mine, other in pairs:
        take(mine, other.weight, other.bias)
    own, others = torch.from_numpy(padded(5, 3, steps=5)), torch.from_numpy(padded(4, 2, steps=4))
    call = {"decoder_padding_mask": own, "encoder_padding_mask": others}
    their_call = {
        "tgt_key_padding_mask": ~own,
        "memory_key_padding_mask": ~others,
        "tgt_mask": torch.ones(5, 5, dtype=torch.bool).triu(1),
    }
    compare(ours, theirs, pairs, (2, 5, WIDTH), (2, 4, WIDTH), call=call, their_call=their_call)
