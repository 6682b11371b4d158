"""Rates by layer: with every optimiser, schedule and policy, in every process; and what they refuse."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from lepton_ai.core import ConfigError, StorageError, UnknownNameError
from lepton_ai.layers import Dense
from lepton_ai.models import Sequential, distributed_train, load
from lepton_ai.training import (
    OPTIMIZERS,
    SGD,
    Adafactor,
    Adam,
    ExponentialDecay,
    Muon,
    ReduceLROnPlateau,
    get_optimizer,
)
from lepton_ai.training.rates import rate_of
from tests.contracts.fitting import InterruptAt, compiled, mlp, same_state, state, table, without_seconds

X, Y = table()
CLASSES = sorted({OPTIMIZERS.get(name) for name in OPTIMIZERS}, key=lambda each: each.__name__)


def stack() -> Sequential:
    layers = [Dense(8, activation="relu", input_shape=(4,), name="body"), Dense(6, "tanh", name="neck")]
    return Sequential([*layers, Dense(3, "softmax", name="head")])


def moved(optimizer: Any, rate: float) -> dict[str, torch.Tensor]:
    """How far a step moves each weight, in a fixed network, at a rate."""
    generator = torch.Generator().manual_seed(3)
    net = nn.ModuleDict({name: nn.Linear(4, 4) for name in ("body", "bodyguard", "head")})
    for weight in net.parameters():
        weight.data.normal_(generator=generator)
    before = {name: weight.detach().clone() for name, weight in net.named_parameters()}
    made = optimizer.build(net.named_parameters())
    for _ in range(2):
        for weight in net.parameters():
            weight.grad = torch.ones_like(weight) * 0.1 + weight.detach() * 0.01
        for group in made.param_groups:
            group["lr"] = rate * group.get("rate", 1.0)
        made.step()
    return {name: weight.detach() - before[name] for name, weight in net.named_parameters()}


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_optimiser_takes_them(kind: Any) -> None:
    """Each weight moves as it would in a run at its own rate: also with a decay, or groups of the rule's own."""
    settings = {"weight_decay": 0.1}
    slow, usual = moved(kind(**settings), 0.001), moved(kind(**settings), 0.01)
    mixed = moved(kind(**settings, rates={"body": 0.1}), 0.01)
    for name, change in mixed.items():
        expected = slow[name] if name.startswith("body.") else usual[name]
        torch.testing.assert_close(change, expected, rtol=1e-4, atol=1e-7)
    assert not torch.equal(mixed["body.weight"], usual["body.weight"])


def test_muon_keeps_its_two_rules() -> None:
    net = nn.ModuleDict({"body": nn.Linear(4, 4), "head": nn.Linear(4, 4)})
    made = Muon(rates={"head.bias": 0.5, "body": 0.1}).build(net.named_parameters())
    shown = {tuple(group["param_names"]): (type(group["rule"]).__name__, group["rate"]) for group in made.param_groups}
    assert shown == {
        ("body.weight",): ("Muon", 0.1),
        ("head.weight",): ("Muon", 1.0),
        ("body.bias",): ("_AdamRule", 0.1),
        ("head.bias",): ("_AdamRule", 0.5),
    }


def test_the_longest_name_counts() -> None:
    rates = {"net": 0.5, "net.stem": 0.1, "net.stem.bias": 0.0}
    found = [rate_of(name, rates) for name in ("net.top.weight", "net.stem.weight", "net.stem.bias", "network.bias")]
    assert found == [0.5, 0.1, 0.0, 1.0]


def test_rates_of_one_change_no_bit() -> None:
    models = [compiled(stack(), Adam(0.01, rates=rates)) for rates in (None, {"body": 1.0})]
    for model in models:
        model.fit(X, Y, epochs=2, verbose=0)
    assert same_state(*models)


def test_they_multiply_schedule_and_plateau() -> None:
    seen: list[tuple[float, list[float]]] = []

    class Watch(ReduceLROnPlateau):
        def on_train_batch_end(self, batch: int, logs: dict[str, float]) -> None:
            seen.append((self.run.learning_rate_scale, [group["lr"] for group in self.run.optimizer.param_groups]))  # type: ignore[attr-defined]

    model = compiled(stack(), SGD(ExponentialDecay(0.1, 1, 0.5), rates={"body": 0.25, "head": 2.0}))
    model.fit(X, Y, batch_size=50, epochs=3, verbose=0, callbacks=[Watch("loss", patience=1, min_delta=100.0)])
    scales = [scale for scale, _ in seen]
    assert scales == pytest.approx([1.0, 1.0, 0.1])
    for step, (scale, rates) in enumerate(seen):
        assert rates == pytest.approx([0.1 * 0.5**step * scale * each for each in (0.25, 1.0, 2.0)])


