"""What people see while they wait."""

import io
import re
import sys
import time
from typing import Any

import pytest
from torch.utils.data import Dataset

from lepton_ai.core import ConfigError, UnknownNameError
from lepton_ai.training import Curves, LambdaCallback, progress
from lepton_ai.training.progress import ProgressBar, ProgressLines, waiting
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
    assert [type(each) for each in progress("curves")] == [Curves]


@pytest.mark.parametrize("verbose", [3, "loud", None, -1])
def test_other_values_are_refused(verbose: Any) -> None:
    with pytest.raises(ConfigError, match='verbose: .*expected 0, 1, 2, "auto" or "curves"'):
        progress(verbose)


def test_curves_are_drawn_in_place_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    for name, value in {"TERM": "xterm", "COLUMNS": "80", "LINES": "24"}.items():
        monkeypatch.setenv(name, value)
    history = compiled(mlp()).fit(X, Y, epochs=6, verbose="curves", validation_data=(X, Y))
    text = re.sub(r"\x1b\[[\d;]*m", "", screen.getvalue())
    *_, last = re.split(r"(?:\x1b\[1A\x1b\[2K)+", text)  # what was drawn before is wiped
    lines = last.splitlines()
    assert len(lines) <= 24 and max(map(len, lines)) <= 80
    top, bottom = f"{history['loss'][0]:.4g} ┤", f"{history['val_loss'][-1]:.4g} ┤"
    assert lines[0].startswith(top) and lines[15].startswith(bottom)
    assert lines[16].split() == ["━", "loss", "━", "val_loss"]
    assert re.match(r"epoch 6/6  \d+\.\ds  loss ", lines[17])
    assert re.search("[\u2801-\u28ff]", lines[0]) and re.search("[\u2801-\u28ff]", lines[15])


def test_curves_are_lines_elsewhere(capsys: pytest.CaptureFixture[str]) -> None:
    compiled(mlp()).fit(X, Y, epochs=2, verbose="curves")
    compiled(mlp()).fit(X, Y, epochs=2, verbose=0, callbacks=[Curves("accuracy")])
    out = capsys.readouterr().out
    assert len(re.findall(r"^epoch \d/2  \d+\.\ds  loss ", out, re.MULTILINE)) == 4 and "┤" not in out


def test_curves_of_a_metric_that_is_not_measured() -> None:
    told = r"Curves\(metric=...\): unknown metric 'acuracy'. Did you mean 'accuracy'\?"
    with pytest.raises(UnknownNameError, match=told):
        compiled(mlp()).fit(X, Y, verbose=0, callbacks=[Curves("acuracy")])


class Slow(Dataset[Any]):
    """Rows that take their time."""

    def __len__(self) -> int:
        return len(Y)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        time.sleep(0.005)
        return X[index], Y[index]


def test_time_spent_waiting_for_data_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    history = compiled(mlp()).fit(Slow(), batch_size=10, epochs=2, verbose=2)
    lines = capsys.readouterr().out.splitlines()
    for line, waited, seconds in zip(lines, history.waited, history.seconds, strict=True):
        assert 0.25 < waited < seconds
        assert line.endswith(f"  data {100 * waited / seconds:.0f} %")


def test_a_little_waiting_is_not_told() -> None:
    assert waiting(0.4, 10.0) == waiting(0.09, 0.1) == waiting(0.0, 0.0) == ""
    assert waiting(0.6, 10.0) == "  data 6 %"
