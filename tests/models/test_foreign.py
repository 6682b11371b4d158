"""Any torch module as a model."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lepton_ai.core import BundleError, ConfigError, ShapeError, UsageError
from lepton_ai.models import Model, load
from lepton_ai.training import SGD, SparseCategoricalCrossentropy
from tests.contracts.fitting import same_state, state, table

X, Y = table()
LOGITS = SparseCategoricalCrossentropy(from_logits=True)


class Net(nn.Module):
    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(0.3))
        self.head = nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.body(x))
        return out


class Pair(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table, self.words = nn.Linear(4, 6), nn.Embedding(10, 6)

    def forward(self, numbers: Tensor, tokens: Tensor) -> Any:
        a, b = self.table(numbers), self.words(tokens).mean(1)
        return a + b, a - b


class Tied(nn.Module):
    """One weight under two names, as language models have it."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(10, 6)
        self.head = nn.Linear(6, 10, bias=False)
        self.head.weight = self.words.weight

    def forward(self, tokens: Tensor) -> Tensor:
        out: Tensor = self.head(self.words(tokens).mean(1))
        return out


TOKENS = np.random.default_rng(0).integers(0, 10, (50, 7))


def model_of(module: nn.Module, shape: Any = (4,), **options: Any) -> Model:
    model = Model.from_module(module, shape, **options)
    model.compile(SGD(0.1), LOGITS, metrics=["accuracy"])
    return model


def test_it_trains_in_place() -> None:
    torch.manual_seed(0)
    net = Net()
    model = model_of(net)
    history = model.fit(X, Y, epochs=10, verbose=0, validation_data=(X, Y))
    assert history["loss"][-1] < history["loss"][0]
    with torch.no_grad():
        np.testing.assert_allclose(net(torch.from_numpy(X)).numpy(), model.predict(X), rtol=1e-5, atol=1e-6)
    assert model.name == "net"


def test_its_dropout_repeats() -> None:
    models = []
    for seed in (1, 2):
        torch.manual_seed(0)
        net = Net()
        torch.manual_seed(seed)
        models.append(model_of(net))
        models[-1].fit(X, Y, epochs=3, verbose=0)
    assert same_state(*models)


def test_several_inputs_by_order_and_by_name() -> None:
    module = Pair()
    ordered = Model.from_module(module, [(4,), (7,)], dtype=["float32", "int64"])
    named = Model.from_module(module, {"numbers": (4,), "tokens": (7,)}, dtype=["float32", "int64"])
    one = ordered.predict((X, TOKENS))
    other = named.predict({"tokens": TOKENS, "numbers": X})
    assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
    assert [spec.name for spec in ordered.input_specs] == ["input_0", "input_1"]
    named.compile("sgd", "mse")
    named.fit({"numbers": X, "tokens": TOKENS}, [np.zeros((50, 6)), np.zeros((50, 6))], verbose=0)


@pytest.mark.parametrize("by_name", [True, False])
def test_save_and_load(by_name: bool, tmp_path: Path) -> None:
    shapes: Any = {"numbers": (4,), "tokens": (7,)} if by_name else [(4,), (7,)]
    model = Model.from_module(Pair(), shapes, dtype=["float32", "int64"], name="pair")
    x: Any = {"numbers": X, "tokens": TOKENS} if by_name else (X, TOKENS)
    model.save(tmp_path / "pair.lepton")
    with pytest.raises(BundleError, match=r"holds the weights of a foreign module, .*Pair. Build it and pass it: "
                       r"load\(path, module=Pair\(...\)\)"):  # fmt: skip
        load(tmp_path / "pair.lepton")
    again = load(tmp_path / "pair.lepton", module=Pair())
    assert same_state(model, again)
    assert all(np.array_equal(a, b) for a, b in zip(model.predict(x), again.predict(x), strict=True))


def test_a_module_that_does_not_fit_the_weights(tmp_path: Path) -> None:
    model_of(Net()).save(tmp_path / "net.lepton")
    with pytest.raises(BundleError, match="its weights do not fit its architecture"):
        load(tmp_path / "net.lepton", module=Net(9))


def test_training_goes_on_after_loading(tmp_path: Path) -> None:
    model = model_of(Net())
    model.fit(X, Y, verbose=0)
    model.save(tmp_path / "net.lepton")
    again = load(tmp_path / "net.lepton", module=Net())
    model.fit(X, Y, verbose=0)
    again.fit(X, Y, verbose=0)
    assert same_state(model, again)


def test_tied_weights_stay_tied(tmp_path: Path) -> None:
    model = model_of(Tied(), (7,), dtype="int64")
    model.fit(TOKENS, TOKENS[:, 0], verbose=0)
    model.save(tmp_path / "tied.lepton")
    module = Tied()
    again = load(tmp_path / "tied.lepton", module=module)
    assert same_state(model, again)
    assert module.head.weight is module.words.weight


def test_frozen_parts_stay_frozen_through_a_bundle(tmp_path: Path) -> None:
    net = Net()
    net.body.requires_grad_(False)
    model = model_of(net)
    before = state(model)
    model.fit(X, Y, verbose=0)
    changed = {name for name, value in model.named_parameters() if not torch.equal(value, before[name])}
    assert changed == {"inner.head.weight", "inner.head.bias"}
    model.save(tmp_path / "net.lepton")
    again = load(tmp_path / "net.lepton", module=Net())
    frozen = {name for name, value in again.named_parameters() if not value.requires_grad}
    assert frozen == {"inner.body.0.weight", "inner.body.0.bias", "inner.body.1.weight", "inner.body.1.bias"}


def test_what_is_refused() -> None:
    with pytest.raises(ConfigError, match="Model.from_module: got 'function', expected a torch.nn.Module"):
        Model.from_module(lambda x: x, (4,))  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match=r"input 'input' of ModuleModel 'net': got examples of shape \(3,\), expected"):
        model_of(Net()).fit(X[:, :3], Y, verbose=0)
    with pytest.raises(UsageError, match="is a foreign module and has no config. Save it with save"):
        model_of(Net()).get_config()


def test_a_number_is_no_shape() -> None:
    with pytest.raises(ConfigError, match=r"got 3, expected the shape of one example. Write .*\(3,\)"):
        Model.from_module(nn.Linear(3, 2), 3)  # type: ignore[arg-type]
