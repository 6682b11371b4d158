"""What the benchmark of serving computes from its rounds, and that each server is asked in its own words."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.__main__ import BENCHMARKS
from benchmarks.serving import command
from benchmarks.serving.measures import PICTURE, picture, picture_request, row_request
from benchmarks.serving.models import write_models
from benchmarks.serving.page import page
from benchmarks.serving.servers import PEERS
from benchmarks.training.environments import BENCHMARKS as FOLDER
from lepton_ai.bundle import Bundle, parse_request


def a_round(**rates: float) -> dict[str, Any]:
    def turn(rate: float) -> dict[str, Any]:
        latency = {"p50": 1 / rate, "p99": 2 / rate, "p99.9": None}
        return {"requests_per_second": rate, "waits": {"latency": latency, "lag": 0.0001}}

    pictures = {"bare_per_second": 100.0, "bare_p50": 0.01, "lepton_per_second": 95.0}
    pictures |= {"lepton_p50": 0.0106, "empty_p50": 0.0004}
    return {"stolen": 0.0, "peers": {name: turn(rate) for name, rate in rates.items()}, "pictures": pictures}


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
    report["pictures"] = command.picture_summary(rounds)
    assert report["pictures"]["of_bare"]["value"] == pytest.approx(0.95)
    assert report["pictures"]["added"]["value"] == pytest.approx(0.0002)
    report["targets"] = command.targets(report)
    assert [row["met"] for row in report["targets"]] == [True, False, True, True, True]
    assert [row["met"] for row in command.targets({"summary": {}})] == [None] * 5
    command.tell(report)
    said = capsys.readouterr().out
    assert "lepton" in said and "missed" in said and "late" not in said
    rounds[0]["peers"]["lepton"]["waits"]["lag"] = 0.02
    command.tell(report)
    assert "lepton: the generator was late by up to 20.0 ms" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["--peers", "lepton,triton"],
            "no 'triton'; there are lepton, empty, fastapi, litserve, bentoml, mlserver, ray-serve",
        ),
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
    ours = parse_request(row_request("protocol").body).inputs["x"]
    theirs = np.array(json.loads(row_request("plain").body)["x"], "float32")
    assert ours.shape == (1, 30) and np.array_equal(ours, theirs)


def test_a_picture_travels_as_it_is() -> None:
    request = picture_request()
    length = int(request.headers["Inference-Header-Content-Length"])
    x = parse_request(request.body, length).inputs["x"]
    assert x.shape == (1, *PICTURE) and x.tobytes() == picture()


def test_all_load_the_same_model(tmp_path: Path) -> None:
    write_models(tmp_path)
    for name in ("mlp", "image"):
        bundle = Bundle.open(tmp_path / f"{name}.lepton")
        graph = bundle.file(bundle.manifest.graphs["fp32"].file)
        assert graph.read_bytes() == (tmp_path / f"{name}.onnx").read_bytes()


def test_the_page_keeps_the_words_around_its_tables() -> None:
    rounds = [a_round(lepton=80, empty=100)] * 2
    report: dict[str, Any] = {"summary": command.summary(rounds), "rounds": rounds, "left_out": {"triton": "no pip"}}
    report |= {"pictures": command.picture_summary(rounds), "machine": "two cores", "versions": {"uvicorn": "1"}}
    report["sweeps"] = {"litserve": [{"setting": ("1", "0"), "requests_per_second": 7.0, "taken": True}]}
    report |= {"targets": command.targets(report), "workload": "rows"}
    first = page(report, "")
    assert "| lepton | 80 (80–80) |  | 12.50 | 25.00 |  |" in first and "**Left out:** triton: no pip" in first
    assert "| litserve | 1 0 | 7 | taken |" in first
    report["left_out"] = {}
    again = page(report, first + "\nWhy that is so.\n")
    assert "triton" not in again and again.endswith("Why that is so.\n") and again.startswith("# Beside")
