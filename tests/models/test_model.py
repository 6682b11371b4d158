"""Models as such: subclasses, layers by name, arrays in, plain PyTorch out."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lepton_ai.core import ConfigError, DataError, ShapeError, UnknownNameError, UsageError
from lepton_ai.layers import BatchNormalization, Dense, Dropout, Input
from lepton_ai.models import Model, Sequential
from tests.contracts.fitting import compiled, mlp, same_state, table

X, Y = table()


class TwoTowers(Model):
    """A subclass: layers in the constructor, used in `call`; one of them sits in a list."""

    def __init__(self, units: int = 5, **options: Any) -> None:
        super().__init__(**options)
        self.units = units
        self.left, self.right = Dense(units, "relu"), Dense(units, "tanh")
        self.more = nn.ModuleList([Dense(units), Dropout(0.2)])
        self.head = Dense(3, "softmax")

    def call(self, x: Tensor) -> Tensor:
        x = self.left(x) + self.right(x)
        for layer in self.more:
            x = layer(x)
        result: Tensor = self.head(x)
        return result


class ByName(Model):
    """A subclass of several inputs, which come as a dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = Dense(4), Dense(4)

    def call(self, x: Any) -> Any:
        return {"sum": self.a(x["one"]) + self.b(x["two"]), "one": x["one"]}


def test_a_subclass_trains() -> None:
    model = compiled(TwoTowers())
    history = model.fit(X, Y, epochs=8, verbose=0, validation_split=0.2)
    assert history["loss"][-1] < history["loss"][0]
    assert model.predict(X).shape == (50, 3)
    again = compiled(TwoTowers())
    again.fit(X, Y, epochs=8, verbose=0, validation_split=0.2)
    assert same_state(model, again)


def test_layers_of_a_subclass_have_weights_of_their_own() -> None:
    model = TwoTowers()
    model.predict(X)
    assert not torch.equal(model.left.weight, model.right.weight)
    assert len({layer.path for layer in (model.left, model.right, model.more[0], model.head)}) == 4


def test_dictionaries_in_and_out_of_a_subclass() -> None:
    model = ByName()
    model.compile("sgd", {"sum": "mse"}, metrics={"sum": ["mae"]})
    x = {"one": X[:, :2], "two": X[:, 2:]}
    history = model.fit(x, {"sum": X, "one": X[:, :2]}, verbose=0)
    assert "sum_mae" in history.history
    assert model.predict(x)["sum"].shape == (50, 4)
    assert [spec.name for spec in model.input_specs] == ["one", "two"]


def test_a_subclass_without_call() -> None:
    class Empty(Model):
        pass

    with pytest.raises(UsageError, match=r"Empty has no call\(\). Define call\(self, x\) in the subclass"):
        Empty()(torch.ones(1, 2))


def test_arrays_lists_and_tensors_may_be_called() -> None:
    model = mlp()
    expected = model(torch.from_numpy(X))
    for x in (X, X.astype("float64"), X.tolist()):
        torch.testing.assert_close(model(x), expected, rtol=0, atol=1e-6)


def test_training_is_an_argument_of_a_call() -> None:
    model = Sequential([BatchNormalization(input_shape=(4,)), Dropout(0.5)])
    x = torch.from_numpy(X)
    assert torch.equal(model(x), model(x, training=False))
    trained = model(x, training=True)
    assert (trained == 0).any()
    assert not model.training and not any(each.training for each in model.modules())
    model.train()
    assert torch.equal(model(x, training=False) == 0, torch.zeros(50, 4) == 1)
    assert model.training


def test_it_is_a_module_for_plain_pytorch() -> None:
    model = mlp()
    x, y = torch.from_numpy(X), torch.from_numpy(Y)
    model(x)
    optimizer = torch.optim.SGD(model.parameters(), 0.5)
    losses = []
    for _ in range(5):
        loss = nn.functional.nll_loss(model(x).log(), y)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(loss.item())
    assert losses == sorted(losses, reverse=True)
    assert set(model.state_dict()) == {"dense.weight", "dense.bias", "dense_1.weight", "dense_1.bias"}


def test_layers_by_name() -> None:
    model = mlp()
    assert model.get_layer("dense_1") is model.layers[1]
    with pytest.raises(UnknownNameError, match="Sequential 'sequential': unknown layer 'dense_2'. Did you mean 'dense"):
        model.get_layer("dense_2")


def test_a_name_is_a_name() -> None:
    assert Sequential(name="digits").name == "digits"
    for bad in ("", "a.b", 3):
        with pytest.raises(ConfigError, match="expected a name without dots"):
            Sequential(name=bad)  # type: ignore[arg-type]


def test_trainable_reaches_all_layers() -> None:
    x = Input((4,))
    model = Model(x, Dense(2)(mlp()(x)), trainable=False)
    assert not any(parameter.requires_grad for parameter in model.parameters())
    model.trainable = True
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert all(layer.trainable for layer in model.layers)


def test_check_inputs() -> None:
    model = mlp()
    model.predict(X)
    with pytest.raises(
        ShapeError, match=r"input 'input' of Sequential 'sequential': got examples of shape \(9,\), exp"
    ):
        model.check_inputs(torch.ones(2, 9))
    with pytest.raises(ShapeError, match="The batch comes first and channels last"):
        model.check_inputs(torch.ones(2, 4, 1))
    with pytest.raises(DataError):
        compiled(model).fit([X, X], Y, verbose=0)


def test_weights_as_arrays() -> None:
    model, other = mlp(), mlp()
    model.predict(X)
    other.predict(X)
    other.set_weights([weight + 1 for weight in model.get_weights()])
    assert not same_state(model, other)
    other.set_weights(model.get_weights())
    assert same_state(model, other)
    assert model.get_weights()[0].shape == (4, 8)  # as Keras has it
    assert np.array_equal(model.predict(X), other.predict(X))
