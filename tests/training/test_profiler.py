"""The profiler traces what it was asked for, and changes nothing."""

import gzip
import json
import re
from pathlib import Path
from typing import Any

import pytest

from lepton_ai.core import ConfigError
from lepton_ai.training import Callback, Profile
from tests.contracts.fitting import compiled, mlp, same_state, table

X, Y = table()


def train(*callbacks: Callback, epochs: int = 2) -> Any:
    model = compiled(mlp())
    model.fit(X, Y, batch_size=10, epochs=epochs, verbose=0, callbacks=list(callbacks))
    return model


def test_a_trace_of_some_steps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    profile = Profile(tmp_path / "sub" / "trace.json", steps=(4, 7))
    assert same_state(train(profile), train())
    events = json.loads((tmp_path / "sub" / "trace.json").read_bytes())["traceEvents"]
    assert sum(event.get("name", "").startswith("Optimizer.step") for event in events) == 3
    assert any(event.get("name") == "aten::addmm" for event in events)
    assert [path.name for path in (tmp_path / "sub").iterdir()] == ["trace.json"]
    first, head, *rows = capsys.readouterr().out.splitlines()
    assert first == f"profile of 3 steps: {tmp_path}/sub/trace.json"
    assert head.split() == ["operator", "calls/step", "ms/step", "share"] and 5 < len(rows) <= 10
    assert all(re.fullmatch(r"\S.* +\d+\.\d +\d+\.\d{3} +\d+\.\d%", row) for row in rows)
    spent = [float(row.split()[-2]) for row in rows]
    assert spent == sorted(spent, reverse=True) and profile.table == "\n".join([head, *rows])


def test_training_that_ends_sooner_leaves_what_there_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train(Profile(tmp_path / "trace.json.gz", steps=(8, 100)))
    assert json.loads(gzip.decompress((tmp_path / "trace.json.gz").read_bytes()))["traceEvents"]
    assert "profile of 2 steps" in capsys.readouterr().out


def test_training_that_never_gets_there(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    train(Profile(tmp_path / "trace.json", steps=(50, 60)))
    assert caplog.messages == ["no profile: it begins with step 50, training had 10"]
    assert not list(tmp_path.iterdir())


def test_a_trace_that_cannot_be_written_ends_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").touch()
    train(Profile(tmp_path / "file" / "trace.json", steps=(0, 2)))
    (told,) = caplog.messages
    assert told.startswith("training goes on without the profile: ") and "file/trace.json" in told


@pytest.mark.parametrize("steps", [(5, 5), (-1, 2), (3,), (1, 2, 3), (0.0, 2), (False, True)])
def test_steps_are_a_range(steps: Any) -> None:
    told = r"Profile\.steps: .*expected the first step and the one after the last, as \(10, 15\)"
    with pytest.raises(ConfigError, match=told):
        Profile("trace.json", steps)
