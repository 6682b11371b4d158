"""Layers that begin to train later than others, and rates that fall from layer to layer."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from lepton_ai.core import ConfigError, StorageError, UnknownNameError, UsageError
from lepton_ai.layers import BatchNormalization, Dense, Dropout, Input
from lepton_ai.models import Model, Sequential, bert_encoder, distributed_train, layer_wise_decay, load
from lepton_ai.training import OPTIMIZERS, Adam, Callback, EarlyStopping
from tests.contracts.fitting import InterruptAt, compiled, mlp, same_state, state, table, without_seconds

X, Y = table()
SCHEDULE: dict[int, Any] = {0: ["head"], 1: ["body.top"], 3: "all"}
CLASSES = sorted({OPTIMIZERS.get(name) for name in OPTIMIZERS}, key=lambda each: each.__name__)


def nested(norm: bool = True) -> Sequential:
    inside: list[Any] = [Dense(8, "relu", input_shape=(4,), name="low", kernel_regularizer="l2")]
    inside += [BatchNormalization(name="norm")] if norm else []
    body = Sequential([*inside, Dropout(0.2), Dense(6, "relu", name="top")], name="body")
    return Sequential([Input((4,)), body, Dense(3, "softmax", name="head")])


class Watch(Callback):
    """The state after each epoch, and whether weights had gradients."""

    def __init__(self) -> None:
        self.states: list[dict[str, torch.Tensor]] = []

    def on_epoch_begin(self, epoch: int) -> None:
        if not self.states:
            self.states.append(state(self.model))

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        self.states.append(state(self.model))


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_what_is_frozen_stays_bit_equal_and_begins_afresh(kind: Any) -> None:
    """No gradient, no decay, no statistics; and the optimiser's count begins with the first step that counts."""
    model, watch = compiled(nested(), kind(0.01, weight_decay=0.1)), Watch()
    model.fit(X, Y, batch_size=10, epochs=5, verbose=0, unfreeze=SCHEDULE, callbacks=[watch])
    for epoch, (before, after) in enumerate(zip(watch.states, watch.states[1:], strict=False)):
        changed = {name.rpartition(".")[0] for name in before if not torch.equal(before[name], after[name])}
        wanted = (
            {"head"} | ({"body.top"} if epoch >= 1 else set()) | ({"body.low", "body.norm"} if epoch >= 3 else set())
        )
        assert changed == wanted, epoch
    optimizer = watch.run.optimizer  # type: ignore[attr-defined]
    named = {id(weight): name for name, weight in model.named_parameters()}
    counts = {named[id(weight)]: own.get("step") for weight, own in optimizer.state.items()}
    if any(each is not None for each in counts.values()):
        found = {name.rpartition(".")[0]: int(count) for name, count in counts.items()}
        assert found == {"head": 25, "body.top": 20, "body.low": 10, "body.norm": 10}


def test_afterwards_each_layer_is_as_before() -> None:
    model = compiled(nested())
    body: Any = model.get_layer("body")
    body.get_layer("norm").trainable = False
    before = state(model)
    model.fit(X, Y, epochs=2, verbose=0, unfreeze={0: ["head"], 1: "all"})
    after = state(model)
    assert torch.equal(after["body.norm.weight"], before["body.norm.weight"]), "all is what was not frozen before"
    assert torch.equal(after["body.norm.running_mean"], before["body.norm.running_mean"])
    assert not torch.equal(after["body.low.weight"], before["body.low.weight"])
    assert model.trainable and body.trainable and not body.get_layer("norm").trainable
    assert [name for name, each in model.named_parameters() if not each.requires_grad] == [
        "body.norm.weight",
        "body.norm.bias",
    ]
    with pytest.raises(ValueError, match="bad"):
        model.fit(X, Y, verbose=0, unfreeze={0: ["head"]}, callbacks=[Bad()])
    assert body.get_layer("low").trainable and model.get_layer("head").weight.requires_grad


class Bad(Callback):
    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        raise ValueError("bad")


@pytest.mark.parametrize("at", [(0, 2), (1, 3), (2, 0), (3, 1)])
def test_resume_in_the_middle_is_exact(at: tuple[int, int], tmp_path: Path) -> None:
    def fit(*callbacks: Any, run: Any = None) -> Any:
        policies: Any = {"use_ema": True, "ema_momentum": 0.9, "clipnorm": 0.5, "rates": {"body": 0.5}}
        model = compiled(nested(), Adam(0.01, weight_decay=0.01, **policies))
        stop = EarlyStopping("loss", patience=4, restore_best_weights=True)
        options: dict[str, Any] = {"batch_size": 10, "epochs": 5, "verbose": 0, "unfreeze": SCHEDULE}
        model.fit(X, Y, **options, validation_data=(X, Y), run=run, callbacks=[stop, *callbacks])
        return model

    whole = fit()
    assert fit(InterruptAt(*at), run=tmp_path / "run").history.interrupted
    again = fit(run=tmp_path / "run")
    assert same_state(whole, again) and without_seconds(whole.history) == without_seconds(again.history)


