"""What people see while they wait."""

import io
import re
import sys
import time
from typing import Any

import pytest

from lepton_ai.core import ConfigError
from lepton_ai.training import LambdaCallback, progress
from lepton_ai.training.progress import ProgressBar, ProgressLines
from tests.contracts.fitting import compiled, mlp, table

X, Y = table()


def test_a_line_for_each_epoch(capsys: pytest.CaptureFixture[str]) -> None:
    history = compiled(mlp()).fit(X, Y, epochs=2, verbose=2, validation_data=(X, Y))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    for index, line in enumerate(lines):
        shown = rf"epoch {index + 1}/2  \d+\.\ds  loss {history['loss'][index]:.4g}  accuracy .*  val_loss .*"
        assert re.fullmatch(shown, line)


def test_silence(capfd: pytest.CaptureFixture[str]) -> None:
    compiled(mlp()).fit(X, Y, epochs=2, verbose=0)
    assert capfd.readouterr() == ("", "")


def test_a_bar(capsys: pytest.CaptureFixture[str]) -> None:
    compiled(mlp()).fit(X, Y, epochs=2, verbose=1)
    out = capsys.readouterr().out
    assert "epoch 1/2  " in out and "epoch 2/2  " in out and "loss" in out


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_bar_moves_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setenv("TERM", "xterm")
    callback = ProgressBar()
    slow = LambdaCallback(on_train_batch_end=lambda batch, logs: time.sleep(0.06))
    compiled(mlp()).fit(X, Y, batch_size=10, epochs=2, verbose=0, callbacks=[slow, callback])
    text = screen.getvalue()
    assert "ms/step" in text and "epoch 2/2" in text and "loss " in text


def test_the_bar_goes_away_after_an_error() -> None:
    callback = ProgressBar()
    fail = LambdaCallback(on_epoch_end=lambda epoch, logs: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        compiled(mlp()).fit(X, Y, verbose=0, callbacks=[callback, fail])
    assert not callback._live.is_started


@pytest.mark.filterwarnings("ignore::lepton_ai.data.ResumeWarning")
def test_a_bar_without_a_known_end(capsys: pytest.CaptureFixture[str]) -> None:
    compiled(mlp()).fit(lambda: iter([(X, Y)]), epochs=2, verbose=1)
    assert "epoch 2/2" in capsys.readouterr().out


def test_auto_is_a_bar_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert [type(each) for each in progress("auto")] == [ProgressLines]
    monkeypatch.setattr(sys, "stdout", Terminal())
    assert [type(each) for each in progress("auto")] == [ProgressBar]


@pytest.mark.parametrize("verbose", [3, "loud", None, -1])
def test_other_values_are_refused(verbose: Any) -> None:
    with pytest.raises(ConfigError, match='verbose: .*expected 0, 1, 2 or "auto"'):
        progress(verbose)
