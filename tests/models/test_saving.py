"""Bundles of models: bit-equal back, ready to train on, and nothing lost when writing fails."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from lepton_ai.bundle import Bundle
from lepton_ai.core import BundleError, StorageError, UsageError
from lepton_ai.layers import (
    GRU,
    LSTM,
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    GlobalAveragePooling2D,
    Input,
    LayerNormalization,
    MultiHeadAttention,
    Normalization,
    RandomFlip,
    Rescaling,
)
from lepton_ai.layers.config import registry
from lepton_ai.models import Model, Sequential, load
from lepton_ai.training import SGD, BinaryCrossentropy, CosineDecay, Huber, Precision
from tests.contracts.fitting import cnn, compiled, files, images, mlp, same_state, table
from tests.models.test_graph import GRAPHS

X, Y = table()
IMAGES, CLASSES = images()


class Saved(Model):
    """A subclass with an argument of its own."""

    def __init__(self, units: int = 5, **options: Any) -> None:
        super().__init__(**options)
        self.units = units
        self.first, self.norm, self.head = Dense(units, "relu"), BatchNormalization(), Dense(3, "softmax")

    def call(self, x: Tensor) -> Tensor:
        result: Tensor = self.head(self.norm(self.first(x)))
        return result


def normalised() -> Sequential:
    layer = Normalization(input_shape=(4,))
    layer.adapt(X)
    return Sequential([layer, Dense(3, "softmax")])


def tokens() -> Sequential:
    return Sequential([Input((6,), dtype="int64"), Embedding(10, 4), LSTM(5, return_sequences=True), GRU(4), Dense(3)])


def raw_images() -> Sequential:
    first: list[Any] = [Input((None, None, 3), dtype="uint8"), Rescaling(1 / 255), RandomFlip("horizontal")]
    return Sequential([*first, Conv2D(4, 3), GlobalAveragePooling2D(), Dense(3, "softmax")])


def attention() -> Model:
    x = Input((5, 4), name="series")
    return Model(x, Dense(3, "softmax")(Flatten()(LayerNormalization()(MultiHeadAttention(2, 3)(x, x)))))


TOKENS = np.random.default_rng(1).integers(0, 10, (50, 6))
FORMS: dict[str, tuple[Any, Any]] = {
    "mlp": (mlp, X),
    "cnn": (lambda: cnn(norm=True, dropout=0.3, flip=True), IMAGES),
    "late": (lambda: Sequential([Dense(4), Dense(3)]), X),
    "subclass": (lambda: Saved(7, name="mine"), X),
    "tokens": (tokens, TOKENS),
    "normalised": (normalised, X),
    "raw images": (raw_images, (IMAGES * 100).astype("uint8")),
    "attention": (attention, np.random.default_rng(2).random((9, 5, 4), "float32")),
    "nested": (lambda: Sequential([Saved(6), Sequential([Dense(4), Dropout(0.5)]), Dense(3)]), X),
    **{f"graph of {name}": each for name, each in GRAPHS.items()},
}


def predictions(model: Model, x: Any) -> list[Any]:
    def arrays(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: arrays(each) for name, each in value.items()}
        return tuple(map(arrays, value)) if isinstance(value, tuple) else np.asarray(value)

    outputs = model.predict(arrays(x))
    if isinstance(outputs, dict):
        return [each for _, each in sorted(outputs.items())]
    return list(outputs) if isinstance(outputs, tuple | list) else [outputs]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_comes_back_bit_equal(form: str, tmp_path: Path) -> None:
    make, x = FORMS[form]
    model = make()
    expected = predictions(model, x)
    model.save(tmp_path / "m.lepton")
    again = load(tmp_path / "m.lepton")
    assert type(again) is type(model) and again.name == model.name
    assert same_state(model, again)
    assert not again.training
    assert [(s.name, s.shape, s.dtype) for s in again.input_specs] == [
        (s.name, s.shape, s.dtype) for s in model.input_specs
    ]
    assert all(np.array_equal(a, b) for a, b in zip(expected, predictions(again, x), strict=True))
    again.save(tmp_path / "again.lepton")
    for name in ("architecture.json", "weights.safetensors"):
        assert (tmp_path / "m.lepton" / name).read_bytes() == (tmp_path / "again.lepton" / name).read_bytes()


@pytest.mark.parametrize("form", ["mlp", "cnn", "subclass"])
def test_training_goes_on_where_it_was(form: str, tmp_path: Path) -> None:
    make, x = FORMS[form]
    y = Y if form != "cnn" else CLASSES
    model = make()
    model.compile(SGD(CosineDecay(0.1), momentum=0.9), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, y, epochs=2, verbose=0)
    model.save(tmp_path / "m.lepton")
    again = load(tmp_path / "m.lepton")
    assert again.evaluate(x, y) == model.evaluate(x, y)
    one, other = model.fit(x, y, epochs=2, verbose=0), again.fit(x, y, epochs=2, verbose=0)
    assert one.history == other.history
    assert same_state(model, again)


@pytest.mark.parametrize(
    "how",
    [
        {"loss": BinaryCrossentropy(from_logits=True), "metrics": [Precision(0.3), "accuracy"]},
        {"loss": "mse", "metrics": [Huber(2.0)]},
        {"loss": [Huber(0.5)], "loss_weights": [2.0]},
        {"loss": {"dense": "mae"}, "optimizer": "channel_adaptive"},
    ],
    ids=["objects", "loss as metric", "list", "by name"],
)
def test_how_it_was_compiled_comes_back(how: dict[str, Any], tmp_path: Path) -> None:
    model = Sequential([Dense(1, input_shape=(4,))])
    target = (X[:, :1] > 0).astype("float32")
    if isinstance(how["loss"], dict):
        how = how | {"loss": {"output_0": "mae"}}
    model.compile(**{"optimizer": "adam"} | how)
    model.fit(X, target, verbose=0)
    model.save(tmp_path / "m.lepton")
    again = load(tmp_path / "m.lepton")
    assert again.objective is not None and again.optimizer is not None and model.objective is not None
    assert again.objective.config() == model.objective.config()
    assert again.optimizer.config() == model.optimizer.config()  # type: ignore[union-attr]
    assert again.evaluate(X, target, return_dict=True) == model.evaluate(X, target, return_dict=True)


def test_functions_of_the_users_own_are_left_out(tmp_path: Path) -> None:
    model = mlp()
    model.compile("adam", lambda target, output: (target - output).square())
    model.fit(X, np.eye(3)[Y], verbose=0)
    model.save(tmp_path / "m.lepton")
    with pytest.raises(UsageError, match="fit was called before compile"):
        load(tmp_path / "m.lepton").fit(X, Y)


@pytest.mark.parametrize("form", ["mlp", "cnn", "subclass", "graph of nested"])
@pytest.mark.parametrize("early", [True, False])
def test_what_is_frozen_stays_frozen(form: str, early: bool, tmp_path: Path) -> None:
    make, x = FORMS[form]
    model = make()
    if not early:
        predictions(model, x)
    model.layers[0].trainable = False
    for layer in model.layers:
        if isinstance(layer, BatchNormalization):
            layer.trainable = False
    predictions(model, x)
    next(model.layers[-1].parameters(), torch.nn.Parameter()).requires_grad_(False)
    model.save(tmp_path / "m.lepton")
    again = load(tmp_path / "m.lepton")
    frozen = [name for name, value in model.named_parameters() if not value.requires_grad]
    assert [name for name, value in again.named_parameters() if not value.requires_grad] == frozen
    assert [layer.trainable for layer in again.layers] == [layer.trainable for layer in model.layers]


def test_a_frozen_model_with_an_open_head(tmp_path: Path) -> None:
    model = mlp()
    model.trainable = False
    model.layers[-1].trainable = True
    model.predict(X)
    model.save(tmp_path / "m.lepton")
    again = load(tmp_path / "m.lepton")
    assert [layer.trainable for layer in again.layers] == [False, True]
    assert [value.requires_grad for value in again.parameters()] == [False, False, True, True]


class Precise(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = torch.nn.Linear(4, 6), torch.nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.head(self.body(x.to(self.body.weight.dtype)).to(self.head.weight.dtype)).float()
        return result


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_the_dtype_is_kept(dtype: torch.dtype, tmp_path: Path) -> None:
    module = Precise()
    module.head.to(dtype)
    model = Model.from_module(module, (4,))
    model.save(tmp_path / "m.lepton")
    again = load(tmp_path / "m.lepton", module=Precise())
    assert same_state(model, again)
    assert np.array_equal(model.predict(X), again.predict(X))


# -- the bundle ---------------------------------------------------------------------------------------------


def test_what_the_bundle_tells(tmp_path: Path) -> None:
    model = compiled(mlp())
    history = model.fit(X, Y, epochs=2, verbose=0, validation_data=(X, Y), validation_freq=2)
    model.save(tmp_path / "m.lepton")
    manifest = Bundle.open(tmp_path / "m.lepton").manifest
    assert manifest.task == "classification"
    assert manifest.metrics == {name: values[-1] for name, values in history.history.items()}
    assert manifest.lineage["epochs"] == "2" and manifest.lineage["rows"] == "50"
    assert [(spec.name, spec.shape) for spec in manifest.signature.inputs] == [("input", (-1, 4))]
    assert [(spec.name, spec.shape) for spec in manifest.signature.outputs] == [("output", (-1, 3))]
    assert Bundle.open(tmp_path / "m.lepton").profile is not None


def test_nothing_in_it_is_executable(tmp_path: Path) -> None:
    compiled(mlp()).save(tmp_path / "m.lepton")
    assert files(tmp_path / "m.lepton").keys() == {"architecture.json", "weights.safetensors", "manifest.json"}


# -- what is refused ----------------------------------------------------------------------------------------


def test_before_it_is_built(tmp_path: Path) -> None:
    for model in (Sequential([Dense(3)]), Saved()):
        with pytest.raises(UsageError, match="has no weights yet. Call it on an example, or fit it, before saving"):
            model.save(tmp_path / "m.lepton")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_exists_already(tmp_path: Path) -> None:
    model = mlp()
    model.predict(X)
    model.save(tmp_path / "m.lepton")
    before = files(tmp_path)
    with pytest.raises(StorageError, match="exists already. Choose another path, or pass overwrite=True"):
        model.save(tmp_path / "m.lepton")
    assert files(tmp_path) == before
    model.save(tmp_path / "m.lepton", overwrite=True)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes/important.txt").write_text("mine")
    with pytest.raises(StorageError, match="is not a bundle, so it will not be overwritten"):
        model.save(tmp_path / "notes", overwrite=True)
    assert (tmp_path / "notes/important.txt").read_text() == "mine"


@pytest.mark.parametrize("where", ["write", "flush"])
def test_a_full_disk_leaves_the_old_bundle(where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = mlp()
    model.predict(X)
    model.save(tmp_path / "m.lepton")
    before = files(tmp_path)

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        if where == "write":
            patch.setattr(Path, "write_bytes", full)
        else:
            patch.setattr(os, "fsync", full)
        with pytest.raises(StorageError, match=r"could not write: No space left on device. Nothing was changed there"):
            compiled(mlp()).save(tmp_path / "m.lepton", overwrite=True)
    assert files(tmp_path) == before
    assert same_state(load(tmp_path / "m.lepton"), model)


def rewrite(path: Path, change: Any) -> None:
    """Change a bundle's architecture and record its new hash, as an attacker or a careless tool would."""
    import hashlib

    file, manifest = path / "architecture.json", path / "manifest.json"
    architecture = json.loads(file.read_text())
    change(architecture)
    file.write_text(json.dumps(architecture))
    stored = json.loads(manifest.read_text())
    stored["files"]["architecture.json"] = {
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "size": file.stat().st_size,
    }
    manifest.write_text(json.dumps(stored))


