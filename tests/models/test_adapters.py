"""Adapters for a whole model: put in, trained, folded in, stored alone and with it."""

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lepton_ai.bundle import Bundle
from lepton_ai.core import ConfigError, StorageError, UnknownNameError, UsageError
from lepton_ai.exporting import export
from lepton_ai.layers import BatchNormalization, Conv2D, Dense, GlobalAveragePooling2D, Input
from lepton_ai.models import (
    Model,
    Sequential,
    add_adapters,
    bert_encoder,
    distributed_train,
    load,
    load_adapters,
    merge_adapters,
    save_adapters,
)
from lepton_ai.runtime import open_model
from lepton_ai.training import SGD, Adam
from tests.contracts.fitting import InterruptAt, compiled, mlp, same_state, state, table

X, Y = table()
TOKENS = np.random.default_rng(0).integers(1, 50, (20, 8))
LABELS = TOKENS[:, 0] % 2


def bert() -> Model:
    return bert_encoder(50, 8, 2, layers=2, heads=2, width=8, segments=1, dropout=0.1)


def conv() -> Sequential:
    layers: list[Any] = [Input((8, 8, 3)), Conv2D(6, 3, name="stem"), BatchNormalization(name="norm")]
    return Sequential([*layers, Conv2D(4, 3, groups=2), GlobalAveragePooling2D(), Dense(2, "softmax", name="head")])


def graph() -> Model:
    x = Input((4,))
    shared = Dense(4, "relu", name="shared")
    return Model(x, Dense(3, "softmax", name="head")(shared(shared(x))))


FORMS: dict[str, tuple[Any, Any, Any]] = {
    "mlp": (mlp, X, Y),
    "graph": (graph, X, Y),
    "bert": (bert, TOKENS, LABELS),
    "conv": (conv, np.random.default_rng(1).random((12, 8, 8, 3), "float32"), np.arange(12) % 2),
}


def trained(form: str, **options: Any) -> tuple[Any, Any, Any]:
    make, x, y = FORMS[form]
    model = compiled(make(), Adam(0.05))
    add_adapters(model, **options)
    model.fit(x, y, epochs=2, verbose=0)
    return model, x, y


@pytest.mark.parametrize("form", FORMS)
def test_outputs_are_the_same_at_first_and_after_merging(form: str) -> None:
    make, x, y = FORMS[form]
    model = compiled(make(), Adam(0.05))
    before = model.predict(x)
    described, base, names = json.dumps(model.get_config()), state(model), [*model.state_dict()]
    paths = add_adapters(model, rank=2)
    assert np.array_equal(model.predict(x), before)
    assert {path.rpartition(".")[2] for path in paths}.isdisjoint({"norm", "conv2d_1"})
    model.fit(x, y, epochs=2, verbose=0)
    after = state(model)
    assert all(torch.equal(after[name], base[name]) for name in names), "what was there stays bit-equal"
    assert [name for name, each in model.named_parameters() if each.requires_grad] == [
        f"{path}.{own}" for path in paths for own in ("adapter_down", "adapter_up")
    ]
    outputs = model.predict(x)
    assert not np.allclose(outputs, before, atol=1e-4)
    merge_adapters(model)
    np.testing.assert_allclose(model.predict(x), outputs, atol=1e-6)
    assert [*model.state_dict()] == names
    assert json.dumps(model.get_config()).replace("false", "true") == described.replace("false", "true")


