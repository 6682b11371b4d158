"""Schedules against Keras 3 (in float64) and torch.optim.lr_scheduler."""

import os

os.environ["KERAS_BACKEND"] = "torch"

import inspect
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import keras
import pytest
import torch
from torch.optim import lr_scheduler

from lepton_ai.training.schedules import (
    SCHEDULES,
    Constant,
    CosineDecay,
    OneCycle,
    Schedule,
    StepDecay,
    WarmUp,
    get_schedule,
)


@pytest.fixture(autouse=True)
def float64() -> Iterator[None]:
    before = keras.config.floatx()
    keras.config.set_floatx("float64")
    yield
    keras.config.set_floatx(before)


CASES: list[tuple[str, dict[str, Any]]] = [
    ("ExponentialDecay", {"initial_learning_rate": 0.1, "decay_steps": 7, "decay_rate": 0.9}),
    ("ExponentialDecay", {"initial_learning_rate": 0.1, "decay_steps": 7, "decay_rate": 0.9, "staircase": True}),
    ("InverseTimeDecay", {"initial_learning_rate": 0.1, "decay_steps": 7, "decay_rate": 0.5}),
    ("InverseTimeDecay", {"initial_learning_rate": 0.1, "decay_steps": 7, "decay_rate": 0.5, "staircase": True}),
    ("PiecewiseConstantDecay", {"boundaries": [3, 9, 20], "values": [0.1, 0.05, 0.02, 0.01]}),
    ("PolynomialDecay", {"initial_learning_rate": 0.1, "decay_steps": 20}),
    ("PolynomialDecay", {"initial_learning_rate": 0.1, "decay_steps": 8, "power": 2.0, "cycle": True}),
    ("CosineDecay", {"initial_learning_rate": 0.1, "decay_steps": 25}),
    ("CosineDecay", {"initial_learning_rate": 0.01, "decay_steps": 25, "alpha": 0.2}),
    ("CosineDecayRestarts", {"initial_learning_rate": 0.1, "first_decay_steps": 7}),
    ("CosineDecayRestarts", {"initial_learning_rate": 0.1, "first_decay_steps": 6, "t_mul": 1.0, "m_mul": 0.5}),
    (
        "CosineDecayRestarts",
        {"initial_learning_rate": 0.1, "first_decay_steps": 5, "t_mul": 1.6, "m_mul": 0.9, "alpha": 0.1},
    ),
    (
        "CosineDecay",
        {"initial_learning_rate": 0.01, "decay_steps": 25, "alpha": 0.2, "warmup_target": 0.1, "warmup_steps": 6},
    ),
]


@pytest.mark.parametrize(("name", "arguments"), CASES)
def test_rates_are_those_of_keras(name: str, arguments: dict[str, Any]) -> None:
    ours = get_schedule({"class": name, "config": arguments})
    theirs = getattr(keras.optimizers.schedules, name)(**arguments)
    steps = range(45)
    assert [ours(step) for step in steps] == pytest.approx([float(theirs(step)) for step in steps], rel=1e-9, abs=1e-12)


def test_every_schedule_of_keras_is_here() -> None:
    room = keras.optimizers.schedules
    theirs = {name for name in dir(room) if inspect.isclass(getattr(room, name))}
    assert theirs - {"LearningRateSchedule"} <= set(SCHEDULES)


def rates_of_torch(make: Callable[[torch.optim.Optimizer], Any], rate: float, steps: int) -> list[float]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], rate)
    scheduler, rates = make(optimizer), []
    for _ in range(steps):
        rates.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        scheduler.step()
    return rates


TORCH: list[tuple[Schedule, Callable[[torch.optim.Optimizer], Any], float, int]] = [
    (StepDecay(0.1, 6, 0.5), lambda o: lr_scheduler.StepLR(o, 6, 0.5), 0.1, 30),
    (CosineDecay(0.1, 30), lambda o: lr_scheduler.CosineAnnealingLR(o, 30), 0.1, 31),
    (OneCycle(0.1, 40), lambda o: lr_scheduler.OneCycleLR(o, 0.1, 40, cycle_momentum=False), 0.1, 39),
    (
        OneCycle(0.1, pct_start=0.15, div_factor=10, final_div_factor=100).bind(40),
        lambda o: lr_scheduler.OneCycleLR(
            o, 0.1, 40, pct_start=0.15, div_factor=10, final_div_factor=100, cycle_momentum=False
        ),
        0.1,
        39,
    ),
    (
        WarmUp(Constant(0.1), 5, initial_learning_rate=0.01),
        lambda o: lr_scheduler.LinearLR(o, 0.1, 1.0, total_iters=5),
        0.1,
        20,
    ),
]


@pytest.mark.parametrize(("ours", "make", "rate", "steps"), TORCH)
def test_rates_are_those_of_torch(
    ours: Schedule, make: Callable[[torch.optim.Optimizer], Any], rate: float, steps: int
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = rates_of_torch(make, rate, steps)
    assert [ours(step) for step in range(steps)] == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_a_warm_up_before_a_cosine_is_keras_own() -> None:
    ours = WarmUp(CosineDecay(0.1, 25, 0.2), 6, initial_learning_rate=0.01)
    theirs = keras.optimizers.schedules.CosineDecay(0.01, 25, 0.2, warmup_target=0.1, warmup_steps=6)
    assert [ours(step) for step in range(45)] == pytest.approx([float(theirs(step)) for step in range(45)], rel=1e-9)
