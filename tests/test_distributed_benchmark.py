"""What the benchmark of several workers computes from its turns, and its meter."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest

from benchmarks.distributed import command, meter, peers
from benchmarks.distributed.page import page, targets
from benchmarks.distributed.peers import FAMILY, Taken, taken
from benchmarks.distributed.ways import Ways
from benchmarks.training.environments import BENCHMARKS
from benchmarks.training.workloads import WORKLOADS, write
from lepton_ai.distributed import shared_memory


class Fixed:
    """Ways that take known times."""

    def __init__(self, name: str, folder: Path, steps: int) -> None:
        pass

    def all(self, *, peers: bool) -> dict[str, Any]:
        found = {"one": Taken(2.0, 0), "threads": Taken(1.2, 0), "two": Taken(1.0, 0), "sockets": Taken(0.98, 220.0)}
        if peers:
            found |= {"local": Taken(0.96, 0), "ceiling": Taken(0.95, 0)}
        return {way: lambda each=each: each for way, each in found.items()}

    def exchange(self) -> float:
        return 0.06 if isinstance(shared_memory._shared, mock.Mock) else 0.01

    def gradient_bytes(self) -> int:
        return 100


def test_the_meter_counts_steps_after_the_first_two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, sent = iter([10.0, 16.0]), iter([1000, 4000])
    monkeypatch.setattr(meter, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    monkeypatch.setattr(meter, "loopback_bytes", lambda: next(sent))
    found = meter.Meter(tmp_path / "found", 5)
    for _ in range(4):
        found()
    assert not (tmp_path / "found").exists()
    found()
    assert taken(tmp_path / "found") == Taken(2.0, 1000.0)


def test_bytes_of_the_loopback_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "Inter-| Receive\n face |bytes\n    lo: 11 1 0 0 0 0 0 0 77 1 0 0 0 0 0 0\n  eth0: 5 0 0 0 0 0 0 0 6 0\n"
    (tmp_path / "dev").write_text(text)
    monkeypatch.setattr(meter, "DEVICES", tmp_path / "dev")
    assert meter.loopback_bytes() == 77


def test_turns_become_ratios_and_a_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "Ways", Fixed)
    monkeypatch.setattr(peers, "train", lambda peer, *_: Taken(1.1, 200.0))
    failed: dict[str, str] = {}
    found = command.measure("b", tmp_path, 3, {"accelerate": Path("python")}, failed)
    assert found["times_as_fast_as"]["one"]["median"] == 2.0
    assert found["hidden"]["median"] == pytest.approx(0.5) and not failed
    report: dict[str, Any] = {"machine": "two cores", "versions": {"torch": "2"}, "turns": 3, "failed": failed}
    report |= {
        "starting": command.spread([0.5]),
        "workloads": {"b": found, "c": command.measure("c", tmp_path, 3, {}, {})},
    }
    assert [row[-1] for row in targets(report)] == ["met", "met", "met", "met", "met"]
    text = page(report, "")
    assert "| (b) two, of the ceiling | at least 0.92 | 0.95 | met |" in text
    assert "| (b) CNN, 128x128x1, batch 32 | 0.0001 | 10 | 0.00011 | 1.10 | 60 | 50% (50%–50%) |" in text
    assert page(report, text) == text


def test_a_peer_that_fails_is_named_and_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(peer: str, *_: Any) -> Taken:
        raise peers.PeerError(f"{peer} ended with 1")

    monkeypatch.setattr(command, "Ways", Fixed)
    monkeypatch.setattr(peers, "train", fails)
    failed: dict[str, str] = {}
    found = command.measure("b", tmp_path, 2, {"accelerate": Path("python")}, failed)
    assert failed == {"accelerate on (b)": "accelerate ended with 1"} and "accelerate" not in found["seconds"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--peers", "horovod"], "no 'horovod'; there are torch-ddp"),
        (["--turns", "0", "--out", "x"], "--turns is 1 or more"),
        (["--only", "b"], "would overwrite the results of the whole"),
    ],
)
def test_wrong_options_are_refused(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.options(arguments)
    assert said in capsys.readouterr().err


def test_every_peer_is_pinned_and_has_a_program() -> None:
    for peer, family in FAMILY.items():
        assert "==" in (BENCHMARKS / "peers" / f"{family}.txt").read_text()
        assert (BENCHMARKS / "distributed" / f"{peer.replace('-', '_')}_peer.py").exists()


def test_two_workers_take_what_one_takes(tmp_path: Path) -> None:
    """The real ways, on the smallest workload."""
    write("c", tmp_path / "c")
    ways = Ways("c", tmp_path / "c", 5)
    calls = ways.all(peers=True)
    assert {"one", "threads", "two", "sockets", "local", "exact", "bfloat16", "ceiling"} == set(calls)
    sockets, ceiling, two = calls["sockets"](), calls["ceiling"](), calls["two"]()
    assert two.seconds > 0 and ceiling.seconds > 0 and ways.exchange() > 0
    assert sockets.bytes / 2 > ways.gradient_bytes() == 4 * (31 * 256 + 2 * 257 * 256 + 257 * 2) > two.bytes
    assert json.loads((tmp_path / "c-meter.json").read_text())["seconds"] == two.seconds
    assert WORKLOADS["c"].batch == 256
