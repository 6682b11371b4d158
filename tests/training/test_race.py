"""The race for an execution plan: it takes what is faster and right, and nothing else; the module stays as it was."""

import logging
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lepton_ai import hal, training
from lepton_ai.core import StorageError, UnknownNameError
from lepton_ai.hal import ExecutionPlan
from lepton_ai.training import LambdaCallback, race
from lepton_ai.training.race import Race, agree, candidates, wins
from tests.contracts.fitting import compiled, mlp, same_state, table


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own, where the cache is."""
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    return tmp_path / "home"


class Clock:
    """Says how long steps of a plan take, and how late it is by that; the steps are made all the same."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, passing: float = 0.0, **speeds: float) -> None:
        self.timed: list[str] = []
        self.now = 0.0
        real = Race.seconds

        def seconds(own: Race, plan: ExecutionPlan, steps: int) -> float:
            real(own, plan, 1)
            self.timed.append(plan.describe())
            took = 0.04 * speeds.get("precision" if plan.precision != "float32" else f"threads_{plan.threads}", 1.0)
            self.now += passing * took * steps
            return took

        monkeypatch.setattr(race, "time", SimpleNamespace(perf_counter=lambda: self.now))

        monkeypatch.setattr(Race, "seconds", seconds)
        monkeypatch.setattr(race, "has_bfloat16", lambda device: True)
        monkeypatch.setattr("shutil.which", lambda name: None)
        monkeypatch.setattr(race, "this_machine", lambda: training_machine(4))


def training_machine(cores: int) -> Any:
    import msgspec

    from lepton_ai.core import this_machine

    return msgspec.structs.replace(this_machine(), cores=cores)


def auto(epochs: int = 2, verbose: int = 0, **arguments: Any) -> Any:
    model = mlp()
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"], plan="auto")
    model.fit(*table(), batch_size=4, epochs=epochs, verbose=verbose, **arguments)
    return model


def test_the_fastest_is_run_said_and_kept(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    clock = Clock(monkeypatch, threads_4=0.5, threads_2=0.4)
    model = auto(epochs=40)
    assert model.plan == ExecutionPlan(threads=2)
    line = model.history.plan
    assert line.startswith("plan: threads=2, 2.50x over default, chosen in ") and line.endswith(" s")
    assert list(dict.fromkeys(clock.timed)) == ["default", "precision='bfloat16'", "threads=4", "threads=2"]
    (kept,) = hal.chosen_plans()
    assert kept.plan == model.plan and kept.gain == 2.5 and kept.work.startswith("Sequential of ")
    clock.timed.clear()
    again = auto(epochs=40)
    assert again.plan == model.plan and not clock.timed
    assert again.history.plan == "plan: threads=2, 2.50x over default, chosen before"
    assert same_state(model, again)


def test_a_race_keeps_to_its_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    # 13 batches an epoch: of 40 epochs at 0.04 s a step, a twentieth is 1.04 s.
    clock = Clock(monkeypatch, passing=1.0, precision=0.5)
    model = auto(epochs=40)
    assert model.plan == ExecutionPlan(precision="bfloat16")
    assert set(clock.timed) == {"default", "precision='bfloat16'"} and 0.5 < clock.now < 1.04 + 0.1
    assert model.history.plan == f"plan: precision='bfloat16', 2.00x over default, chosen in {clock.now:.1f} s"


def test_the_race_leaves_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    Clock(monkeypatch)
    model = auto(epochs=40)
    assert model.plan == ExecutionPlan() and "no other was faster" in model.history.plan
    plain = compiled(mlp(), optimizer="adam")
    plain.fit(*table(), batch_size=4, epochs=40, verbose=0)
    assert same_state(model, plain) and model.history.history == plain.history.history


@pytest.mark.parametrize("verbose", [1, 2])
def test_a_short_run_races_nothing(verbose: int, capsys: pytest.CaptureFixture[str]) -> None:
    model = auto(epochs=1, verbose=verbose)
    assert capsys.readouterr().out.startswith(model.history.plan)
    assert model.plan == ExecutionPlan()
    assert model.history.plan.endswith("s, a twentieth of this run, are too few for a race")
    assert hal.chosen_plans() == []


def test_a_wrong_answer_is_out(monkeypatch: pytest.MonkeyPatch) -> None:
    Clock(monkeypatch, threads_4=0.1, threads_2=0.1, precision=0.1)
    real = Race.check

    def check(own: Race, plan: ExecutionPlan) -> tuple[float, float]:
        loss, norm = real(own, plan)
        return (loss if plan == ExecutionPlan() else loss * 1.2), norm

    monkeypatch.setattr(Race, "check", check)
    assert auto(epochs=40).plan == ExecutionPlan()


def test_what_fails_is_out(monkeypatch: pytest.MonkeyPatch) -> None:
    Clock(monkeypatch, threads_2=0.5)
    real = Race.check

    def check(own: Race, plan: ExecutionPlan) -> tuple[float, float]:
        if plan.precision != "float32" or plan.threads == 4:
            raise RuntimeError("no such kernel")
        return real(own, plan)

    monkeypatch.setattr(Race, "check", check)
    assert auto(epochs=40).plan == ExecutionPlan(threads=2)


def test_a_run_that_goes_on_takes_the_plan_of_its_checkpoint(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def stop(epoch: int, logs: Any) -> None:
        if epoch == 1:
            raise KeyboardInterrupt

    Clock(monkeypatch, threads_2=0.5)
    whole = auto(epochs=40)
    cut = auto(epochs=40, run=tmp_path / "run", callbacks=LambdaCallback(on_epoch_end=stop))
    assert cut.history.interrupted
    for chosen in (home_plans := (tmp_path / "home/.cache/lepton/plans")).iterdir():
        chosen.unlink()
    clock = Clock(monkeypatch, threads_4=0.1)
    again = auto(epochs=40, run=tmp_path / "run")
    assert not clock.timed and not list(home_plans.iterdir())
    assert again.plan == ExecutionPlan(threads=2) and same_state(again, whole)
    other = compiled(mlp(), optimizer="adam")
    with pytest.raises(StorageError, match=r"plan\.threads 2, this one has 1"):
        other.fit(*table(), batch_size=4, epochs=41, verbose=0, run=tmp_path / "run")


@pytest.mark.parametrize("spread", [0.02, 0.1, 0.3])
def test_noise_does_not_win(spread: float) -> None:
    rng = np.random.default_rng(0)
    races = np.exp(rng.normal(0, spread, (2000, race.ROUNDS, 2)))
    won = sum(wins(list(each[:, 0] / each[:, 1])) for each in races)
    assert won / 2000 < 0.04
    faster = sum(wins(list(1.3 * each[:, 0] / each[:, 1])) for each in races)
    assert faster / 2000 > (0.99 if spread < 0.2 else 0.3)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.floats(0.2, 5), max_size=15))
