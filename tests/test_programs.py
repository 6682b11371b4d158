"""The programs that the project promises, as its users write them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import lepton_ai
from lepton_ai.layers import Conv2D, Dense, Flatten, MaxPooling2D
from lepton_ai.models import Sequential, distributed_train

RNG = np.random.default_rng(0)


def coloured(rows: int) -> tuple[Any, Any]:
    """Images of 32x32x3 in [0, 1], the second class with more red in them, one-hot."""
    labels = np.arange(rows) % 2
    images = RNG.random((rows, 32, 32, 3)) * 0.5
    images[labels == 1, :, :, 0] += 0.5
    return images.astype("float32"), lepton_ai.to_categorical(labels, 2)


x_train, y_train = coloured(42)
x_test, y_test = coloured(20)


@pytest.mark.parametrize("num_workers", [1, 2, 10])
def test_convolutional_network_with_workers(num_workers: int) -> None:
    batch_size, steps_per_epoch = 12, 4
    model = Sequential()
    model.add(Conv2D(32, (3, 3), activation="relu", input_shape=(32, 32, 3)))
    model.add(MaxPooling2D(pool_size=(2, 2)))
    model.add(Flatten())
    model.add(Dense(64, activation="relu"))
    model.add(Dense(2, activation="softmax"))
    model.compile(optimizer="adam", loss="categorical_crossentropy", metrics=["accuracy"])
    distributed_train(model, x_train, y_train, batch_size, num_workers, steps_per_epoch, epochs=2)
    test_loss, test_accuracy = model.evaluate(x_test, y_test)
    assert model.history is not None
    assert model.history.epoch == [0, 1]
    assert model.history["loss"][1] < model.history["loss"][0]
    LOSSES[num_workers] = model.history["loss"] + [test_loss]
    assert test_accuracy == 1.0
    assert LOSSES[num_workers] == pytest.approx(LOSSES.get(1, LOSSES[num_workers]), rel=1e-4)


LOSSES: dict[int, list[float]] = {}


def test_binary_classification_of_grey_images() -> None:
    train_labels, val_labels = np.arange(6) % 2, np.arange(4) % 2
    train_images = (RNG.random((6, 128, 128, 1)) * (0.2 + train_labels[:, None, None, None])).astype("float32")
    val_images = (RNG.random((4, 128, 128, 1)) * (0.2 + val_labels[:, None, None, None])).astype("float32")
    model = Sequential([
        Conv2D(32, (3, 3), activation="relu", input_shape=(128, 128, 1)), MaxPooling2D((2, 2)),
        Conv2D(64, (3, 3), activation="relu"), MaxPooling2D((2, 2)), Flatten(),
        Dense(64, activation="relu"), Dense(1, activation="sigmoid")])  # fmt: skip
    model.compile(optimizer="adam", loss="binary_crossentropy", metrics=["accuracy"])
    history = model.fit(
        train_images, train_labels, epochs=3, batch_size=32, validation_data=(val_images, val_labels), verbose=0
    )
    assert list(history.history) == ["loss", "accuracy", "val_loss", "val_accuracy"]
    assert history.epoch == [0, 1, 2]
    assert model.evaluate(val_images, val_labels) == [history["val_loss"][-1], history["val_accuracy"][-1]]
    assert model.predict(val_images).shape == (4, 1)


class Net(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 4, 5, stride=16)
        self.head = torch.nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.head(self.conv(x).relu().mean((2, 3)))
        return out


def test_foreign_module(tmp_path: Path) -> None:
    any_torch_module = Net()
    model = lepton_ai.Model.from_module(any_torch_module, input_shape=(3, 224, 224))
    x = RNG.random((6, 3, 224, 224)).astype("float32")
    y = np.arange(6) % 2
    x[y == 1] += 1
    loss = lepton_ai.training.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=lepton_ai.training.Adam(0.05), loss=loss, metrics=["accuracy"])
    history = model.fit(x, y, epochs=8, batch_size=3, verbose=0)
    assert history["loss"][-1] < history["loss"][0]
    model.evaluate(x, y)
    model.save(tmp_path / "net.lepton")
    again = lepton_ai.load(tmp_path / "net.lepton", module=Net())
    assert np.array_equal(again.predict(x), model.predict(x))
    # It is plain PyTorch all the while.
    assert any_torch_module is model.inner
    with torch.no_grad():
        assert np.allclose(any_torch_module(torch.from_numpy(x)).numpy(), model.predict(x), atol=1e-6)


def test_regressions_in_closed_form() -> None:
    x = RNG.random((30, 3))
    y = x @ [1.0, -2.0, 0.5] + 3
    fit = lepton_ai.models.LinearRegression().fit(x, y)
    assert np.allclose(fit.predict(x), y)
    singular = np.column_stack([x, x[:, 0]])
    fit = lepton_ai.models.LinearRegression().fit(singular, y)
    assert fit.coef is not None
    assert np.allclose(fit.coef[:, 0], [0.5, -2.0, 0.5, 0.5])  # minimum norm: the twins share
    labels = np.where(y > y.mean(), "high", "low")
    classifier = lepton_ai.models.LogisticRegression().fit(x, labels)
    assert (classifier.predict(x) == labels).mean() > 0.8


def test_export_and_open(tmp_path: Path) -> None:
    model = Sequential([Dense(4, activation="relu", input_shape=(3,)), Dense(2, activation="softmax")])
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy")
    x = RNG.random((8, 3)).astype("float32")
    model.fit(x, np.arange(8) % 2, verbose=0)
    lepton_ai.export(model, tmp_path / "digits.lepton")
    runtime = lepton_ai.open_model(tmp_path / "digits.lepton")
    answer = next(iter(runtime.run({"input": x}).values()))
    assert np.allclose(answer, model.predict(x), atol=1e-5)