def rename_class(architecture: Any) -> None:
    architecture["model"]["config"]["layers"][0]["class"] = "Dens"


def widen(architecture: Any) -> None:
    architecture["model"]["config"]["layers"][0]["config"]["units"] = 9


def not_a_model(architecture: Any) -> None:
    architecture["model"] = architecture["model"]["config"]["layers"][0]


def other_class(architecture: Any) -> None:
    architecture["model"]["class"] = "os.system"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            rename_class,
            "its architecture cannot be built here: unknown class 'Dens'. Did you mean 'Dense'.* Import the",
        ),
        (widen, "its weights do not fit its architecture"),
        (not_a_model, "describes a Dense, not a model"),
        (other_class, "its architecture cannot be built here: unknown class 'os.system'"),
        (lambda a: a.update(format=2), "has an architecture of format 2. Update lepton-ai"),
        (lambda a: a.pop("kind"), "has a broken architecture.json"),
        (lambda a: a["model"]["config"]["layers"][0]["config"].update(nonsense=1), "cannot be built here"),
        (lambda a: a["model"].pop("config"), "describes a dict, not a model"),
        (
            lambda a: a["training"]["optimizer"].update({"class": "Adma"}),
            "cannot be compiled here as it was: unknown optimizer 'Adma'. Did you mean 'adam'.* Register your own",
        ),
    ],
)
def test_an_architecture_that_cannot_be_used(change: Any, message: str, tmp_path: Path) -> None:
    model = compiled(mlp())
    model.fit(X, Y, verbose=0)
    model.save(tmp_path / "m.lepton")
    rewrite(tmp_path / "m.lepton", change)
    with pytest.raises(BundleError, match=message):
        load(tmp_path / "m.lepton")


