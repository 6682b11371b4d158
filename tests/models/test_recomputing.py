"""Inner results that are computed again: the same bits, less kept, and no traces."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lepton_ai.core import ConfigError, UnknownNameError, UsageError
from lepton_ai.exporting import to_onnx
from lepton_ai.layers import (
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GaussianNoise,
    GlobalAveragePooling1D,
    Input,
    Masking,
    MaxPooling2D,
    RandomFlip,
    TransformerEncoder,
)
from lepton_ai.models import Model, Sequential, add_adapters, distributed_train, recompute, signature
from lepton_ai.training import Adam
from tests.contracts.fitting import InterruptAt, compiled, images, same_state, table

X, Y = table()
IMAGES, CLASSES = images()
STEPS = np.random.default_rng(3).random((20, 5, 8), "float32")
STEPS[::3, 3:] = 0


def block(units: int, name: str) -> Sequential:
    layers = [Dense(units, "gelu"), BatchNormalization(), Dropout(0.3), Dense(units, "tanh"), GaussianNoise(0.1)]
    return Sequential(layers, name=name)


def table_net() -> Model:
    """A block that is called twice, and so draws and moves its statistics twice."""
    x = Input((4,))
    shared = block(4, "shared")
    return Model(x, Dense(3, "softmax")(block(6, "top")(shared(shared(x)))))


def image_net() -> Sequential:
    inside = [RandomFlip("horizontal"), Conv2D(6, 3, activation="relu"), BatchNormalization(), MaxPooling2D(2)]
    return Sequential([Input((8, 8, 3)), Sequential([*inside, Dropout(0.2)]), Flatten(), Dense(3, "softmax")])


def series_net() -> Sequential:
    blocks = [TransformerEncoder(16, 2, dropout=0.2) for _ in range(2)]
    return Sequential([Input((5, 8)), Masking(), *blocks, GlobalAveragePooling1D(), Dense(3, "softmax")])


class Foreign(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stack = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.4), nn.Linear(8, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.stack(x).softmax(-1)  # type: ignore[no-any-return]


def foreign_net() -> Sequential:
    torch.manual_seed(0)
    return Sequential([Input((4,)), Sequential([Foreign()], name="inner")])


FORMS: dict[str, tuple[Any, Any, Any]] = {
    "table": (table_net, X, Y),
    "images": (image_net, IMAGES, CLASSES),
    "series": (series_net, STEPS, np.arange(20) % 3),
    "foreign": (foreign_net, X, Y),
}


@pytest.mark.parametrize(
    "options", [{}, {"gradient_accumulation_steps": 2, "use_ema": True}], ids=["plain", "policies"]
)
@pytest.mark.parametrize("form", FORMS)
def test_training_is_bit_equal(form: str, options: Any, tmp_path: Path) -> None:
    make, x, y = FORMS[form]

    def fit(again: bool, *callbacks: Any, run: Any = None) -> Any:
        model = compiled(make(), Adam(0.01, **options))
        if again:
            recompute(model)
        model.fit(x, y, batch_size=6, epochs=2, verbose=0, run=run, callbacks=list(callbacks))
        return model

    plain, again = fit(False), fit(True)
    assert same_state(plain, again) and plain.history.history == again.history.history
    assert fit(True, InterruptAt(0, 1), run=tmp_path / "run").history.interrupted
    assert same_state(plain, fit(False, run=tmp_path / "run")), "a run goes on with or without it"


def test_statistics_move_once() -> None:
    model = table_net()
    recompute(model)
    model.train()
    norm: Any = next(each for each in model.modules() if isinstance(each, BatchNormalization))
    own = norm.running_mean
    output = model(torch.from_numpy(X))
    moved = own.clone()
    output.square().sum().backward()
    assert norm.running_mean is own and torch.equal(own, moved) and not torch.equal(moved, torch.zeros_like(moved))


def kept(model: Model, x: Any) -> int:
    """Bytes that a forward pass keeps for the backward pass, beside weights."""
    weights = {each.untyped_storage().data_ptr() for each in model.parameters()}
    sizes: dict[int, int] = {}
    held: list[Tensor] = []

    def pack(value: Tensor) -> Tensor:
        if value.untyped_storage().data_ptr() not in weights:
            held.append(value)  # or its place in memory may be given to another
            sizes[value.untyped_storage().data_ptr()] = value.untyped_storage().nbytes()
        return value

    model.train()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda value: value):
        model(torch.from_numpy(x)).sum()
    return sum(sizes.values())


@pytest.mark.parametrize("form", FORMS)
def test_less_is_kept(form: str) -> None:
    make, x, _ = FORMS[form]
    model = make()
    model(torch.from_numpy(x))
    before = kept(model, x)
    recompute(model)
    assert kept(model, x) < 0.5 * before
    assert recompute(model, []) == [] and kept(model, x) == before


def test_workers_adapters_and_frozen_layers() -> None:
    models = [compiled(series_net(), Adam(0.01)) for _ in range(2)]
    for again, model in enumerate(models):
        add_adapters(model, rank=2)
        if again:
            recompute(model)
        distributed_train(model, STEPS, np.arange(20) % 3, 10, 2, epochs=2, verbose=0)
    assert same_state(*models)


def test_outside_the_loop_torch_s_generator_is_set_back() -> None:
    model = table_net()
    other = copy.deepcopy(model)
    recompute(other)
    gradients = []
    for each in (model, other):
        each.train()
        torch.manual_seed(5)
        each(torch.from_numpy(X)).square().sum().backward()
        gradients.append([weight.grad for weight in each.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


def test_the_graph_is_the_same(tmp_path: Path) -> None:
    model = image_net()
    plain, again = tmp_path / "plain.onnx", tmp_path / "again.onnx"
    to_onnx(model, plain, signature(model))
    recompute(model)
    to_onnx(model, again, signature(model))
    assert plain.read_bytes() == again.read_bytes()


def test_what_cannot_be() -> None:
    with pytest.raises(UnknownNameError, match=r"recompute\(layers=...\): unknown layer 'tpo'. Did you mean 'top'"):
        recompute(table_net(), ["tpo"])
    with pytest.raises(ConfigError, match="no layer of Sequential .* holds others. Name layers, or put stacks"):
        recompute(Sequential([Dense(3, input_shape=(4,))]))
    with pytest.raises(UsageError, match="is not built yet. Call it on an example first"):
        recompute(Sequential([Dense(3)]))
    assert recompute(table_net(), "shared.dense") == ["shared.dense"]
