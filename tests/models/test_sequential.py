"""Stacks: built early or late, of our layers and foreign modules."""

import json
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from lepton_ai.core import ConfigError, DataError, ShapeError, UsageError
from lepton_ai.layers import LSTM, BatchNormalization, Conv2D, Dense, Dropout, Embedding, Flatten, Input
from lepton_ai.models import Model, Sequential
from tests.contracts.fitting import compiled, same_state, table

X, Y = table()


@pytest.mark.parametrize(
    "start",
    [[Input((4,))], [Dense(4, input_shape=(4,), name="first")], []],
    ids=["Input", "input_shape", "first data"],
)
def test_three_ways_to_know_the_input(start: list[Any]) -> None:
    model = Sequential([*start, Dense(3)])
    assert bool(list(model.parameters())) == bool(start)
    assert model.predict(X).shape == (50, 3)
    assert model.input_specs[0].shape == (None, 4)
    assert model.input_specs[0].name == "input"


def test_when_it_is_built_does_not_change_the_weights() -> None:
    def layers() -> list[Any]:
        return [Dense(5, activation="relu"), BatchNormalization(), Dense(3)]

    early, late, added = Sequential([Input((4,)), *layers()]), Sequential(layers()), Sequential()
    for layer in (Input((4,)), *layers()):
        added.add(layer)
    for model in (early, late, added):
        model.predict(X)
    assert same_state(early, late) and same_state(early, added)


def test_equal_layers_have_weights_of_their_own() -> None:
    model = Sequential([Dense(4, input_shape=(4,)), Dense(4)])
    model.predict(X)
    assert [layer.name for layer in model.layers] == ["dense", "dense_1"]
    assert not torch.equal(model.layers[0].weight, model.layers[1].weight)  # type: ignore[arg-type]


def test_add_and_pop_after_building() -> None:
    model = Sequential([Dense(5, input_shape=(4,)), Dense(2, name="old")])
    model.predict(X)
    kept = model.layers[0].get_weights()
    assert model.pop().name == "old"
    assert model.predict(X).shape == (50, 5)
    model.add(Dense(3, activation="softmax", name="new"))
    assert model.predict(X).shape == (50, 3)
    assert all(np.array_equal(a, b) for a, b in zip(kept, model.layers[0].get_weights(), strict=True))
    compiled(model).fit(X, Y, verbose=0)
    with pytest.raises(ConfigError, match="has no layers to pop"):
        Sequential().pop()


def test_foreign_modules_stand_among_layers() -> None:
    torch.manual_seed(0)  # torch draws its own modules' weights
    model = Sequential([Input((4,)), Dense(6), nn.Tanh(), nn.Linear(6, 5), nn.Dropout(0.5), Dense(3, "softmax")])
    assert model.compute_output_shape((None, 4)) == (None, 3)
    history = compiled(model).fit(X, Y, epochs=40, verbose=0)
    assert history["loss"][-1] < history["loss"][0]
    with pytest.raises(UsageError, match="has no config of ours to store"):
        model.get_config()


def test_nesting() -> None:
    inner = Sequential([Dense(5, input_shape=(4,)), Dropout(0.1)], name="inner")
    x = Input((5,))
    graph = Model(x, Dense(2)(x), name="graph")
    model = Sequential([inner, graph, Dense(3, "softmax")])
    assert model.predict(X).shape == (50, 3)
    assert model.compute_output_shape((None, 4)) == (None, 3)
    compiled(model).fit(X, Y, verbose=0)
    again = Sequential.from_config(json.loads(json.dumps(model.get_config())))
    again.predict(X)
    again.load_state_dict(model.state_dict())
    assert np.array_equal(again.predict(X), model.predict(X))