def test_a_class_that_is_not_imported_here(tmp_path: Path) -> None:
    class Passing(Model):
        def __init__(self) -> None:
            super().__init__()
            self.dense = Dense(2)

        def call(self, x: Tensor) -> Tensor:
            result: Tensor = self.dense(x)
            return result

    model = Passing()
    model.predict(X)
    model.save(tmp_path / "m.lepton")
    assert same_state(load(tmp_path / "m.lepton"), model)
    del registry._items["Passing"]
    with pytest.raises(BundleError, match="unknown class 'Passing'.* Import the module that defines your own layers"):
        load(tmp_path / "m.lepton")


@pytest.mark.parametrize("where", ["weights.safetensors", "architecture.json"])
def test_tampering_is_found(where: str, tmp_path: Path) -> None:
    model = mlp()
    model.predict(X)
    model.save(tmp_path / "m.lepton")
    content = bytearray((tmp_path / "m.lepton" / where).read_bytes())
    content[-3] ^= 1
    (tmp_path / "m.lepton" / where).write_bytes(content)
    with pytest.raises(BundleError, match=where):
        load(tmp_path / "m.lepton")


def test_no_bundle_at_all(tmp_path: Path) -> None:
    with pytest.raises((BundleError, StorageError)):
        load(tmp_path / "nothing.lepton")
    (tmp_path / "file").write_text("no")
    with pytest.raises((BundleError, StorageError)):
        load(tmp_path / "file")
