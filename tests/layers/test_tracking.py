"""Layers in lists and dicts are found, stored and described."""

from typing import Any

import pytest
import torch
from torch import Tensor

from lepton_ai import layers
from lepton_ai.core import ConfigError
from tests.contracts.layer import noise


class Stacked(layers.Layer):
    """Layers as an argument, in a dict, and appended."""

    def __init__(self, parts: Any = (), **options: Any) -> None:
        super().__init__(**options)
        self.parts = parts
        self.named = {"a": layers.Dense(3), "b": [layers.Dense(3)]}
        self.grown: list[Any] = []
        self.grown.append(layers.Dense(3))

    def call(self, x: Tensor) -> Tensor:
        for layer in (*self.parts, self.named["a"], self.named["b"][0], *self.grown):  # type: ignore[index]
            x = layer(x)
        return x


def test_all_train_store_and_freeze() -> None:
    layer = Stacked([layers.Dense(3), layers.Dense(3)])
    x = noise(2, 3)
    y = layer(x)
    assert len(list(layer.parameters())) == 10 and len(layer.get_weights()) == 10
    again = Stacked.from_config(layer.get_config())
    again(x)
    assert len(again.parts) == 2
    again.load_state_dict(layer.state_dict())
    assert torch.equal(again(x), y)
    layer.trainable = False
    assert not any(weight.requires_grad for weight in layer.parameters())


def test_what_cannot_be_found_is_refused() -> None:
    layer = Stacked()
    with pytest.raises(ConfigError, match=r"Stacked\.mix: got layers beside other things .* list of their own"):
        layer.mix = [layers.Dense(2), "relu"]
    with pytest.raises(ConfigError, match=r"Stacked\.mix: got \[1\], expected keys that can be names"):
        layer.mix = {1: layers.Dense(2)}
    layer.numbers = [1, 2]
    assert layer.numbers == [1, 2]
