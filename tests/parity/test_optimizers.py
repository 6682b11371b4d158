"""Optimisers against torch's own (bitwise) and, where the formula is the same, Keras 3 in float64."""

import os

os.environ["KERAS_BACKEND"] = "torch"

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lepton_ai.training import optimizers
from lepton_ai.training.optimizers import SGD, Adam, AdamW, Optimizer
from lepton_ai.training.policies import DEFAULTS

torch.set_num_threads(1)


def in_its_dtype(function: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Any, Any], Tensor]:
    return lambda x, y: function(torch.as_tensor(x), torch.as_tensor(y, dtype=getattr(x, "dtype", None)))


@pytest.fixture(autouse=True)
def float64(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keras in float64, for the numbers that its formulas hold; on torch some of its operations go through float32."""
    before = keras.config.floatx()
    keras.config.set_floatx("float64")
    monkeypatch.setattr("keras.src.ops.mean", lambda x, axis=None, keepdims=False: torch.mean(x, axis, keepdims))
    for name in ("maximum", "minimum"):
        monkeypatch.setattr(f"keras.src.ops.{name}", in_its_dtype(getattr(torch, name)))
    yield
    keras.config.set_floatx(before)


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


TORCH: list[tuple[Optimizer, Callable[..., torch.optim.Optimizer]]] = [
    (SGD(0.1), lambda w, **k: torch.optim.SGD(w, 0.1, **k)),
    (SGD(0.1, 0.9), lambda w, **k: torch.optim.SGD(w, 0.1, 0.9, **k)),
    (SGD(0.1, 0.9, nesterov=True), lambda w, **k: torch.optim.SGD(w, 0.1, 0.9, nesterov=True, **k)),
    (Adam(0.1), lambda w, **k: torch.optim.AdamW(w, 0.1, eps=1e-7, weight_decay=0, **k)),
    (
        Adam(0.1, 0.8, 0.95, 1e-5, amsgrad=True),
        lambda w, **k: torch.optim.AdamW(w, 0.1, (0.8, 0.95), 1e-5, amsgrad=True, weight_decay=0, **k),
    ),
    (AdamW(0.1), lambda w, **k: torch.optim.AdamW(w, 0.1, eps=1e-7, weight_decay=0.004, **k)),
]


@pytest.mark.parametrize(("settings", "make"), TORCH)
@pytest.mark.parametrize("fused", [False, True])
def test_steps_are_those_of_torch(settings: Optimizer, make: Callable[..., torch.optim.Optimizer], fused: bool) -> None:
    expected = path(lambda weight: make([weight], fused=fused))
    assert torch.equal(ours(settings, fused), expected)


@pytest.mark.parametrize(("settings", "make"), TORCH)
def test_fused_steps_of_weights_of_several_types_that_lack_gradients_at_times(
    settings: Optimizer, make: Callable[..., torch.optim.Optimizer]
) -> None:
    def reached(make: Callable[[list[nn.Parameter]], torch.optim.Optimizer]) -> list[Tensor]:
        weights = [nn.Parameter(each.clone()) for each in (START, START.float(), START[0])]
        optimizer = make(weights)
        for number, gradient in enumerate(GRADIENTS):
            optimizer.zero_grad()
            for index, (weight, own) in enumerate(zip(weights, (gradient, gradient.float(), gradient[0]), strict=True)):
                if (number + index) % 3:
                    weight.grad = own.clone()
            optimizer.step()
        return [weight.data for weight in weights]

    got = reached(lambda weights: settings.build([(str(index), each) for index, each in enumerate(weights)]))
    torch.testing.assert_close(got, reached(make), rtol=1e-6, atol=1e-6)


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
    ("RMSprop", {"learning_rate": 0.1}, 1e-9),
    ("RMSprop", {"learning_rate": 0.1, "momentum": 0.5}, 1e-9),
    ("RMSprop", {"learning_rate": 0.1, "centered": True, "momentum": 0.9, "weight_decay": 0.05}, 1e-9),
    ("Adagrad", {"learning_rate": 0.1}, 1e-9),
    ("Adagrad", {"learning_rate": 0.1, "initial_accumulator_value": 0.0, "weight_decay": 0.05}, 1e-9),
    ("Adadelta", {"learning_rate": 1.0}, 1e-9),
    ("Adamax", {"learning_rate": 0.1}, 1e-9),
    ("Adamax", {"learning_rate": 0.1, "beta_1": 0.8, "beta_2": 0.9, "weight_decay": 0.05}, 1e-9),
    ("Nadam", {"learning_rate": 0.1, "epsilon": 1e-14}, 1e-9),
    ("Nadam", {"learning_rate": 0.1}, 1e-9),
    ("Ftrl", {"learning_rate": 0.1}, 1e-9),
    (
        "Ftrl",
        {
            "learning_rate": 0.1,
            "learning_rate_power": -0.3,
            "l1_regularization_strength": 0.3,
            "l2_regularization_strength": 0.1,
            "l2_shrinkage_regularization_strength": 0.2,
            "beta": 0.1,
        },
        1e-9,
    ),
    ("Lion", {"learning_rate": 0.1, "weight_decay": 0.05}, 1e-9),
    ("Lamb", {"learning_rate": 0.1}, 1e-9),
    ("Lamb", {"learning_rate": 0.1, "weight_decay": 0.05}, 1e-9),
    ("Adafactor", {"learning_rate": 0.1}, 1e-9),
    ("Adafactor", {"learning_rate": 0.9, "relative_step": False, "clip_threshold": 0.7, "weight_decay": 0.05}, 1e-9),
    # Keras' iteration goes through float32 on torch; below it is judged in float64.
    ("Muon", {"learning_rate": 0.1}, 1e-6),
    ("Muon", {"learning_rate": 0.1, "nesterov": False, "rms_rate": None, "ns_steps": 3}, 1e-6),
    ("Muon", {"learning_rate": 0.1, "exclude_layers": ["."], "adam_lr_ratio": 0.5, "adam_weight_decay": 0.1}, 1e-9),
    # With the default epsilon the documented difference remains: torch counts it after the bias correction.
    ("Adam", {"learning_rate": 0.1}, 1e-4),
    ("AdamW", {"learning_rate": 0.1}, 1e-4),
]


@pytest.mark.parametrize(("name", "arguments", "tolerance"), KERAS)
def test_steps_are_those_of_keras(name: str, arguments: dict[str, Any], tolerance: float) -> None:
    settings = getattr(optimizers, name)(**arguments)
    torch.testing.assert_close(ours(settings), keras_path(name, arguments), rtol=tolerance, atol=tolerance)


NOT_RULES = {"LossScaleOptimizer", "MultiOptimizer", "Optimizer", "OptimizerMap"}
NAMES = [name for name in dir(keras.optimizers) if inspect.isclass(getattr(keras.optimizers, name))]


@pytest.mark.parametrize("name", sorted(set(NAMES) - NOT_RULES))
def test_arguments_and_defaults_are_those_of_keras(name: str) -> None:
    theirs = inspect.signature(getattr(keras.optimizers, name)).parameters
    for key, parameter in inspect.signature(optimizers.OPTIMIZERS.get(name)).parameters.items():
        if parameter.kind is not parameter.VAR_KEYWORD:
            assert parameter.default == theirs[key].default, key
    shared = DEFAULTS.keys() - {"rates"}  # which are Lepton's own
    assert {key: theirs[key].default for key in shared} | {"ema_momentum": 0.99, "rates": None} == DEFAULTS


def test_every_optimiser_is_keras_or_lepton_s_own() -> None:
    ours = {optimizers.OPTIMIZERS.get(name).__name__ for name in optimizers.OPTIMIZERS}
    assert ours == {*NAMES, "ChannelAdaptive"} - NOT_RULES


@pytest.mark.parametrize("policy", [{"clipnorm": 0.7}, {"clipvalue": 0.3}, {"global_clipnorm": 0.9}])
def test_clipped_steps_are_those_of_keras(policy: dict[str, Any]) -> None:
    arguments = {"learning_rate": 0.1, "momentum": 0.9, **policy}
    own = ours(SGD(**arguments))
    torch.testing.assert_close(own, keras_path("SGD", arguments), rtol=1e-9, atol=1e-9)
    assert not torch.allclose(own, ours(SGD(0.1, 0.9)), atol=1e-3)


@pytest.mark.parametrize("shape", [(5,), (4, 3), (6, 2, 3, 3)])
def test_adafactor_factors_a_kernel_as_keras_does_its_own(shape: tuple[int, ...]) -> None:
    """Keras' kernels are (..., in, out), ours (out, in, ...)."""
    there = [*range(2, len(shape)), *range(min(2, len(shape)))[::-1]]
    start = torch.randn(shape, generator=GENERATOR, dtype=torch.float64)
    gradients = [torch.randn(shape, generator=GENERATOR, dtype=torch.float64) for _ in range(4)]
    weight = nn.Parameter(start.clone())
    own = optimizers.Adafactor(0.1).build([("weight", weight)])
    variable = keras.Variable(start.permute(there).contiguous(), dtype="float64")
    theirs = keras.optimizers.Adafactor(0.1)
    theirs.build([variable])
    theirs._learning_rate = keras.Variable(0.1, dtype="float64", trainable=False)
    for gradient in gradients:
        weight.grad = gradient
        own.step()
        theirs.apply([gradient.permute(there).contiguous()], [variable])
    torch.testing.assert_close(weight.data.permute(there), variable.value.detach(), rtol=1e-9, atol=1e-9)


def test_lamb_is_algorithm_2_of_the_paper() -> None:
    """With the identity as its function of lengths, and no decay; written out on numpy arrays."""
    x, m, v = START.numpy().copy(), np.zeros((4, 3)), np.zeros((4, 3))
    for t, gradient in enumerate(GRADIENTS, start=1):
        g = gradient.numpy()
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        r = (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-6)
        x = x - 0.05 * np.linalg.norm(x) / np.linalg.norm(r) * r
    torch.testing.assert_close(ours(optimizers.Lamb(0.05, epsilon=1e-6)), torch.from_numpy(x), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("nesterov", [True, False])
def test_muon_turns_singular_values_by_its_polynomial(nesterov: bool) -> None:
    w, m = START.numpy().copy(), np.zeros((4, 3))
    for gradient in GRADIENTS:
        g = gradient.numpy()
        m = 0.95 * m + g
        u, s, v = np.linalg.svd(g + 0.95 * m if nesterov else m, full_matrices=False)
        s = s / np.linalg.norm(s)
        for _ in range(5):
            s = 3.4445 * s - 4.775 * s**3 + 2.0315 * s**5
        w = w * (1 - 0.1 * 0.004) - 0.1 * 0.2 * 2.0 * (u * s) @ v
    # 1e-7 is added to the length of the matrix
    torch.testing.assert_close(ours(optimizers.Muon(0.1, nesterov=nesterov)), torch.from_numpy(w), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("beta", "warmup"), [(0.9, 0), (0.8, 5)])
def test_schedule_free_steps_are_those_of_the_paper(beta: float, warmup: int) -> None:
    """Written out, since Keras on torch takes z after its step where the formula has it before."""
    x = z = START.numpy().copy()
    y, v = x, np.zeros((4, 3))
    for t, gradient in enumerate(GRADIENTS, start=1):
        g = gradient.numpy()
        v = 0.999 * v + 0.001 * g**2
        z = z - 0.1 * (min(t / warmup, 1) if warmup else 1) * g / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
        x = (1 - 1 / t) * x + z / t
        y = (1 - beta) * z + beta * x
    found = ours(optimizers.ScheduleFreeAdamW(0.1, beta, warmup_steps=warmup))
    torch.testing.assert_close(found, torch.from_numpy(y), rtol=1e-9, atol=1e-9)


def test_the_first_schedule_free_step_is_that_of_keras(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "GRADIENTS", GRADIENTS[:1])
    settings = {"learning_rate": 0.1, "warmup_steps": 3}
    found = ours(optimizers.ScheduleFreeAdamW(0.1, warmup_steps=3))
    torch.testing.assert_close(found, keras_path("ScheduleFreeAdamW", settings), rtol=1e-9, atol=1e-9)


def test_adagrad_and_adamax_are_those_of_torch_but_for_epsilon() -> None:
    adagrad = path(lambda w: torch.optim.Adagrad([w], 0.1, initial_accumulator_value=0.1, eps=0))
    torch.testing.assert_close(ours(optimizers.Adagrad(0.1, epsilon=1e-16)), adagrad, rtol=1e-9, atol=1e-9)
    adamax = path(lambda w: torch.optim.Adamax([w], 0.1, eps=1e-16))
    torch.testing.assert_close(ours(optimizers.Adamax(0.1, epsilon=1e-16)), adamax, rtol=1e-9, atol=1e-9)
    adadelta = path(lambda w: torch.optim.Adadelta([w], 1.0, rho=0.95, eps=1e-7))
    torch.testing.assert_close(ours(optimizers.Adadelta(1.0)), adadelta, rtol=1e-9, atol=1e-9)
