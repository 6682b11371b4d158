"""The fastest batch size: found in a child, bounded in memory and time, and nothing is changed here."""

import os
import re
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil  # type: ignore[import-untyped]
import pytest
import torch

from lepton_ai.core import ConfigError, UsageError, WorkerError
from lepton_ai.layers import BatchNormalization, Dense, Layer
from lepton_ai.models import Sequential
from lepton_ai.rng import get_seed
from lepton_ai.training import find_batch_size
from tests.contracts.fitting import compiled, mlp, same_state, state, table

X, Y = table(300)


class Costly(Layer):
    """Fails, one way or another, for batches of more than 16 rows."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how

    def call(self, x: Any) -> Any:
        if len(x) > 16 and self.training:
            if self.how == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            elif self.how == "aborted":
                os.abort()
            elif self.how == "refused":
                torch.empty(2**45)
            elif self.how == "faulty":
                raise KeyError("nothing to do with memory")
            elif self.how == "hangs":
                time.sleep(60)
            else:
                self.held = bytearray(2**29)
        return x


@pytest.fixture(autouse=True)
def short_moments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lepton_ai.training.batch_size._MOST", 0.1)


def costly(how: str) -> Any:
    return compiled(Sequential([Costly(how), Dense(3, "softmax")]))


def children() -> list[Any]:
    return [each for each in psutil.Process().children() if each.status() != psutil.STATUS_ZOMBIE]


def test_the_fastest_of_those_that_fit_and_nothing_changes() -> None:
    model = compiled(Sequential([Dense(8, "relu", input_shape=(4,)), BatchNormalization(), Dense(3, "softmax")]))
    model.fit(X, Y, verbose=0)
    before, history, seed = state(model), model.history, get_seed()
    optimizer, generator = model.optimizer, torch.get_rng_state()
    numpy_state = np.random.get_state()[1].tolist()  # type: ignore[index]
    found = find_batch_size(model, X, Y, highest=70, seconds=20.0)
    assert [each.batch_size for each in found.trials] == [8, 16, 32, 64]
    assert all(each.fits and each.samples_per_second > 0 for each in found.trials)
    assert found.best == max(found.trials, key=lambda each: each.samples_per_second).batch_size
    assert found.trials[-1].samples_per_second > found.trials[0].samples_per_second
    lines = str(found).splitlines()
    assert lines[0].split() == ["batch", "size", "samples/s", "memory"] and len(lines) == 5
    assert next(line for line in lines if line.endswith("<- fastest")).split()[0] == str(found.best)
    after = state(model)
    assert all(torch.equal(before[name], after[name]) for name in before) and model.history is history
    assert torch.equal(torch.get_rng_state(), generator) and get_seed() == seed and model.optimizer is optimizer
    assert np.random.get_state()[1].tolist() == numpy_state  # type: ignore[index]
    assert not children()
    unbuilt = compiled(Sequential([Dense(3, "softmax")]))
    find_batch_size(unbuilt, X[:9], Y[:9], seconds=20.0)
    assert not unbuilt.built


@pytest.mark.parametrize("how", ["killed", "aborted", "refused"])
def test_what_costs_the_child_does_not_fit(how: str) -> None:
    found = find_batch_size(costly(how), X, Y, seconds=20.0)
    assert [(each.batch_size, each.fits) for each in found.trials] == [(8, True), (16, True), (32, False)]
    assert found.best in (8, 16) and "32           -    too much" in str(found)


def test_memory_beyond_the_share_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lepton_ai.training.batch_size._available", lambda device: 2**28)
    found = find_batch_size(costly("large"), X, Y, seconds=20.0)
    assert found.limit == int(0.8 * 2**28) and [each.fits for each in found.trials] == [True, True, False]
    monkeypatch.setattr("lepton_ai.training.batch_size._available", lambda device: 0)
    with pytest.raises(UsageError, match="find_batch_size: found no batch size: not even 8 fits into 0 MiB. Free some"):
        find_batch_size(mlp_ready(), X, Y, seconds=20.0)


def mlp_ready() -> Any:
    return compiled(mlp())


def test_time_is_bounded() -> None:
    began = time.monotonic()
    found = find_batch_size(costly("hangs"), X, Y, seconds=3.0)
    assert time.monotonic() - began < 6 and [each.batch_size for each in found.trials] == [8, 16]
    with pytest.raises(UsageError, match="found no batch size: 0.5 s were too few. Give it more seconds"):
        find_batch_size(costly("hangs"), X, Y, lowest=32, seconds=0.5)
    assert not children()


def test_other_mistakes_are_told() -> None:
    with pytest.raises(
        WorkerError, match=r"(?s)find_batch_size: training failed in the child process.*nothing to do with"
    ):
        find_batch_size(costly("faulty"), X, Y, seconds=20.0)
    with pytest.raises(WorkerError, match="fit was called before compile"):
        find_batch_size(mlp(), X, Y)
    with pytest.raises(ConfigError, match=r"find_batch_size\(share=...\): got 1.5, expected a number in \(0, 1\]"):
        find_batch_size(mlp_ready(), X, Y, share=1.5)
    with pytest.raises(ConfigError, match=r"find_batch_size\(highest=...\): got 4, expected an int of at least 8"):
        find_batch_size(mlp_ready(), X, Y, highest=4)


def test_fit_can_choose_and_a_run_that_goes_on_keeps_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = mlp_ready()
    chosen.fit(X, Y, batch_size="auto", epochs=2, verbose=0, run=tmp_path / "run")
    size, _, why = chosen.history.plan.removeprefix("batch_size=").partition(", ")
    assert int(size) in [2**power for power in range(3, 9)]
    assert re.match(r"[\d,]+ samples/s and \d+ MiB, the fastest of 8 to \d+; plan: ", why)
    by_hand = mlp_ready()
    by_hand.fit(X, Y, batch_size=int(size), epochs=2, verbose=0)
    assert same_state(chosen, by_hand)

    def never(*_: Any, **__: Any) -> Any:
        raise AssertionError("measured again")

    monkeypatch.setattr("lepton_ai.training.batch_size.find_batch_size", never)
    longer = mlp_ready()
    longer.fit(X, Y, batch_size="auto", epochs=3, verbose=0, run=tmp_path / "run")
    assert longer.history.epoch == [0, 1, 2]


def test_another_word_for_the_size_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"fit\(batch_size=...\): got .*most.*, expected"):
        mlp_ready().fit(X, Y, batch_size="most")