def test_who_wins_is_faster_in_most_rounds(ratios: list[float]) -> None:
    if wins(ratios):
        assert len(ratios) >= 5 and np.median(ratios) >= 1.05
        assert sum(each > 1 for each in ratios) >= 0.8 * len(ratios)
        assert not wins([1 / each for each in ratios])
    assert not wins([min(each, 1.04) for each in ratios])


def test_precision_allows_what_it_allows() -> None:
    assert agree((1.0, 2.0), (1.0005, 2.01), "float32") and not agree((1.0, 2.0), (1.01, 2.0), "float32")
    assert agree((1.0, 2.0), (1.02, 2.1), "bfloat16") and not agree((1.0, 2.0), (1.2, 2.0), "bfloat16")
    assert not agree((1.0, 2.0), (float("nan"), 2.0), "bfloat16")


def test_candidates_change_one_field_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(race, "this_machine", lambda: training_machine(6))
    found = list(candidates(torch.device("cpu"), ExecutionPlan()))
    assert all(len(change) == 1 for change in found)
    assert [change["threads"] for change in found if "threads" in change] == [6, 3]


class BrokenCompiler:
    """`torch.compile` on a machine without a compiler: the model fails where it is first called."""

    @pytest.fixture(autouse=True)
    def broken(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        from torch._inductor.exc import InvalidCxxCompiler

        def compile_(module: Any) -> Any:
            def fail(*args: Any, **kwargs: Any) -> Any:
                raise InvalidCxxCompiler

            return fail

        monkeypatch.setattr(torch, "compile", compile_)
        yield


class TestWithoutACompiler(BrokenCompiler):
    def fit(self, run: Path | None = None, epochs: int = 2) -> Any:
        model = mlp()
        model.compile("adam", "sparse_categorical_crossentropy", plan=ExecutionPlan(compile=True))
        model.fit(*table(), batch_size=8, epochs=epochs, verbose=0, run=run)
        return model

    def test_training_goes_on(self, caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
        with caplog.at_level(logging.WARNING):
            model = self.fit(tmp_path / "run")
        assert sum("the model cannot be compiled here" in each.getMessage() for each in caplog.records) == 1
        assert model.plan == ExecutionPlan() and "the compiler failed" in model.history.plan
        plain = mlp()
        plain.compile("adam", "sparse_categorical_crossentropy")
        plain.fit(*table(), batch_size=8, epochs=2, verbose=0)
        assert same_state(model, plain)
        caplog.clear()
        longer = self.fit(tmp_path / "run", epochs=3)
        assert not caplog.records and longer.history.epoch == [0, 1, 2]


def test_unknown_plans_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="auto"):
        mlp().compile("adam", "mse", plan="atuo")
    assert "take_plan" not in training.__all__
