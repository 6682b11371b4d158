"""A layer with a low-rank adapter: the same layer, plus a product; and back."""

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lepton_ai.core import ConfigError
from lepton_ai.layers import (
    Conv1D,
    Conv2D,
    Dense,
    EinsumDense,
    KernelLayer,
    LowRank,
    MultiHeadAttention,
    add_adapter,
    remove_adapter,
    serialize,
    takes_adapter,
)

CASES = [
    (lambda: Dense(6, activation="tanh"), (3, 5)),
    (lambda: Dense(6, use_bias=False), (3, 4, 5)),
    (lambda: EinsumDense("abc,cde->abde", (None, 2, 3), bias_axes="de", activation="tanh"), (3, 4, 5)),
    (lambda: EinsumDense("...ab,bc->...ac", (None, 7)), (3, 2, 4, 5)),
    (lambda: EinsumDense("abc,bcd->abd", (None, 6)), (3, 4, 5)),
    (lambda: EinsumDense("abc,cd->ad", 6), (3, 4, 5)),
    (lambda: Conv2D(6, 3, padding="same", strides=2, activation="relu"), (3, 8, 7, 4)),
    (lambda: Conv1D(6, 3, padding="causal", dilation_rate=2), (3, 9, 4)),
]
NAMES = ["dense", "steps", "heads", "dots", "batched", "summed", "conv2d", "causal"]


def made(case: Any) -> tuple[KernelLayer, Tensor]:
    make, shape = case
    layer: KernelLayer = make()
    x = torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    layer(x.float())
    return layer.double(), x


def adapted(layer: KernelLayer, rank: int = 2) -> LowRank:
    found = add_adapter(layer, rank, 4.0)
    with torch.no_grad():
        found.adapter_up.normal_(generator=torch.Generator().manual_seed(2))
    return found


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_outputs_and_gradients_are_those_of_the_sum(case: Any) -> None:
    plain, x = made(case)
    layer = copy.deepcopy(plain)
    before = plain(x)
    add_adapter(layer, 2, 4.0)
    assert torch.equal(layer(x), before), "nothing changes at first"
    remove_adapter(layer, merge=False)  # type: ignore[arg-type]
    low = adapted(layer)
    down, up = (each.detach().clone().requires_grad_() for each in (low.adapter_down, low.adapter_up))
    kernel = plain.weight.detach() + 2.0 * (up @ down.flatten(1)).view_as(plain.weight)
    expected = torch.func.functional_call(plain, {"weight": kernel}, (x,))
    output = layer(x)
    torch.testing.assert_close(output, expected, rtol=1e-9, atol=1e-9)
    expected.square().sum().backward()
    layer.weight.requires_grad_(False)
    output.square().sum().backward()
    torch.testing.assert_close(low.adapter_down.grad, down.grad, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(low.adapter_up.grad, up.grad, rtol=1e-9, atol=1e-9)
    assert layer.weight.grad is None


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_merging_gives_back_the_layer_with_the_same_outputs(case: Any) -> None:
    layer, x = made(case)
    kind, config, names = type(layer), serialize(layer), [*layer.state_dict()]
    low = adapted(layer)
    assert serialize(layer) == config and repr(layer).startswith(kind.__name__)
    assert layer.label.startswith(kind.__name__) and len(layer.get_weights()) == len(names) + 2
    output = layer(x)
    remove_adapter(low, merge=True)
    torch.testing.assert_close(layer(x), output, rtol=1e-9, atol=1e-9)
    assert type(layer) is kind and [*layer.state_dict()] == names and not hasattr(layer, "adapter_rank")


def test_the_start_is_a_function_of_seed_and_path() -> None:
    downs = []
    for name in ("one", "one", "two"):
        layer = Dense(4, name=name)
        layer.path = name
        layer(torch.ones(1, 3))
        downs.append(add_adapter(layer, 2, 4.0).adapter_down)
    assert torch.equal(downs[0], downs[1]) and not torch.equal(downs[0], downs[2])


def test_projections_of_attention_keep_their_weights_in_order() -> None:
    layer = MultiHeadAttention(3, 4)
    x = torch.randn(2, 5, 8)
    expected = layer(x, x)
    low = adapted(layer.query)
    assert not torch.equal(layer(x, x), expected)
    weights = layer.get_weights()
    low.adapter_up.data.zero_()
    layer.set_weights(weights)
    assert bool(low.adapter_up.any())


def test_what_takes_none() -> None:
    class Own(Dense):
        def call(self, x: Tensor) -> Tensor:
            return F.linear(x, self.weight)

    grouped, own = Conv2D(4, 3, groups=2), Own(3)
    grouped(torch.ones(1, 5, 5, 4)), own(torch.ones(1, 4))
    assert not any(takes_adapter(each) for each in (grouped, own, Dense(3), torch.nn.Linear(2, 3)))
    with pytest.raises(ConfigError, match=r"Own 'own' takes no adapter. See lepton_ai.layers.takes_adapter"):
        add_adapter(own, 2, 1.0)
    layer = Dense(3)
    layer(torch.ones(1, 4))
    with pytest.raises(ConfigError, match="rank: got 0, expected a positive int"):
        add_adapter(layer, 0, 1.0)
    add_adapter(layer, 2, 1.0)
    assert not takes_adapter(layer)
