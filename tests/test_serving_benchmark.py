"""What the benchmark of serving computes from its rounds, and that each server is asked in its own words."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.__main__ import BENCHMARKS
from benchmarks.serving import command
from benchmarks.serving.measures import body, write_model
from benchmarks.serving.servers import PEERS
from benchmarks.training.environments import BENCHMARKS as FOLDER
from lepton_ai.bundle import Bundle, parse_request


def a_round(**rates: float) -> dict[str, Any]:
    def turn(rate: float) -> dict[str, Any]:
        latency = {"p50": 1 / rate, "p99": 2 / rate, "p99.9": None}
        return {"requests_per_second": rate, "waits": {"latency": latency, "lag": 0.0001}}

    return {"stolen": 0.0, "peers": {name: turn(rate) for name, rate in rates.items()}}


def test_ratios_are_taken_round_by_round() -> None:
    rounds = [a_round(lepton=10, empty=20), a_round(lepton=30, empty=20), a_round(lepton=12, empty=20)]
    found = command.summary(rounds)
    assert found["empty"]["times_as_fast"]["value"] == pytest.approx(0.6)
    assert found["lepton"]["requests_per_second"]["value"] == 12 and "times_as_fast" not in found["lepton"]
    assert found["lepton"]["p50"] == pytest.approx(1 / 12) and found["lepton"]["p99.9"] is None
    assert command.summary([]) == {}


def test_targets_are_computed(capsys: pytest.CaptureFixture[str]) -> None:
    rounds = [a_round(lepton=80, empty=100, fastapi=20, litserve=2)] * 2
    report: dict[str, Any] = {"summary": command.summary(rounds), "rounds": rounds}
    report["targets"] = command.targets(report)
    assert [row["met"] for row in report["targets"]] == [True, False, True]
    assert [row["met"] for row in command.targets({"summary": {}})] == [None] * 3
    command.tell(report)
    said = capsys.readouterr().out
    assert "lepton" in said and "missed" in said and "late" not in said
    rounds[0]["peers"]["lepton"]["waits"]["lag"] = 0.02
    command.tell(report)
    assert "lepton: the generator was late by up to 20.0 ms" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--peers", "lepton,triton"], "no 'triton'; there are lepton, empty, fastapi, litserve"),
        (["--rounds", "0", "--out", "x"], "--rounds is 1 or more"),
        (["--rounds", "2"], "would overwrite the results of the whole"),
    ],
)
def test_wrong_options_are_refused(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.options(arguments)
    assert said in capsys.readouterr().err


def test_every_peer_is_listed_and_pinned() -> None:
    assert "serving" in BENCHMARKS
    for peer in PEERS.values():
        assert not peer.family or "==" in (FOLDER / "peers" / f"{peer.family}.txt").read_text()


def test_all_are_asked_the_same_row() -> None:
    ours = parse_request(body("protocol")).inputs["x"]
    theirs = np.array(json.loads(body("plain"))["x"], "float32")
    assert ours.shape == (1, 30) and np.array_equal(ours, theirs)


def test_all_load_the_same_model(tmp_path: Path) -> None:
    write_model(tmp_path)
    bundle = Bundle.open(tmp_path / "mlp.lepton")
    graph = bundle.file(bundle.manifest.graphs["fp32"].file)
    assert graph.read_bytes() == (tmp_path / "mlp.onnx").read_bytes()
