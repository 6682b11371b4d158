"""Small models and data to train them on."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from lepton_ai.layers import BatchNormalization, Conv2D, Dense, Dropout, Flatten, Input, MaxPooling2D, RandomFlip
from lepton_ai.models import Model, Sequential
from lepton_ai.training import Callback, History, Optimizer


def table(rows: int = 50, features: int = 4, classes: int = 3) -> tuple[Any, Any]:
    """Rows of numbers, and labels that follow from them."""
    rng = np.random.default_rng(7)
    x = rng.standard_normal((rows, features)).astype("float32")
    y = (x @ rng.standard_normal((features, classes))).argmax(1)
    return x, y


def images(rows: int = 22, classes: int = 3) -> tuple[Any, Any]:
    """Coloured images of 8x8, the class's channel brighter."""
    rng = np.random.default_rng(8)
    y = np.arange(rows) % classes
    x = rng.random((rows, 8, 8, 3)).astype("float32")
    x[np.arange(rows), :, :, y] += 0.5
    return x, y


def mlp(features: int = 4, classes: int = 3, dropout: float = 0.0) -> Sequential:
    """Two layers over a table."""
    layers: list[Any] = [Dense(8, activation="relu", input_shape=(features,))]
    if dropout:
        layers.append(Dropout(dropout))
    return Sequential([*layers, Dense(classes, activation="softmax")])


def cnn(classes: int = 3, *, dropout: float = 0.0, norm: bool = False, flip: bool = False) -> Sequential:
    """Two convolutions over small coloured images."""
    layers: list[Any] = [Input((8, 8, 3))]
    layers += [RandomFlip("horizontal")] if flip else []
    layers += [Conv2D(6, 3, activation="relu", padding="same")]
    layers += [BatchNormalization()] if norm else []
    layers += [MaxPooling2D(2), Conv2D(5, 3, activation="relu"), Flatten()]
    layers += [Dropout(dropout)] if dropout else []
    return Sequential([*layers, Dense(classes, activation="softmax")])


def compiled(model: Model, optimizer: str | Optimizer = "adam", metrics: tuple[str, ...] = ("accuracy",)) -> Any:
    """The model, ready to learn labels."""
    model.compile(optimizer=optimizer, loss="sparse_categorical_crossentropy", metrics=list(metrics))
    return model


def state(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """A copy of all weights and statistics."""
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def same_state(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    """Whether all weights and statistics are bit-equal."""
    a, b = one.state_dict(), other.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) and a[name].dtype == b[name].dtype for name in a)


def finite(model: torch.nn.Module) -> bool:
    """Whether all weights and statistics are."""
    return all(bool(torch.isfinite(value).all()) for value in model.state_dict().values())


class StepLosses(Callback):
    """The loss of every step."""

    def __init__(self) -> None:
        self.losses: list[float] = []

    def on_train_batch_end(self, batch: int, logs: dict[str, float]) -> None:
        self.losses.append(logs["loss"])


class InterruptAt(Callback):
    """As if Ctrl-C came after step `step` of epoch `epoch`."""

    def __init__(self, epoch: int, step: int) -> None:
        self.at = (epoch, step)

    def on_train_batch_end(self, batch: int, logs: dict[str, float]) -> None:
        if (self.run.epoch, batch) == self.at:
            raise KeyboardInterrupt


def without_seconds(history: History | None) -> dict[str, Any]:
    """A history as it should repeat."""
    assert history is not None
    return {name: value for name, value in history.to_dict().items() if name not in ("seconds", "waited")}


def files(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
