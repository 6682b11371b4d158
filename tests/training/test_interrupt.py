"""Ctrl-C: held back for a step, a checkpoint kept, the model usable."""

import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from lepton_ai.data import Arrays
from lepton_ai.training import LambdaCallback
from lepton_ai.training.interrupt import TERMINATED, Interrupt
from tests.contracts.fitting import InterruptAt, compiled, mlp, same_state, table


def test_interrupt_without_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    x, y = table()
    model = compiled(mlp())
    history = model.fit(x, y, batch_size=10, epochs=4, verbose=0, callbacks=[InterruptAt(1, 2)])
    assert history.interrupted
    assert history.epoch == [0] and len(history["loss"]) == 1
    assert len(list((tmp_path / "runs/interrupted/checkpoints").glob("epoch-00002-step-00000003/state.json"))) == 1
    assert model.predict(x).shape == (50, 3)
    assert not model.training
    model.evaluate(x, y)
    whole, again = compiled(mlp()), compiled(mlp())
    whole.fit(x, y, batch_size=10, epochs=4, verbose=0)
    ended = again.fit(x, y, batch_size=10, epochs=4, verbose=0, run="runs/interrupted")
    assert not ended.interrupted
    assert same_state(whole, again)


class Signals(Arrays):
    """Sends signals to this process while the batch number `at` is fetched."""

    def __init__(self, x: Any, y: Any, at: int, times: int = 1, number: int = signal.SIGINT) -> None:
        super().__init__(x, y)
        self.count, self.at, self.times, self.number = 0, at, times, number

    def fetch(self, indices: Tensor) -> Any:
        self.count += 1
        if self.count == self.at:
            for _ in range(self.times):
                os.kill(os.getpid(), self.number)
        return super().fetch(indices)


def test_a_real_interrupt_waits_for_the_step(tmp_path: Path) -> None:
    x, y = table()

    def program(source: Any, *data: Any) -> Any:
        model = compiled(mlp())
        model.fit(source, *data, batch_size=10, epochs=3, verbose=0, run=None if not data else tmp_path)
        return model

    before = signal.getsignal(signal.SIGINT)
    model = compiled(mlp())
    model.fit(Signals(x, y, at=9), batch_size=10, epochs=3, verbose=0, run=tmp_path)
    assert model.history.interrupted
    assert signal.getsignal(signal.SIGINT) is before
    again, whole = compiled(mlp()), compiled(mlp())
    again.fit(x, y, batch_size=10, epochs=3, verbose=0, run=tmp_path)
    whole.fit(x, y, batch_size=10, epochs=3, verbose=0)
    assert same_state(again, whole)


@pytest.mark.parametrize("folder", ["mine", None])
def test_sigterm_saves_and_ends_the_program(
    folder: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    x, y = table()
    ended: list[str] = []
    options: dict[str, Any] = {"batch_size": 10, "epochs": 3, "verbose": 0}
    end = LambdaCallback(on_train_end=lambda: ended.append("yes"))
    with pytest.raises(SystemExit) as caught:
        source = Signals(x, y, at=9, number=signal.SIGTERM)
        compiled(mlp()).fit(source, **options, run=folder, callbacks=[end])
    assert caught.value.code == TERMINATED == 75 and ended == ["yes"]
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    again, whole = compiled(mlp()), compiled(mlp())
    seen: list[int] = []
    watch = LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(batch))
    again.fit(x, y, **options, run=folder or "runs/interrupted", callbacks=[watch])
    whole.fit(x, y, **options)
    assert same_state(again, whole) and not again.history.interrupted
    assert 6 <= len(seen) <= 10  # of 15


def test_a_second_interrupt_does_not_wait(tmp_path: Path) -> None:
    model = compiled(mlp())
    with pytest.raises(KeyboardInterrupt):
        model.fit(Signals(*table(), at=9, times=2), batch_size=10, epochs=3, verbose=0, run=tmp_path)
    assert not model.training
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_handler_of_the_programs_own_is_left_alone() -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: heard.append(number))
    try:
        with Interrupt() as interrupt:
            os.kill(os.getpid(), signal.SIGINT)
            assert heard == [signal.SIGINT] and not interrupt.asked
    finally:
        signal.signal(signal.SIGINT, before)


def test_other_threads_hold_nothing_back() -> None:
    found: list[bool] = []

    def enter() -> None:
        with Interrupt():
            found.append(signal.getsignal(signal.SIGINT) is signal.default_int_handler)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert found == [True]


def test_a_worker_is_asked_by_sigterm_as_often_as_one_likes() -> None:
    with Interrupt(worker=True) as interrupt:
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGTERM)
        assert interrupt.asked and not interrupt.insisted
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
