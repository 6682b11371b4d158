"""Graphs: several inputs and outputs, shared layers, nesting, and storage."""

import json
from typing import Any

import numpy as np
import pytest
import torch

from lepton_ai.core import ConfigError, DataError, ShapeError
from lepton_ai.layers import (
    LSTM,
    Add,
    Concatenate,
    Dense,
    Embedding,
    Flatten,
    GlobalAveragePooling2D,
    Input,
    MultiHeadAttention,
    is_shape,
    leaves,
)
from lepton_ai.models import Model, Sequential
from tests.contracts.fitting import compiled, same_state, state, table

X, Y = table()
A, B = torch.from_numpy(X[:, :2].copy()), torch.from_numpy(X[:, 2:].copy())


def two_in() -> Model:
    a, b = Input((2,), name="a"), Input((2,), name="b")
    return Model([a, b], Dense(3, activation="softmax", name="out")(Concatenate()([a, b])))


def named_in() -> Model:
    a, b = Input((2,)), Input((2,))
    return Model({"a": a, "b": b}, {"sum": Add()([a, b]), "out": Dense(3, name="dense")(b)})


def shared() -> Model:
    a, b = Input((2,), name="a"), Input((2,), name="b")
    layer = Dense(4, activation="relu", name="twin")
    return Model([a, b], Add()([layer(a), layer(b)]))


def nested() -> Model:
    x = Input((4,), name="x")
    inner = Model(x, [Dense(3, name="p")(x), Dense(2, name="q")(x)], name="inner")
    y = Input((4,), name="y")
    p, q = inner(y)
    stack = Sequential([Dense(5, input_shape=(3,)), Dense(2)], name="stack")
    return Model(y, Add()([stack(p), q]))


def several_outputs_of_one_layer() -> Model:
    x = Input((5, 3), name="series")
    output, hidden, cell = LSTM(4, return_sequences=True, return_state=True)(x)
    return Model(x, [output, Add()([hidden, cell])])


def attention() -> Model:
    x, other = Input((5, 4), name="x"), Input((7, 4), name="other")
    return Model([x, other], Flatten()(MultiHeadAttention(2, 4)(x, other)))


def free_sizes() -> Model:
    image, words = Input((None, None, 3), name="image"), Input((None,), dtype="int64", name="words")
    joined = Concatenate()([GlobalAveragePooling2D()(image), LSTM(4)(Embedding(9, 3)(words))])
    return Model({"image": image, "words": words}, Dense(2)(joined))


def straight() -> Model:
    x = Input((4,))
    return Model(x, x)


GRAPHS: dict[str, tuple[Any, Any]] = {
    "two in": (two_in, (A, B)),
    "named": (named_in, {"a": A, "b": B}),
    "shared": (shared, (A, B)),
    "nested": (nested, torch.from_numpy(X)),
    "several of one": (several_outputs_of_one_layer, torch.randn(6, 5, 3)),
    "attention": (attention, (torch.randn(3, 5, 4), torch.randn(3, 7, 4))),
    "free sizes": (free_sizes, {"image": torch.randn(2, 6, 5, 3), "words": torch.tensor([[1, 2, 3], [4, 5, 6]])}),
    "straight": (straight, torch.from_numpy(X)),
}


def tensors(outputs: Any) -> list[torch.Tensor]:
    if isinstance(outputs, dict):
        return list(outputs.values())
    return list(outputs) if isinstance(outputs, tuple | list) else [outputs]


@pytest.mark.parametrize("kind", GRAPHS)
def test_config_round_trip_through_json(kind: str) -> None:
    make, x = GRAPHS[kind]
    model = make()
    again = Model.from_config(json.loads(json.dumps(model.get_config())))
    assert again.get_config() == model.get_config()
    assert again.state_dict().keys() == model.state_dict().keys()
    again.load_state_dict(model.state_dict())
    one, other = model(x), again(x)
    assert isinstance(other, dict) == isinstance(one, dict)
    assert all(torch.equal(a, b) for a, b in zip(tensors(one), tensors(other), strict=True))


@pytest.mark.parametrize("kind", GRAPHS)
def test_the_shapes_that_are_told_are_those_that_come(kind: str) -> None:
    make, x = GRAPHS[kind]
    model = make()
    told = model.compute_output_shape(model.input_shape)
    told = list(leaves(told, is_shape))
    for shape, value in zip(told, tensors(model(x)), strict=True):
        assert len(shape) == value.ndim
        assert all(size is None or size == got for size, got in zip(shape, value.shape, strict=True))


def test_inputs_go_by_order_or_by_name() -> None:
    model = two_in()
    assert torch.equal(model((A, B)), model([A, B]))
    assert torch.equal(model({"b": B, "a": A}), model((A, B)))
    assert model((A.numpy(), B.numpy())).shape == (50, 3)


def test_fit_takes_several_inputs_and_outputs() -> None:
    a, b, labels = A.numpy(), B.numpy(), Y
    models = [compiled(two_in()) for _ in range(3)]
    for model, x in zip(models, ([a, b], (a, b), {"b": b, "a": a}), strict=True):
        model.fit(x, labels, verbose=0, validation_data=(x, labels))
        assert model.predict(x).shape == (50, 3)
    assert same_state(models[0], models[1]) and same_state(models[0], models[2])
    model = named_in()
    model.compile("adam", {"out": "mse"}, metrics={"out": ["mae"]})
    history = model.fit({"a": a, "b": b}, {"out": X[:, :3], "sum": a}, verbose=0)
    assert list(history.history) == ["loss", "out_loss", "out_mae"]
    answer = model.predict({"a": a, "b": b})
    np.testing.assert_allclose(answer["sum"], a + b, rtol=1e-6)