@pytest.mark.parametrize(
    "model",
    [
        lambda: Sequential([Dense(3, "relu", input_shape=(4,), name="a"), Dropout(0.5, seed=3)], name="tower"),
        lambda: Sequential([Dense(3), Dense(2, kernel_regularizer="l2")]),
        lambda: Sequential([Input((None, None, 3), dtype="uint8", name="image"), Conv2D(2, 3)]),
        lambda: Sequential([Dense(3, trainable=False, input_shape=(4,))]),
        Sequential,
    ],
)
def test_config_round_trip(model: Any) -> None:
    config = json.loads(json.dumps(model().get_config()))
    again = Sequential.from_config(config)
    assert again.get_config() == model().get_config()


def test_tokens_from_the_first_data() -> None:
    model = Sequential([Embedding(10, 4), LSTM(5), Dense(3, "softmax")])
    tokens = np.random.default_rng(0).integers(0, 10, (50, 6))
    compiled(model).fit(tokens, Y, verbose=0)
    assert model.input_specs[0].dtype == "int64"


def test_free_sizes() -> None:
    model = Sequential([Conv2D(4, 3, padding="same", input_shape=(None, None, 3))])
    for size in (5, 9):
        assert model(torch.ones(1, size, size + 1, 3)).shape == (1, size, size + 1, 4)
    assert model.compute_output_shape((None, None, None, 3)) == (None, None, None, 4)


def test_an_empty_stack_is_the_identity() -> None:
    assert torch.equal(Sequential()(torch.ones(2, 3)), torch.ones(2, 3))


# -- what is refused ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("thing", "message"),
    [
        (Dense, r"Sequential 'sequential'.add: got <class .*Dense'>, expected a layer. Write Dense\(10\), with its"),
        ("dense", "expected a layer. Give layers or modules"),
        (None, "expected a layer|needs"),
        (torch.relu, "expected a layer"),
    ],
)
def test_what_is_no_layer(thing: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Sequential([thing])


def test_an_input_stands_at_the_bottom() -> None:
    with pytest.raises(ConfigError, match="only an Input at the bottom"):
        Sequential([Dense(2), Input((3,))])
    with pytest.raises(ConfigError, match="only an Input at the bottom"):
        Sequential([Dense(2)(Input((3,)))])


def test_duplicates_are_refused() -> None:
    with pytest.raises(ConfigError, match="the layer name 'same' is taken in 'sequential'. Give the layer another"):
        Sequential([Dense(2, name="same"), Dense(2, name="same")])
    layer = Dense(4)
    with pytest.raises(ConfigError, match="Dense 'dense' is in this stack already. Make another, or join them with"):
        Sequential([layer, layer])


def test_shapes_that_do_not_meet_name_the_layer() -> None:
    with pytest.raises(
        ShapeError, match=r"Conv2D 'conv2d_1': got an input of shape \(None, 3, 3, 4\)|Conv2D 'conv2d_1'"
    ):
        Sequential([Conv2D(4, 3, input_shape=(5, 5, 3)), Conv2D(4, 5), Flatten()]).predict(np.ones((1, 5, 5, 3)))
    with pytest.raises(ShapeError, match="Conv2D 'conv2d': got an input of shape .* expected 4 dimensions"):
        Sequential([Dense(4, input_shape=(4,)), Conv2D(2, 3)]).predict(X)


def test_what_does_not_fit_is_not_kept() -> None:
    model = Sequential([Dense(4, input_shape=(4,))])
    with pytest.raises(ShapeError, match="expected 4 dimensions"):
        model.add(Conv2D(2, 3))
    assert len(model.layers) == 1 and model.predict(X).shape == (50, 4)


def test_one_input_by_name() -> None:
    for model in (Sequential([Dense(3, input_shape=(4,))]), Sequential([Dense(3)])):
        x = torch.ones(2, 4)
        named = model({"input": x})
        assert torch.equal(named, model(x))
        with pytest.raises(DataError, match="inputs .'input'. are missing"):
            model({"other": x})
    with pytest.raises(DataError, match="expected one input. Give the array itself"):
        Sequential([Dense(3)])({"a": x, "b": x})
