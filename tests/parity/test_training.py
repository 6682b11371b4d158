"""The whole of training against a hand-written torch loop, and against Keras 3 on torch."""

import os

os.environ["KERAS_BACKEND"] = "torch"

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import torch
from torch import nn

from lepton_ai import layers as ours
from lepton_ai.hal import ExecutionPlan
from lepton_ai.models import Model, Sequential
from lepton_ai.training import SGD, EarlyStopping, LambdaCallback, ReduceLROnPlateau
from tests.contracts.fitting import StepLosses, cnn, images, mlp, table

PLAIN = ExecutionPlan(fused_optimizer=False, allocator=False)


# -- a hand-written loop ------------------------------------------------------------------------------------


class TorchCNN(nn.Module):
    """`cnn()` as a PyTorch user writes it, channels first."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 5, 3)
        self.head = nn.Linear(20, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = nn.functional.max_pool2d(self.one(x.permute(0, 3, 1, 2)).relu(), 2)
        x = self.two(x).relu().permute(0, 2, 3, 1).flatten(1)  # ours flattens channels last
        result: torch.Tensor = self.head(x)
        return result


def torch_mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))


@pytest.mark.parametrize("plan", [PLAIN, ExecutionPlan()], ids=["plain", "default"])
@pytest.mark.parametrize(("make", "theirs", "data"), [(mlp, torch_mlp, table), (cnn, TorchCNN, images)])
def test_fit_is_the_hand_written_loop(
    make: Callable[[], Sequential], theirs: Callable[[], nn.Module], data: Callable[[], Any], plan: ExecutionPlan
) -> None:
    x, y = data()
    model, module = make(), theirs()
    model.predict(x[:2])
    values = list(model.state_dict().values())
    with torch.no_grad():
        for weight, value in zip(module.parameters(), values, strict=True):
            weight.copy_(value)
    watch = StepLosses()
    model.compile("adam", "sparse_categorical_crossentropy", plan=plan)
    epochs = -(-20 // -(-len(x) // 6))
    model.fit(x, y, batch_size=6, epochs=epochs, shuffle=False, verbose=0, callbacks=[watch])

    optimizer = torch.optim.Adam(module.parameters(), eps=1e-7)
    inputs, labels, losses = torch.from_numpy(x), torch.from_numpy(y), []
    for _ in range(epochs):
        for start in range(0, len(x), 6):
            loss = nn.functional.cross_entropy(module(inputs[start : start + 6]), labels[start : start + 6])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            losses.append(loss.item())
    assert len(losses) >= 20
    assert watch.losses == pytest.approx(losses, rel=1e-6, abs=1e-6)
    for weight, value in zip(module.parameters(), model.state_dict().values(), strict=True):
        torch.testing.assert_close(value, weight.detach(), rtol=1e-6, atol=2e-6)


# -- Keras --------------------------------------------------------------------------------------------------


def keras_twin(model: Sequential, stack: list[Any], shape: tuple[int, ...]) -> Any:
    """A Keras model of equal weights."""
    twin = keras.Sequential([keras.Input(shape), *stack])
    model.predict(np.zeros((2, *shape), "float32"))
    twin.set_weights(model.get_weights())
    return twin


def compare(model: Any, twin: Any, x: Any, y: Any, tolerance: float = 1e-5, **options: Any) -> None:
    """One program on both; the same history and the same weights."""
    loss = options.pop("loss", "sparse_categorical_crossentropy")
    metrics = options.pop("metrics", ["accuracy"])
    model.compile(SGD(0.05, momentum=0.9), loss, metrics=metrics)
    twin.compile(keras.optimizers.SGD(0.05, momentum=0.9), loss, metrics=metrics)
    options = {"batch_size": 8, "epochs": 2, "shuffle": False, "verbose": 0} | options
    mine, theirs = model.fit(x, y, **options).history, twin.fit(x, y, **options).history
    assert mine.keys() == theirs.keys()
    for name, values in theirs.items():
        assert mine[name] == pytest.approx(values, rel=tolerance, abs=tolerance), name
    for ours_, theirs_ in zip(model.get_weights(), twin.get_weights(), strict=True):
        np.testing.assert_allclose(ours_, theirs_, rtol=tolerance, atol=tolerance)
    assert model.evaluate(x, y) == pytest.approx(twin.evaluate(x, y, verbose=0), rel=tolerance, abs=tolerance)
    np.testing.assert_allclose(model.predict(x), twin.predict(x, verbose=0), rtol=1e-4, atol=tolerance)


def table_pair(**first: Any) -> tuple[Sequential, Any]:
    """A small network on both sides; `first` are options of its first layer."""
    regularizer = first.get("kernel_regularizer")
    theirs = {"kernel_regularizer": keras.regularizers.L2(regularizer.l2)} if regularizer else {}
    model = Sequential([ours.Dense(8, "relu", input_shape=(4,), **first), ours.Dense(3, "softmax")])
    stack = [keras.layers.Dense(8, "relu", **theirs), keras.layers.Dense(3, "softmax")]
    return model, keras_twin(model, stack, (4,))


WEIGHTS = np.linspace(0, 3, 50).astype("float32")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"validation_split": 0.3},
        {"sample_weight": WEIGHTS},
        {"class_weight": {0: 0.2, 1: 3.0, 2: 1.0}},
        {"sample_weight": WEIGHTS, "validation_split": 0.3},
        {"validation_data": (table()[0][:9], table()[1][:9], WEIGHTS[:9])},
        {"batch_size": 50},
        {"steps_per_epoch": 2, "epochs": 1},
        {"initial_epoch": 1, "epochs": 3},
        {"loss": "mse", "metrics": ["mae"], "y": np.eye(3)[table()[1]]},
    ],
    ids=lambda options: "-".join(options) or "plain",
)
def test_a_table_trains_as_in_keras(options: dict[str, Any]) -> None:
    x, y = table()
    compare(*table_pair(), x, options.pop("y", y) if "y" in options else y, **options)


def test_regularisation_is_as_in_keras() -> None:
    compare(*table_pair(kernel_regularizer=ours.L2(0.03)), *table(), validation_split=0.3)


def test_regularisation_of_frozen_weights_is_as_in_keras() -> None:
    model, twin = table_pair(kernel_regularizer=ours.L2(0.03))
    model.layers[0].trainable = False
    twin.layers[0].trainable = False
    compare(model, twin, *table())


def test_images_train_as_in_keras() -> None:
    model = cnn(norm=True)
    stack = [
        keras.layers.Conv2D(6, 3, activation="relu", padding="same"),
        keras.layers.BatchNormalization(),
        keras.layers.MaxPooling2D(2),
        keras.layers.Conv2D(5, 3, activation="relu"),
        keras.layers.Flatten(),
        keras.layers.Dense(3, "softmax"),
    ]
    x, y = images()
    compare(model, keras_twin(model, stack, (8, 8, 3)), x, y, 1e-4, validation_split=0.25)


def test_frozen_normalisation_is_as_in_keras() -> None:
    model = Sequential([ours.BatchNormalization(input_shape=(4,)), ours.Dense(3, "softmax")])
    twin = keras_twin(model, [keras.layers.BatchNormalization(), keras.layers.Dense(3, "softmax")], (4,))
    model.layers[0].trainable = False
    twin.layers[0].trainable = False
    compare(model, twin, *table())


def test_several_outputs_train_as_in_keras() -> None:
    x, y = table()
    start = ours.Input((4,))
    hidden = ours.Dense(6, "relu")(start)
    model = Model(start, [ours.Dense(3, "softmax", name="label")(hidden), ours.Dense(1, name="size")(hidden)])
    theirs = keras.Input((4,))
    middle = keras.layers.Dense(6, "relu")(theirs)
    outputs = [keras.layers.Dense(3, "softmax", name="label")(middle), keras.layers.Dense(1, name="size")(middle)]
    twin = keras.Model(theirs, outputs)
    twin.set_weights(model.get_weights())
    loss, shares = ["sparse_categorical_crossentropy", "mse"], [1.0, 0.3]
    model.compile(SGD(0.05), loss, loss_weights=shares, metrics=[["accuracy"], ["mae"]])
    twin.compile(keras.optimizers.SGD(0.05), loss, loss_weights=shares, metrics=[["accuracy"], ["mae"]])
    options: dict[str, Any] = {"batch_size": 8, "epochs": 2, "shuffle": False, "verbose": 0}
    targets = [y, x[:, :1]]
    mine = model.fit(x, targets, **options).history
    reached = twin.fit(x, targets, **options).history
    assert mine.keys() == reached.keys() == {"loss", "label_loss", "size_loss", "label_accuracy", "size_mae"}
    for name in reached:
        assert mine[name] == pytest.approx(reached[name], rel=1e-5), name
    measured = twin.evaluate(x, targets, verbose=0, return_dict=True)
    for name, value in model.evaluate(x, targets, return_dict=True).items():
        assert value == pytest.approx(measured[name], rel=1e-5), name


# -- callbacks on scripted metrics --------------------------------------------------------------------------

RNG = np.random.default_rng(11)
SCRIPTS = [
    [1.0, 0.9, 0.95, 0.94, 0.93, 0.92, 0.91, 0.5, 0.6, 0.6, 0.6, 0.6],
    [1.0] * 12,
    [0.5, 0.6, 0.7, 0.2, 0.1, 0.3, 0.3, 0.3, 0.05, 0.3, 0.3, 0.3],
    *[list(np.exp(-0.2 * np.arange(12)) + 0.1 * RNG.random(12)) for _ in range(4)],
]
STOPPING: list[dict[str, Any]] = [
    {},
    {"patience": 1},
    {"patience": 3},
    {"patience": 2, "min_delta": 0.05},
    {"patience": 2, "mode": "max"},
    {"patience": 2, "baseline": 0.55},
    {"patience": 2, "baseline": 0.0},
    {"patience": 1, "start_from_epoch": 3},
]
PLATEAUS: list[dict[str, Any]] = [
    {"patience": 1, "factor": 0.5},
    {"patience": 2, "factor": 0.1, "cooldown": 2},
    {"patience": 1, "factor": 0.5, "min_lr": 0.02},
    {"patience": 2, "factor": 0.3, "min_delta": 0.06, "mode": "min"},
    {"patience": 2, "factor": 0.3, "mode": "max", "cooldown": 1},
]


def our_epochs(callback: Any, script: list[float]) -> tuple[list[float], Any]:
    """The rate of each epoch that was trained, under metrics as in `script`."""
    model = Sequential([ours.Dense(1, input_shape=(1,))])
    model.compile(SGD(0.1), "mse")
    rates: list[float] = []

    def script_epoch(epoch: int, logs: dict[str, float]) -> None:
        logs["val_loss"] = script[epoch]
        rates.append(watch.run.learning_rate)

    watch = LambdaCallback(on_epoch_end=script_epoch)
    x = np.ones((1, 1), "float32")
    model.fit(x, x, epochs=len(script), verbose=0, callbacks=[watch, callback])
    return rates, callback


def their_epochs(callback: Any, script: list[float]) -> tuple[list[float], Any]:
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    rates: list[float] = []

    class Script(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            logs["val_loss"] = script[epoch]
            rates.append(float(self.model.optimizer.learning_rate))

    x = np.ones((1, 1), "float32")
    model.fit(x, x, epochs=len(script), verbose=0, callbacks=[Script(), callback])
    return rates, callback


@pytest.mark.parametrize("options", STOPPING, ids=str)
def test_early_stopping_stops_as_in_keras(options: dict[str, Any]) -> None:
    for script in SCRIPTS:
        mine, callback = our_epochs(EarlyStopping(restore_best_weights=True, **options), script)
        theirs, judge = their_epochs(keras.callbacks.EarlyStopping(restore_best_weights=True, **options), script)
        assert len(mine) == len(theirs), script
        assert callback.best_epoch == judge.best_epoch
        assert callback.best == pytest.approx(judge.best)


@pytest.mark.parametrize("options", PLATEAUS, ids=str)
def test_the_rate_falls_as_in_keras(options: dict[str, Any]) -> None:
    for script in SCRIPTS:
        mine, _ = our_epochs(ReduceLROnPlateau(**options), script)
        theirs, _ = their_epochs(keras.callbacks.ReduceLROnPlateau(**options), script)
        assert mine == pytest.approx(theirs, rel=1e-5), script