def test_more_epochs_go_on_with_the_schedule(tmp_path: Path) -> None:
    def fit(epochs: int, run: Path | None) -> Any:
        model = compiled(nested())
        model.fit(X, Y, epochs=epochs, verbose=0, unfreeze=SCHEDULE, run=run)
        return model

    fit(1, tmp_path / "run")
    assert same_state(fit(4, tmp_path / "run"), fit(4, None))
    with pytest.raises(StorageError, match=r"belongs to a run with unfreeze.1 \['body.top'\], this one has None"):
        compiled(nested()).fit(X, Y, epochs=5, verbose=0, run=tmp_path / "run", unfreeze={0: ["head"], 3: "all"})


def test_workers_find_the_same() -> None:
    models = [compiled(nested(norm=False), Adam(0.01, weight_decay=0.1)) for _ in range(2)]
    for workers, model in zip((1, 2), models, strict=True):
        distributed_train(model, X, Y, 10, workers, epochs=4, verbose=0, unfreeze=SCHEDULE)
    for name, value in models[0].state_dict().items():
        torch.testing.assert_close(models[1].state_dict()[name], value, rtol=1e-4, atol=1e-6)
    assert models[1].get_layer("body").trainable


def test_schedules_that_cannot_be() -> None:
    def refused(schedule: Any, error: type[Exception], message: str) -> None:
        with pytest.raises(error, match=message):
            compiled(nested()).fit(X, Y, verbose=0, unfreeze=schedule)

    refused(["head"], ConfigError, r"fit\(unfreeze=...\): got .*, expected layers by the epoch from which they train")
    refused({-1: "all"}, ConfigError, "expected layers by the epoch")
    refused({1: "all"}, ConfigError, "expected layers that train in epoch 0, too")
    refused({0: []}, ConfigError, r"fit\(unfreeze=...\)\[0\]: got \[\], expected paths of layers, or \"all\"")
    refused({0: ["hed"]}, UnknownNameError, "unknown layer 'hed'. Did you mean 'head'?")
    refused({0: "all", 2: ["body.low"]}, ConfigError, "'body.low' adds nothing in epoch 2: what it holds is frozen, or")
    refused({0: ["body.dropout"]}, ConfigError, "'body.dropout' adds nothing in epoch 0")
    model = compiled(nested())
    model.get_layer("body").trainable = False
    with pytest.raises(ConfigError, match="'all' adds nothing in epoch 1.*Leave layers trainable"):
        model.fit(X, Y, verbose=0, unfreeze={0: ["head"], 1: "all"})


# -- rates that fall from layer to layer --------------------------------------------------------------------


def test_rates_fall_from_the_head_on_through_models_inside() -> None:
    found = layer_wise_decay(nested(), 0.5)
    assert found == {"body.low": 0.25, "body.norm": 0.25, "body.top": 0.5, "head": 1.0}
    assert layer_wise_decay(nested(), 0.5, lowest=0.4)["body.low"] == 0.4


def test_bert_has_a_level_for_each_block(tmp_path: Path) -> None:
    model = bert_encoder(50, 8, 2, layers=2, heads=2, width=8, segments=1)
    rates = layer_wise_decay(model, 0.75)
    levels = {name: round(math.log(rate, 0.75)) for name, rate in rates.items()}
    blocks = {"transformer_encoder": 3, "transformer_encoder_1": 2}
    assert levels == {"embedding": 4, "layer_normalization": 4, **blocks, "pooler": 1, "classifier": 0}
    model.compile(Adam(1e-3, rates=rates), "sparse_categorical_crossentropy")
    tokens = torch.arange(32).reshape(4, 8).remainder(50)
    model.fit(tokens.numpy(), [0, 1, 0, 1], verbose=0)
    model.save(tmp_path / "m.lepton")
    optimizer = load(tmp_path / "m.lepton").optimizer
    assert optimizer is not None and optimizer.rates == rates


def test_decays_that_cannot_be() -> None:
    with pytest.raises(ConfigError, match=r"layer_wise_decay.decay: got 1.5, expected a number from 0 to 1"):
        layer_wise_decay(mlp(), 1.5)
    with pytest.raises(ConfigError, match="layer_wise_decay.decay: got 0, expected a number above 0"):
        layer_wise_decay(mlp(), 0)
    with pytest.raises(UsageError, match="has no weights yet. Call it on an example first"):
        layer_wise_decay(Sequential([Dense(3)]))
    assert isinstance(mlp(), Model)
