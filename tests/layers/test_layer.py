"""The base class: what users who write layers rely on."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from lepton_ai import layers
from lepton_ai.core import ConfigError, ShapeError, UsageError
from tests.contracts.layer import Inputs, LayerContract, noise


class Scale(layers.Layer):
    """A user's layer, as short as can be: shapes are found by trial."""

    weight: Tensor

    def __init__(self, factor: float = 2.0, **options: Any) -> None:
        super().__init__(**options)
        self.factor = factor

    def build(self, input_shape: Any) -> None:
        self.add_weight("weight", (input_shape[-1], input_shape[-1]))

    def call(self, x: Tensor) -> Tensor:
        return self.factor * x @ self.weight


class Split(layers.Layer):
    """Two outputs."""

    def call(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x[:, :1], x[:, 1:]


class TestScale(LayerContract):
    any_rank = True

    def make(self) -> layers.Layer:
        return Scale(3.0, name="mine")

    def example(self) -> Inputs:
        return (noise(7, 4),)


def test_several_outputs_found_by_trial() -> None:
    first, second = Split()(layers.Input((5,)))
    assert first.shape == (None, 1) and second.shape == (None, 4)
    assert (first.index, second.index) == (0, 1)


def test_names() -> None:
    assert layers.GlobalAveragePooling2D().name == "global_average_pooling2d"
    for name in ("", "a.b", 3):
        with pytest.raises(ConfigError, match=r"Scale\.name: got .*, expected a name without dots"):
            Scale(name=name)


def test_two_equal_layers_start_differently() -> None:
    x = noise(2, 4)
    assert not torch.equal(layers.Dense(3)(x), layers.Dense(3)(x))


def test_weights_are_checked_before_any_is_taken() -> None:
    layer = layers.Dense(3, name="out")
    with pytest.raises(ShapeError, match=r"Dense 'out': got 2, expected 0 arrays\. Call the layer once before"):
        layer.set_weights([np.zeros((4, 3)), np.zeros(3)])
    layer(noise(2, 4))
    before = layer.get_weights()
    with pytest.raises(ShapeError, match=r"Dense 'out'\.bias: got \(4,\), expected \(3,\)"):
        layer.set_weights([np.zeros((4, 3)), np.zeros(4)])
    np.testing.assert_array_equal(layer.get_weights()[0], before[0])
    assert before[0].shape == (4, 3)
    before[0][:] = 0
    assert layer.weight.any()


def test_freezing() -> None:
    layer = layers.Dense(3, trainable=False)
    layer(noise(2, 4))
    assert not layer.trainable and not any(weight.requires_grad for weight in layer.parameters())
    layer.trainable = True
    assert all(weight.requires_grad for weight in layer.parameters())


def test_a_config_that_forgets_an_argument_says_so() -> None:
    class Forgets(layers.Layer):
        def __init__(self, width: int) -> None:
            super().__init__()

    with pytest.raises(ConfigError, match=r"Forgets does not keep its argument 'width'\. Write self\.width = width"):
        Forgets(3).get_config()


def test_typed_options_belong_to_the_config() -> None:
    config = layers.Dense(3, use_bias=False, kernel_regularizer="l2").get_config()
    assert config["use_bias"] is False and config["units"] == 3
    assert config["kernel_regularizer"] == {"class": "L2", "config": {"l2": 0.01}}
    assert "input_shape" not in config


def test_inputs_come_by_position() -> None:
    with pytest.raises(UsageError, match=r"Dense 'out': got no inputs by position\. Write layer\(x\)"):
        layers.Dense(3, name="out")(x=noise(2, 4))


def test_regularisation_is_given_for_each_weight() -> None:
    layer = layers.Dense(2, kernel_initializer="ones", kernel_regularizer=layers.L2(0.5), bias_regularizer="l1")
    layer(noise(2, 3))
    assert [penalty.item() for penalty in layer.regularization()] == pytest.approx([3.0, 0.0])


def test_torchs_own_errors_pass_through() -> None:
    class Broken(layers.Layer):
        def call(self, x: Tensor) -> Tensor:
            raise RuntimeError("broken inside")

    with pytest.raises(RuntimeError, match="broken inside"):
        Broken()(noise(2, 3))


def test_a_misspelt_argument_is_named() -> None:
    with pytest.raises(ConfigError, match=r"Dense: unknown argument 'activaton'\. Did you mean 'activation'\?"):
        layers.Dense(64, activaton="relu")  # type: ignore[call-arg]
