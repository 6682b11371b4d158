"""Bundles to point the command at: real ones, made once."""

from pathlib import Path

import numpy as np
import pytest
import torch

from lepton_ai.exporting import export
from lepton_ai.layers import Dense, Flatten, GlobalAveragePooling2D, Input, Normalization, Rescaling
from lepton_ai.models import Model, Sequential
from tests.contracts.command import Terminal

torch.set_num_threads(1)


@pytest.fixture
def lepton(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Terminal:
    return Terminal(monkeypatch, capfd)


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bundles")


@pytest.fixture(scope="session")
def images(bundles: Path) -> Path:
    """Grey images of 6 x 8 pixels into the classes "dark" and "light"."""
    x = np.random.default_rng(0).integers(0, 256, (64, 6, 8, 1)).astype("uint8")
    x[::2] //= 8
    model = Sequential(
        [Input((6, 8, 1), dtype="uint8", name="image"), Rescaling(1 / 255), Flatten(), Dense(2, "softmax")]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, np.arange(64) % 2, epochs=60, verbose=0)
    return export(model, bundles / "images.lepton", labels=["dark", "light"]).path


@pytest.fixture(scope="session")
def table(bundles: Path) -> Path:
    """size + 10 * age, where a missing age counts as the mean, 2."""
    import pandas

    rows = pandas.DataFrame({"size": [1.0, 3.0, 1.0, 3.0], "age": [1.0, 3.0, 3.0, 1.0]})
    scale = Normalization(missing="mean")
    scale.adapt(rows.to_numpy())
    model = Sequential([Input((2,), name="person"), scale, Dense(1)])
    model.compile("sgd", "mse")
    model.fit(rows, np.zeros(4), verbose=0)
    model.layers[1].set_weights([np.array([[1.0], [10.0]], "float32"), np.array([22.0], "float32")])
    return export(model, bundles / "table.lepton").path


@pytest.fixture(scope="session")
def colours(bundles: Path) -> Path:
    """Colour images of any size to the mean of each channel."""
    x = Input((None, None, 3), dtype="uint8", name="image")
    model = Model(x, GlobalAveragePooling2D()(Rescaling(1.0)(x)))
    return export(model, bundles / "colours.lepton").path


@pytest.fixture(scope="session")
def saved(bundles: Path) -> Path:
    """A bundle without graphs."""
    model = Sequential([Input((2,)), Dense(1)])
    model.save(bundles / "saved.lepton")
    return bundles / "saved.lepton"
