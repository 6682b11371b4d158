"""The table that `summary()` prints."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lepton_ai.core import UsageError
from lepton_ai.layers import GRU, LSTM, Conv2D, Dense, Embedding, Flatten, Input, MaxPooling2D
from lepton_ai.models import Model, Sequential, count_parameters, summarize
from lepton_ai.models.summary import layer_rows, size
from tests.contracts.fitting import cnn, mlp
from tests.models.test_graph import GRAPHS


class Sub(Model):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.more = Dense(3), nn.ModuleList([Dense(3)])
        self.last = Dense(2)

    def call(self, x: Tensor) -> Tensor:
        result: Tensor = self.last(self.more[0](self.first(x)))
        return result


def facts(model: Model) -> list[tuple[Any, ...]]:
    return [(row.name, row.kind, row.shape, row.parameters, row.multiply_adds) for row in layer_rows(model)]


def test_the_issues_network(capsys: pytest.CaptureFixture[str]) -> None:
    model = Sequential()
    model.add(Conv2D(32, (3, 3), activation="relu", input_shape=(32, 32, 3)))
    model.add(MaxPooling2D(pool_size=(2, 2)))
    model.add(Flatten())
    model.add(Dense(64, activation="relu"))
    model.add(Dense(2, activation="softmax"))
    text = model.summary()
    assert capsys.readouterr().out == text + "\n"
    assert facts(model) == [
        ("conv2d", "Conv2D", "(None, 30, 30, 32)", 896, 30 * 30 * 32 * 27),
        ("max_pooling2d", "MaxPooling2D", "(None, 15, 15, 32)", 0, 0),
        ("flatten", "Flatten", "(None, 7200)", 0, 0),
        ("dense", "Dense", "(None, 64)", 460_864, 7200 * 64),
        ("dense_1", "Dense", "(None, 2)", 130, 128),
    ]
    for part in ("Sequential 'sequential'", "(None, 30, 30, 32)", "460,864", "777,600", "112.5 KiB"):
        assert part in text
    last = text.splitlines()[-1]
    assert last == (
        "parameters 461,890 (461,890 trainable)   weights 1.8 MiB   multiply-adds 1,238,528   "
        "activations 169.0 KiB per example"
    )
    assert count_parameters(model) == (461_890, 461_890)


def test_frozen_layers_are_marked() -> None:
    model = mlp()
    model.layers[0].trainable = False
    lines = model.summary().splitlines()
    assert [("40 frozen" in line, "27 frozen" in line) for line in lines if "dense" in line] == [
        (True, False),
        (False, False),
    ]
    assert "parameters 67 (27 trainable)" in lines[-1]


def test_recurrent_layers_are_counted() -> None:
    model = Sequential([Embedding(10, 4, input_shape=(6,)), LSTM(5, return_sequences=True), GRU(3), Dense(2)])
    assert facts(model) == [
        ("embedding", "Embedding", "(None, 6, 4)", 40, 0),
        ("lstm", "LSTM", "(None, 6, 5)", 4 * 5 * 10, 6 * 4 * 5 * (4 + 5)),
        ("gru", "GRU", "(None, 3)", 3 * 3 * 10, 6 * 3 * 3 * (5 + 3)),
        ("dense", "Dense", "(None, 2)", 8, 6),
    ]


def test_a_subclass() -> None:
    model = Sub()
    with pytest.raises(UsageError, match="does not know its input yet. Call it on an example, or fit it, first"):
        model.summary()
    model(torch.ones(2, 4))
    assert facts(model)[0][0] == "first"
    assert "parameters 35 (35 trainable)" in model.summary()


def test_a_foreign_module() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 2))
    model = Model.from_module(net, (3, 8, 8))
    assert facts(model) == [
        ("0", "Conv2d", "(None, 4, 6, 6)", 112, 3888),
        ("1", "Flatten", "(None, 144)", 0, 0),
        ("2", "Linear", "(None, 2)", 290, 288),
    ]
    assert "Linear" not in Model.from_module(nn.Linear(4, 2), (4,), name="one").summary().splitlines()[0]


@pytest.mark.parametrize("kind", GRAPHS)
def test_every_graph_has_a_row_for_each_layer(kind: str) -> None:
    model = GRAPHS[kind][0]()
    names = [layer.name for layer in model.layers]
    if names:
        assert [row.name for row in layer_rows(model)] == names
    text = model.summary()
    total, trainable = count_parameters(model)
    assert f"parameters {total:,} ({trainable:,} trainable)" in text
    assert "…" not in text


def test_a_shared_layer_counts_each_call_once_in_parameters() -> None:
    model = GRAPHS["shared"][0]()
    assert facts(model)[0] == ("twin", "Dense", "(None, 4)", 12, 16)


def test_nothing_is_cut_short_and_the_width_is_kept() -> None:
    model = Sequential([Dense(3, name="a_layer_with_a_name_that_goes_on_and_on_for_quite_a_while", input_shape=(4,))])
    text = summarize(model, width=60)
    assert "…" not in text
    assert "".join(line.split()[0] for line in text.splitlines()[5:-2]).startswith("a_layer_with_a")
    assert all(len(line.rstrip()) <= 60 for line in text.splitlines()[:-1])


def test_it_changes_nothing() -> None:
    model = cnn(norm=True, dropout=0.5)
    model.summary()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.train()
    model.summary()
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_inputs_of_other_kinds() -> None:
    x = Input((8, 8, 3), dtype="uint8")
    assert "parameters" in Model(x, Dense(2)(Flatten()(x))).summary()


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (5 * 2**20, "5.0 MiB"), (3 * 2**30, "3.0 GiB")],
)
def test_sizes(count: int, text: str) -> None:
    assert size(count) == text