def test_a_shared_layer_has_one_set_of_weights() -> None:
    model = shared()
    assert [layer.name for layer in model.layers] == ["twin", "add"]
    assert set(state(model)) == {"twin.weight", "twin.bias"}
    twin = model.get_layer("twin")
    assert torch.equal(model((A, B)), twin(A) + twin(B))
    model.compile("sgd", "mse")
    model.fit((A, B), np.zeros((50, 4)), verbose=0)


def test_nested_models_run_and_train_inside() -> None:
    model = nested()
    inner, stack = model.get_layer("inner"), model.get_layer("stack")
    x = torch.from_numpy(X)
    p, q = inner(x)
    torch.testing.assert_close(model(x), stack(p) + q)
    before = state(model)
    model.compile("sgd", "mse")
    model.fit(X, X[:, :2], verbose=0)
    assert all(not torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_nested_model_with_named_outputs() -> None:
    x = Input((4,))
    inner = Model(x, {"p": Dense(3)(x), "q": Dense(2)(x)}, name="inner")
    y = Input((4,))
    outputs = inner(y)
    model = Model(y, Concatenate()([outputs["q"], outputs["p"]]))
    ones = torch.ones(2, 4)
    assert torch.equal(model(ones), torch.cat([inner(ones)["q"], inner(ones)["p"]], 1))
    again = Model.from_config(json.loads(json.dumps(model.get_config())))
    again.load_state_dict(model.state_dict())
    assert torch.equal(again(ones), model(ones))


def test_inputs_are_named() -> None:
    def names(model: Model) -> list[str]:
        return [spec.name for spec in model.input_specs]

    a, b = Input((2,)), Input((2,))
    assert names(Model([a, b], Add()([a, b]))) == ["input", "input_1"]
    assert names(two_in()) == ["a", "b"]
    assert names(named_in()) == ["a", "b"]


def test_weights_do_not_depend_on_what_was_made_before() -> None:
    first = two_in()
    Dense(3)
    assert same_state(first, two_in())


def test_deep_graphs() -> None:
    x = end = Input((2,))
    for _ in range(1500):
        end = Add()([end, x])
    assert torch.equal(Model(x, end)(torch.ones(1, 2)), torch.full((1, 2), 1501.0))


def test_a_layer_named_as_an_attribute_of_the_model() -> None:
    x = Input((4,))
    names = ["label", "history", "fit", "layers"]
    model = Model(x, [Dense(1, name=name)(x) for name in names])
    assert [layer.name for layer in model.layers] == names
    assert model.output_names() == names
    model.compile("sgd", "mse")
    model.fit(X, [X[:, :1]] * 4, verbose=0)
    assert model.history is not None and "label_loss" in model.history.history
    again = Model.from_config(json.loads(json.dumps(model.get_config())))
    again.load_state_dict(model.state_dict())


# -- what is refused ----------------------------------------------------------------------------------------


def test_what_is_no_graph_is_refused() -> None:
    x, other = Input((2,)), Input((2,))
    with pytest.raises(ConfigError, match="needs symbolic inputs and outputs. Start with x = Input"):
        Model(x, torch.ones(2))
    with pytest.raises(ConfigError, match="needs inputs and outputs, or neither"):
        Model(x)
    with pytest.raises(ConfigError, match="is not an Input"):
        Model(Dense(2)(x), Dense(2)(x))
    with pytest.raises(ConfigError, match="depends on an Input that is not in inputs. Add it"):
        Model(x, Add()([x, other]))
    with pytest.raises(ConfigError, match="a symbolic tensor has no value"):
        bool(x)


def test_duplicate_names_are_refused() -> None:
    x = Input((2,))
    with pytest.raises(ConfigError, match=r"layer name 'same' is taken in 'model'. Give the layer another"):
        Model(x, Dense(2, name="same")(Dense(2, name="same")(x)))


def test_missing_and_surplus_inputs() -> None:
    model = two_in()
    with pytest.raises(DataError, match=r"inputs \['b'\] are missing; got \['a'\]"):
        model({"a": A})
    with pytest.raises(DataError, match=r"got 1 inputs, expected 2: \['a', 'b'\]"):
        model(A)
    with pytest.raises(DataError, match=r"got 3 inputs, expected 2"):
        compiled(model).fit([A, B, A], Y, verbose=0)
    with pytest.raises(ShapeError, match=r"input 'b' of Model 'model': got examples of shape \(3,\), expected \(2,\)"):
        compiled(model).fit([A, X[:, :3]], Y, verbose=0)


def test_shapes_are_checked_while_the_graph_is_made() -> None:
    with pytest.raises(ShapeError, match="MultiHeadAttention|Dense|Add"):
        Add()([Input((2,)), Input((3,))])


def test_equal_layers_of_two_towers_start_differently() -> None:
    left, right = Sequential([Dense(4)]), Sequential([Dense(4)])
    x = Input((3,))
    model = Model(x, [left(x), right(x)])
    first, second = (tower.get_weights()[0] for tower in (left, right))
    assert (first != second).all()
    again = Model(x, [(a := Sequential([Dense(4)]))(x), (b := Sequential([Dense(4)]))(x)])
    assert (a.get_weights()[0] == first).all() and (b.get_weights()[0] == second).all()
    assert len(model.get_weights()) == len(again.get_weights()) == 4