def test_training_is_that_of_plain_torch() -> None:
    """Low-rank adaptation written by hand, over the same rows in the same order."""
    model = compiled(mlp(), SGD(0.1, momentum=0.9))
    add_adapters(model, rank=2, alpha=6.0)
    weights = {name: value.detach().clone().double() for name, value in model.state_dict().items()}
    own = [nn.Parameter(value) for name, value in weights.items() if "adapter" in name]
    model.fit(X, Y, batch_size=10, epochs=3, shuffle=False, verbose=0)
    base = [value for name, value in weights.items() if "adapter" not in name]
    optimizer = torch.optim.SGD(own, 0.1, 0.9)
    x, y = torch.from_numpy(X).double(), torch.from_numpy(Y)
    for start in [*range(0, 50, 10)] * 3:
        hidden = x[start : start + 10]
        for place in (0, 1):
            (kernel, bias), (down, up) = base[2 * place : 2 * place + 2], own[2 * place : 2 * place + 2]
            hidden = F.linear(hidden, kernel, bias) + 6.0 / 2 * (hidden @ down.T) @ up.T
            hidden = hidden.relu() if place == 0 else hidden
        optimizer.zero_grad()
        F.cross_entropy(hidden, y[start : start + 10]).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    found = [value for name, value in model.state_dict().items() if "adapter" in name]
    for one, other in zip(found, own, strict=True):
        torch.testing.assert_close(one.double(), other.detach(), rtol=1e-4, atol=1e-5)


def test_layers_are_chosen_by_path_or_part() -> None:
    one, two = "transformer_encoder", "transformer_encoder_1"
    found = add_adapters(bert(), layers=["query", "value"])
    assert found == [f"{block}.attention.{name}" for block in (one, two) for name in ("query", "value")]
    assert add_adapters(bert(), layers=f"{two}.inner") == [f"{two}.inner"]
    assert len(add_adapters(bert(), layers=one)) == 6
    with pytest.raises(
        UnknownNameError, match=r"add_adapters\(layers=...\): unknown layer 'quary'. Did you mean 'query'"
    ):
        add_adapters(bert(), layers="quary")
    with pytest.raises(ConfigError, match="'norm' takes no adapter. A Dense, an EinsumDense"):
        add_adapters(conv(), layers=["norm"])


@pytest.mark.parametrize("form", FORMS)
def test_the_adapted_model_is_stored_whole(form: str, tmp_path: Path) -> None:
    model, x, y = trained(form, rank=2, alpha=3)
    model.save(tmp_path / "m.lepton")
    again: Any = load(tmp_path / "m.lepton")
    assert same_state(model, again) and np.array_equal(model.predict(x), again.predict(x))
    flags = [[(name, each.requires_grad) for name, each in made.named_parameters()] for made in (model, again)]
    assert flags[0] == flags[1]
    for each in (model, again):
        each.fit(x, y, verbose=0)
        merge_adapters(each)
    assert same_state(model, again)


def test_adapters_alone_are_a_small_file(tmp_path: Path) -> None:
    path = tmp_path / "adapters.safetensors"
    model = compiled(conv(), Adam(0.05))
    _, x, y = FORMS["conv"]
    model.predict(x)
    fresh = copy.deepcopy(model)
    add_adapters(model, rank=1, layers="stem")
    model.get_layer("head").trainable = True
    model.get_layer("norm").trainable = True
    model.fit(x, y, epochs=2, verbose=0)
    save_adapters(model, path)
    with_them = copy.deepcopy(fresh)
    load_adapters(with_them, path)
    assert same_state(model, with_them) and np.array_equal(model.predict(x), with_them.predict(x))
    assert [each.requires_grad for each in model.parameters()] == [
        each.requires_grad for each in with_them.parameters()
    ]
    assert with_them.get_layer("norm").trainable and not with_them.get_layer("stem").trainable
    values = state(model)
    model.fit(x, y, verbose=0)
    load_adapters(model, path)  # a second time, the values alone
    assert all(torch.equal(value, values[name]) for name, value in model.state_dict().items())
    big = bert()
    add_adapters(big, rank=1, layers="query")
    save_adapters(big, path)
    big.save(tmp_path / "big.lepton")
    assert path.stat().st_size < 0.3 * (tmp_path / "big.lepton" / "weights.safetensors").stat().st_size