def test_a_rate_of_zero_moves_nothing() -> None:
    model = compiled(stack(), Adam(0.01, weight_decay=0.1, rates={"body": 0}))
    model.build((None, 4))
    before = state(model)
    model.fit(X, Y, verbose=0)
    after = state(model)
    assert torch.equal(before["body.weight"], after["body.weight"])
    assert not torch.equal(before["head.weight"], after["head.weight"])


POLICIES: dict[str, Any] = {
    "use_ema": True,
    "ema_momentum": 0.9,
    "global_clipnorm": 0.5,
    "gradient_accumulation_steps": 2,
}


@pytest.mark.parametrize("optimizer", [Adam, Muon, SGD], ids=lambda kind: kind.__name__)
def test_resume_in_the_middle_is_exact(optimizer: Any, tmp_path: Path) -> None:
    def fit(*callbacks: Any, run: Any = None) -> Any:
        model = compiled(stack(), optimizer(0.01, rates={"neck": 0.3, "body": 0.1}, **POLICIES))
        model.fit(X, Y, batch_size=5, epochs=3, verbose=0, run=run, callbacks=list(callbacks))
        return model

    whole = fit()
    assert fit(InterruptAt(1, 2), run=tmp_path / "run").history.interrupted
    again = fit(run=tmp_path / "run")
    assert same_state(whole, again) and without_seconds(whole.history) == without_seconds(again.history)


def test_another_set_of_rates_is_another_run(tmp_path: Path) -> None:
    compiled(stack(), Adam(rates={"body": 0.1})).fit(X, Y, verbose=0, run=tmp_path / "run")
    with pytest.raises(StorageError, match="belongs to a run with rates.body 0.1, this one has None"):
        compiled(stack(), Adam()).fit(X, Y, epochs=2, verbose=0, run=tmp_path / "run")


def test_workers_find_the_same() -> None:
    models = [compiled(stack(), Adam(0.01, rates={"body": 0.1}, global_clipnorm=0.5)) for _ in range(2)]
    for workers, model in zip((1, 2), models, strict=True):
        distributed_train(model, X, Y, 10, workers, epochs=2, verbose=0)
    for name, value in models[0].state_dict().items():
        torch.testing.assert_close(models[1].state_dict()[name], value, rtol=1e-4, atol=1e-6)


def test_they_are_stored_with_the_model(tmp_path: Path) -> None:
    model = compiled(stack(), Adam(0.01, rates={"body": 0.1, "head": 1}))
    model.fit(X, Y, verbose=0)
    model.save(tmp_path / "m.lepton")
    again = load(tmp_path / "m.lepton")
    assert again.optimizer is not None and again.optimizer.rates == {"body": 0.1, "head": 1.0}
    assert "rates={'body': 0.1, 'head': 1.0}" in repr(again.optimizer)
    stored = json.loads(json.dumps(Adafactor(rates={"a.b": 2}).config()))
    assert get_optimizer(stored).rates == {"a.b": 2.0} and "rates" not in str(Adam().config())


def test_what_they_refuse() -> None:
    for rates in (0.1, {1: 0.1}, {"": 0.1}):
        with pytest.raises(ConfigError, match=r"Adam.rates: got .*, expected multiples by the path of a layer. Write"):
            Adam(rates=rates)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"Adam.rates\['body'\]: got -1, expected a number in \[0, inf\)"):
        Adam(rates={"body": -1})
    model = compiled(stack(), Adam(rates={"boddy": 0.1}))
    with pytest.raises(UnknownNameError, match=r"Adam.rates: unknown layer 'boddy'. Did you mean 'body'?"):
        model.fit(X, Y, verbose=0)
    frozen = compiled(stack(), Adam(rates={"body": 0.1}))
    frozen.get_layer("body").trainable = False
    frozen.fit(X, Y, verbose=0)  # named though nothing of it trains now
    with pytest.raises(UnknownNameError, match="unknown layer 'head'"):
        distributed_train(compiled(mlp(), Adam(rates={"head": 0.1})), X, Y, 10, 2, verbose=0)
