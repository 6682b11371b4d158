"""What goes in and out, by name, with free sizes."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from lepton_ai.core import UsageError
from lepton_ai.layers import Conv2D, Dense, Embedding, GlobalAveragePooling2D, Input, Rescaling
from lepton_ai.models import Model, Sequential, named_inputs, named_outputs, sample_inputs, signature
from tests.contracts.fitting import compiled, mlp, state, table
from tests.models.test_graph import GRAPHS

X, Y = table()


def told(model: Model) -> tuple[list[Any], list[Any]]:
    found = signature(model)
    return (
        [(spec.name, spec.dtype, spec.shape) for spec in found.inputs],
        [(spec.name, spec.dtype, spec.shape) for spec in found.outputs],
    )


def test_a_stack() -> None:
    assert told(mlp()) == ([("input", "FP32", (-1, 4))], [("output", "FP32", (-1, 3))])


def test_several_inputs_and_outputs_by_name() -> None:
    assert told(GRAPHS["named"][0]()) == (
        [("a", "FP32", (-1, 2)), ("b", "FP32", (-1, 2))],
        [("sum", "FP32", (-1, 2)), ("out", "FP32", (-1, 3))],
    )
    assert [name for name, *_ in told(GRAPHS["several of one"][0]())[1]] == ["lstm", "add"]


def test_free_sizes_and_kinds() -> None:
    images = Sequential([Input((None, None, 3), dtype="uint8", name="image"), Rescaling(1 / 255), Conv2D(2, 3)])
    assert told(images) == ([("image", "UINT8", (-1, -1, -1, 3))], [("output", "FP32", (-1, -1, -1, 2))])
    images.add(GlobalAveragePooling2D())
    assert told(images)[1] == [("output", "FP32", (-1, 2))]
    words = Sequential([Input((None,), dtype="int64"), Embedding(5, 4)])
    assert told(words) == ([("input", "INT64", (-1, -1))], [("output", "FP32", (-1, -1, 4))])


def test_what_a_call_was_given_is_remembered() -> None:
    words = Sequential([Embedding(5, 4)])
    words(torch.ones(2, 7, dtype=torch.int64))
    assert told(words)[0] == [("input", "INT64", (-1, 7))]

    class Two(Model):
        def __init__(self) -> None:
            super().__init__()
            self.dense = Dense(2)

        def call(self, x: Any) -> Tensor:
            result: Tensor = self.dense(x["a"]) * x["b"]
            return result

    model = Two()
    model({"a": torch.ones(3, 4), "b": torch.ones(3, 1, dtype=torch.int32)})
    assert [(spec.name, spec.shape, spec.dtype) for spec in model.input_specs] == [
        ("a", (None, 4), "float32"),
        ("b", (None, 1), "int32"),
    ]


@pytest.mark.parametrize("kind", GRAPHS)
@pytest.mark.parametrize("batch", [1, 3])
def test_samples_fit_and_repeat(kind: str, batch: int) -> None:
    model = GRAPHS[kind][0]()
    x = sample_inputs(model, batch)
    model.check_inputs(x)
    named = named_inputs(model, x)
    assert list(named) == [spec.name for spec in model.input_specs]
    assert all(len(value) == batch for value in named.values())
    again = named_inputs(model, sample_inputs(model, batch))
    assert all(torch.equal(value, again[name]) for name, value in named.items())
    outputs = named_outputs(model, model(x))
    assert all(len(value) == batch for value in outputs.values())


def test_samples_are_rows_that_were_trained_on() -> None:
    model = compiled(mlp())
    model.fit(X, Y, verbose=0)
    samples = sample_inputs(model, 11).numpy()
    assert np.array_equal(samples[:8], X[:8]) and np.array_equal(samples[8:], X[:3])


def test_looking_changes_nothing() -> None:
    model = mlp(dropout=0.5)
    model.predict(X)
    before = state(model)
    model.train()
    signature(model)
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_model_that_knows_nothing_yet() -> None:
    with pytest.raises(UsageError, match="Sequential 'sequential' does not know its input yet. Call it on an example"):
        signature(Sequential([Dense(2)]))


def test_nested_outputs_are_refused() -> None:
    model = Model.from_module(torch.nn.LSTM(3, 2, batch_first=True), (5, 3))
    with pytest.raises(UsageError, match="its outputs are nested"):
        signature(model)