def test_files_of_another_model_change_nothing(tmp_path: Path) -> None:
    path = tmp_path / "adapters.safetensors"
    model, _, _ = trained("mlp", rank=2)
    save_adapters(model, path)
    other = Sequential([Dense(8, input_shape=(5,), name="dense"), Dense(3, name="dense_1")])
    before = state(other)
    with pytest.raises(StorageError, match=r"holds adapters of another model \(the model has no dense.adapter_down of"):
        load_adapters(other, path)
    assert [*before] == [*other.state_dict()] and all(each.requires_grad for each in other.parameters())
    assert other.trainable and all(layer.trainable for layer in other.layers)
    with pytest.raises(StorageError, match=r"\(there is no layer 'dense' that takes an adapter\)"):
        load_adapters(conv(), path)
    twin = mlp()
    twin.layers[0].weight.data.zero_()  # type: ignore[operator]
    with pytest.warns(UserWarning, match="trained beside other kernels than this model's"):
        load_adapters(twin, path)
    add_adapters(other, rank=1)
    with pytest.raises(UsageError, match="has other adapters. Fold them in first"):
        load_adapters(other, path)
    for content in (b"", b"junk" * 100, path.read_bytes()[:-30]):
        path.write_bytes(content)
        with pytest.raises(StorageError, match="is no file of adapters"):
            load_adapters(mlp(), path)
    with pytest.raises(StorageError, match="is no file of adapters"):
        load_adapters(mlp(), tmp_path / "none")


def test_resume_and_workers(tmp_path: Path) -> None:
    def fit(*callbacks: Any, run: Any = None) -> Any:
        model = compiled(mlp(dropout=0.3), Adam(0.05, use_ema=True, rates={"dense": 0.5}))
        add_adapters(model, rank=2)
        model.fit(X, Y, batch_size=10, epochs=3, verbose=0, run=run, callbacks=list(callbacks))
        return model

    whole = fit()
    assert fit(InterruptAt(1, 2), run=tmp_path / "run").history.interrupted
    assert same_state(whole, fit(run=tmp_path / "run"))
    models = [compiled(mlp()) for _ in range(2)]
    for workers, model in zip((1, 2), models, strict=True):
        add_adapters(model, rank=2)
        distributed_train(model, X, Y, 10, workers, epochs=2, verbose=0)
    for name, value in models[0].state_dict().items():
        torch.testing.assert_close(models[1].state_dict()[name], value, rtol=1e-4, atol=1e-6)


def test_an_adapted_model_is_exported_as_it_computes(tmp_path: Path) -> None:
    model, x, _ = trained("bert", rank=2, layers=["query", "inner"])
    export(model, tmp_path / "m.lepton")
    expected = model.predict(x[:5])
    runtime = open_model(tmp_path / "m.lepton")
    (name,) = (each.name for each in Bundle.open(tmp_path / "m.lepton").manifest.signature.inputs)
    (output,) = runtime.run({name: x[:5]}).values()
    np.testing.assert_allclose(output, expected, atol=1e-5)
    assert np.array_equal(load(tmp_path / "m.lepton").predict(x[:5]), expected)


def test_what_cannot_be() -> None:
    cases: tuple[tuple[Any, str], ...] = (
        ({"rank": 0}, "add_adapters.rank: got 0, expected a positive int"),
        ({"alpha": 0}, "add_adapters.alpha: got 0, expected a positive number"),
    )
    for options, message in cases:
        with pytest.raises(ConfigError, match=message):
            add_adapters(mlp(), **options)
    with pytest.raises(UsageError, match="has no weights yet. Call it on an example first"):
        add_adapters(Sequential([Dense(3)]))
    with pytest.raises(ConfigError, match="no layer of .* takes an adapter"):
        add_adapters(Model.from_module(nn.Linear(3, 2), (3,)))
    model = mlp()
    for verb, other in ((merge_adapters, "add_adapters"), (lambda each: save_adapters(each, "x"), "Save it whole")):
        with pytest.raises(UsageError, match=f"has no adapters. {other}"):
            verb(model)
    add_adapters(model)
    with pytest.raises(UsageError, match="has adapters already. Fold them in first"):
        add_adapters(model)
