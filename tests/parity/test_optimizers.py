"""Optimisers against torch's own (bitwise) and, where the formula is the same, Keras 3 in float64."""

import os

os.environ["KERAS_BACKEND"] = "torch"

import inspect
from collections.abc import Callable
from typing import Any

import keras
import pytest
import torch
from torch import Tensor, nn

from lepton_ai.training import optimizers
from lepton_ai.training.optimizers import SGD, Adam, AdamW, Optimizer, RMSprop

torch.set_num_threads(1)
GENERATOR = torch.Generator().manual_seed(5)
START = torch.randn(4, 3, generator=GENERATOR, dtype=torch.float64)
GRADIENTS = [torch.randn(4, 3, generator=GENERATOR, dtype=torch.float64) for _ in range(8)]


def path(make: Callable[[nn.Parameter], torch.optim.Optimizer], scale: float = 1.0) -> Tensor:
    weight = nn.Parameter(START.clone())
    optimizer = make(weight)
    for gradient in GRADIENTS:
        weight.grad = gradient * scale
        optimizer.step()
    return weight.data


def ours(optimizer: Optimizer, fused: bool = False, scale: float = 1.0) -> Tensor:
    return path(lambda weight: optimizer.build([("weight", weight)], fused=fused), scale)


TORCH: list[tuple[Optimizer, Callable[[nn.Parameter], torch.optim.Optimizer]]] = [
    (SGD(0.1), lambda w: torch.optim.SGD([w], 0.1)),
    (SGD(0.1, 0.9), lambda w: torch.optim.SGD([w], 0.1, 0.9)),
    (SGD(0.1, 0.9, nesterov=True), lambda w: torch.optim.SGD([w], 0.1, 0.9, nesterov=True)),
    (Adam(0.1), lambda w: torch.optim.Adam([w], 0.1, eps=1e-7)),
    (Adam(0.1, 0.8, 0.95, 1e-5, amsgrad=True), lambda w: torch.optim.Adam([w], 0.1, (0.8, 0.95), 1e-5, amsgrad=True)),
    (AdamW(0.1), lambda w: torch.optim.AdamW([w], 0.1, eps=1e-7, weight_decay=0.004)),
    (RMSprop(0.1), lambda w: torch.optim.RMSprop([w], 0.1, 0.9, 1e-7)),
    (
        RMSprop(0.1, 0.8, 0.5, centered=True),
        lambda w: torch.optim.RMSprop([w], 0.1, 0.8, 1e-7, momentum=0.5, centered=True),
    ),
]


@pytest.mark.parametrize(("settings", "make"), TORCH)
def test_steps_are_those_of_torch(settings: Optimizer, make: Callable[[nn.Parameter], torch.optim.Optimizer]) -> None:
    expected = path(make)
    assert torch.equal(ours(settings), expected)
    torch.testing.assert_close(ours(settings, fused=True), expected, rtol=1e-12, atol=1e-12)


def keras_path(name: str, arguments: dict[str, Any], scale: float = 1.0) -> Tensor:
    variable = keras.Variable(START.clone(), dtype="float64")
    optimizer = getattr(keras.optimizers, name)(**arguments)
    optimizer.build([variable])
    # The rate is a float32 variable in Keras; in float64 the formula can be compared at full precision.
    optimizer._learning_rate = keras.Variable(arguments["learning_rate"], dtype="float64", trainable=False)
    for gradient in GRADIENTS:
        optimizer.apply([gradient * scale], [variable])
    reached: Tensor = variable.value.detach().clone()
    return reached


KERAS: list[tuple[str, dict[str, Any], float]] = [
    ("SGD", {"learning_rate": 0.1}, 1e-9),
    ("SGD", {"learning_rate": 0.1, "momentum": 0.9}, 1e-9),
    ("SGD", {"learning_rate": 0.1, "momentum": 0.9, "nesterov": True}, 1e-9),
    ("SGD", {"learning_rate": 0.1, "momentum": 0.9, "weight_decay": 0.05}, 1e-9),
    ("Adam", {"learning_rate": 0.1, "epsilon": 1e-14}, 1e-9),
    ("Adam", {"learning_rate": 0.1, "epsilon": 1e-14, "amsgrad": True, "weight_decay": 0.05}, 1e-9),
    ("AdamW", {"learning_rate": 0.1, "epsilon": 1e-14}, 1e-9),
    ("RMSprop", {"learning_rate": 0.1, "epsilon": 1e-14, "momentum": 0.5}, 1e-9),
    ("RMSprop", {"learning_rate": 0.1, "epsilon": 1e-14, "centered": True, "weight_decay": 0.05}, 1e-9),
    # With the default epsilon the documented difference remains: torch counts it after the bias correction.
    ("Adam", {"learning_rate": 0.1}, 1e-4),
    ("AdamW", {"learning_rate": 0.1}, 1e-4),
    ("RMSprop", {"learning_rate": 0.1}, 1e-2),
]


@pytest.mark.parametrize(("name", "arguments", "tolerance"), KERAS)
def test_steps_are_those_of_keras(name: str, arguments: dict[str, Any], tolerance: float) -> None:
    settings = getattr(optimizers, name)(**arguments)
    torch.testing.assert_close(ours(settings), keras_path(name, arguments), rtol=tolerance, atol=tolerance)


def test_where_rmsprop_differs_from_keras_is_as_documented() -> None:
    small = ours(RMSprop(0.1), scale=1e-5) - START
    theirs = keras_path("RMSprop", {"learning_rate": 0.1}, scale=1e-5) - START
    assert small.abs().mean() > 5 * theirs.abs().mean()


@pytest.mark.parametrize("kind", [SGD, Adam, AdamW, RMSprop])
def test_arguments_and_defaults_are_those_of_keras(kind: type[Optimizer]) -> None:
    theirs = inspect.signature(getattr(keras.optimizers, kind.__name__)).parameters
    for name, parameter in inspect.signature(kind).parameters.items():
        assert parameter.default == theirs[name].default, name
