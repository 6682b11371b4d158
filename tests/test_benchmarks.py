"""What the benchmark of training computes from its rounds, and that its models are the same in Lepton and in torch."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.__main__ import BENCHMARKS
from benchmarks.training import command, floor, lepton_models, tables, torch_models
from benchmarks.training.intervals import Ticks, counts, geometric_mean, median, ticks
from benchmarks.training.processes import PeerError
from benchmarks.training.rounds import _rounds, same_size
from benchmarks.training.summary import best_rival, means, ratios, summarize, targets
from benchmarks.training.workloads import ARRAYS, SIDE, WORKLOADS, fingerprint, read, write

VALUES = st.lists(st.floats(0.1, 10), min_size=1, max_size=15)


class Still:
    """A peer of a speed, for which no process runs."""

    def __init__(self, name: str, seconds: float) -> None:
        self.name, self.seconds, self.steps, self.awake = name, seconds, 10, 0.0

    def train(self, lead: int, steps: int) -> float:
        return self.seconds * steps

    def used(self) -> float:
        return self.awake

    def settle(self) -> float:
        return 0.0


class Hasty(Still):
    """One that says that it is done while it still works, as asynchronous frameworks do unless they are waited for."""

    def settle(self) -> float:
        return 0.5


class Restless(Still):
    """One that goes on working when it should wait."""

    def used(self) -> float:
        self.awake += 1.0
        return self.awake


class Mortal(Still):
    """One that ends in its second round."""

    turns = 0

    def train(self, lead: int, steps: int) -> float:
        self.turns += 1
        if self.turns == 2:
            raise PeerError(self.name, "out of memory")
        return super().train(lead, steps)

    def close(self) -> None: ...


def a_workload(**speeds: list[float]) -> dict[str, Any]:
    names = {name.replace("_", "-"): each for name, each in speeds.items()}
    rounds = [
        {"samples_per_second": dict(zip(names, each, strict=True)), "stolen": 0.0, "others": 0.0, "awake": 0.0}
        for each in zip(*names.values(), strict=True)
    ]
    made: dict[str, Any] = {
        "title": "CNN",
        "batch": 32,
        "rounds": rounds,
        "repeated": [],
        "failed": {},
        "versions": {"torch": {"torch": "2.13.0"}},
        "peak_bytes": dict.fromkeys(names, 2**30),
    }
    return made | {"summary": summarize(made)}


def a_report(workloads: Mapping[str, Any], first_batch: Mapping[str, Any]) -> dict[str, Any]:
    report = {
        "machine": "a machine",
        "rounds": 3,
        "seconds": 2.0,
        "peers": list(next(iter(workloads.values()))["summary"]["samples_per_second"]),
        "left_out": {},
        "rates": {"operations_per_second": 1e11, "bytes_per_second": 1e10},
        "workloads": workloads,
        "first_batch": first_batch,
        "geometric_means": means(dict(workloads)),
    }
    return report | {"targets": targets(report)}


def met(report: dict[str, Any]) -> list[bool | None]:
    return [each["met"] for each in report["targets"]]


@settings(max_examples=30, deadline=None)
@given(VALUES)
def test_a_median_lies_in_its_interval_within_the_values(values: list[float]) -> None:
    found = median(values)
    assert min(values) <= found.low <= found.value <= found.high <= max(values)


def test_an_interval_narrows_with_more_rounds_of_the_same_spread() -> None:
    random = np.random.default_rng(0)
    few, many = median(list(random.normal(1, 0.1, 7))), median(list(random.normal(1, 0.1, 700)))
    assert many.high - many.low < (few.high - few.low) / 3
    assert many.low < 1 < many.high


def test_a_geometric_mean_weighs_factors_not_differences() -> None:
    assert geometric_mean([[2.0], [0.5]]).value == pytest.approx(1)
    found = geometric_mean([[1.0, 1.1, 1.2], [3.9, 4.0, 4.2]])
    assert found.value == pytest.approx(math.sqrt(1.1 * 4.0))
    assert found.low < found.value < found.high


def test_ticks_are_read_and_shares_are_of_all_time(tmp_path: Path) -> None:
    (tmp_path / "stat").write_text("cpu  100 10 20 800 30 5 5 40 7 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n")
    assert ticks(tmp_path / "stat") == Ticks(stolen=40, busy=140, total=1010)
    assert ticks(tmp_path / "none") == Ticks(0, 0, 0)
    before, after = Ticks(0, 0, 0), Ticks(stolen=6, busy=50, total=100)
    assert after.share_since(before) == 0.06
    assert not counts(after.share_since(before))
    assert counts(Ticks(5, 50, 100).share_since(before))
    assert after.others_since(before, ours=40) == 0.1
    assert after.others_since(before, ours=60) == 0.0  # ticks are coarse: a process may seem to use more than there was
    assert before.share_since(before) == before.others_since(before, 1) == 0.0


def test_rounds_with_stolen_time_are_repeated_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    times = [Ticks(0, 0, 0)]

    def host(stolen: list[int]) -> None:
        shares = iter(stolen)
        calls = iter(range(1_000))

        def now() -> Ticks:
            if next(calls) % 2:  # the end of a round
                last = times[-1]
                times.append(Ticks(last.stolen + next(shares), 0, last.total + 100))
            return times[-1]

        monkeypatch.setattr("benchmarks.training.rounds.ticks", now)

    peers: Any = [Still("lepton", 0.001), Still("torch", 0.002)]
    host([0, 9, 5, 6, 1])
    kept, repeated = _rounds("a", peers, 3, {})
    assert [each["stolen"] for each in kept] == [0.0, 0.05, 0.01]
    assert repeated == [f"{share}% of the processor were stolen by the host" for share in (9, 6)]
    assert kept[0]["samples_per_second"] == pytest.approx({"lepton": 32_000, "torch": 16_000})
    host([50] * 20)
    kept, repeated = _rounds("a", peers, 3, {})
    assert (kept, len(repeated)) == ([], 6)


def test_a_round_in_which_a_peer_works_while_it_should_wait_does_not_count() -> None:
    peers: Any = [Still("torch", 0.001), Restless("keras-jax", 0.001)]
    kept, repeated = _rounds("a", peers, 1, {})
    assert kept == []
    assert all("keras-jax used 1.00 s while torch was measured" in why for why in repeated)


def test_work_after_a_round_is_a_fault_except_where_loaders_fetch_ahead() -> None:
    peers: Any = [Hasty("keras-jax", 0.001)]
    kept, repeated = _rounds("a", peers, 1, {})
    assert (kept, repeated) == ([], ["keras-jax used 0.50 s after it said that it was done"] * 2)
    kept, repeated = _rounds("g", peers, 1, {})
    assert kept[0]["late"] > 0
    assert repeated == []


def test_a_peer_that_ends_is_taken_out_of_all_rounds() -> None:
    peers: Any = [Still("lepton", 0.001), Mortal("lightning", 0.001)]
    failed: dict[str, str] = {}
    kept, repeated = _rounds("a", peers, 3, failed)
    assert [list(each["samples_per_second"]) for each in kept] == [["lepton"]] * 3
    assert failed == {"lightning": "lightning ended: out of memory"}
    assert repeated == []
    assert [peer.name for peer in peers] == ["lepton"]


def test_peers_must_train_the_same_number_of_weights() -> None:
    same_size("a", {"lepton": 7, "torch": 7})
    same_size("a", {})
    with pytest.raises(ValueError, match="different numbers of weights: {'lepton': 7, 'torch': 8}"):
        same_size("a", {"lepton": 7, "torch": 8})


def test_ratios_are_taken_round_by_round_and_the_best_rival_is_the_fastest() -> None:
    workload = a_workload(lepton=[2.0, 4.0, 3.0], torch=[1.0, 2.0, 1.0], keras_jax=[1.5, 1.5, 1.5], lightning=[1.0] * 3)
    assert ratios(workload, "torch") == [2.0, 2.0, 3.0]
    assert ratios(workload, "keras-torch") == []
    assert best_rival(workload) == "keras-jax"
    assert workload["summary"]["times_as_fast_as"]["torch"]["value"] == 2.0
    found = means({"a": workload, "g": a_workload(lepton=[1.0], torch=[9.0])})
    assert found["plain loop"]["value"] == 2.0  # (g) is not among them


def test_targets_are_computed() -> None:
    fast = a_workload(
        lepton=[3.0, 3.0, 3.0],
        lepton_auto=[5.0, 5.0, 5.0],
        torch=[1.5, 1.5, 1.5],
        keras_jax=[2.0, 2.0, 2.0],
        torch_bfloat16=[3.5, 3.5, 3.5],
        keras_jax_bfloat16=[4.0, 4.0, 4.0],
    )
    starts = {"a": {"lepton": [2.0], "torch": [1.9], "keras-jax": [3.0]}}
    everything = a_report(dict.fromkeys(ARRAYS, fast), starts)
    assert met(everything) == [True] * 10
    assert everything["geometric_means"]["best rival in any precision"]["value"] == pytest.approx(1.25)
    assert everything["geometric_means"]["best rival"]["value"] == pytest.approx(1.5)
    slow = a_workload(
        lepton=[1.0, 1.1, 0.9], lepton_auto=[1.0, 1.1, 0.9], torch=[1.2, 1.2, 1.2], keras_jax=[2.0, 2.0, 2.0]
    )
    slow["peak_bytes"]["lepton"] *= 2
    late = {"a": {"lepton": [4.0], "torch": [1.9], "keras-jax": [3.0]}}
    assert met(a_report(dict.fromkeys(ARRAYS, slow), late)) == [False] * 10
    part = a_report({"a": fast}, {})
    assert met(part) == [None] * 9 + [True]
    none = a_workload() | {"peak_bytes": {}}
    assert met(a_report(dict.fromkeys(ARRAYS, fast) | {"b": none}, {})) == [None] * 9 + [True]
    assert not any(math.isnan(each["figure"]) for each in everything["targets"])


def test_the_page_keeps_what_stands_around_the_markers() -> None:
    report = a_report({"a": a_workload(lepton=[3.0, 3.0], torch=[1.5, 1.5])}, {"a": {"lepton": [2.0], "torch": [1.0]}})
    report["left_out"] = {"keras-jax": "no such version"}
    first = tables.page(report, "")
    assert "| (a) CNN, batch 32 | 3 (3–3) | 1.5 (1.5–1.5) |" in first
    assert "keras-jax has no environment: no such version" in first
    assert "only 2 rounds count, of 3 asked for" in first
    kept = first.replace("# Benchmarks", "# Ours").rstrip() + "\n\nBehind.\n"
    again = tables.page(report, kept)
    assert again == kept


def test_the_plot_is_a_picture(tmp_path: Path) -> None:
    report = a_report({"a": a_workload(lepton=[3.0, 3.0], torch=[1.5, 1.4])}, {})
    tables.plot(report, tmp_path / "images" / "training.png")
    assert (tmp_path / "images" / "training.png").read_bytes().startswith(b"\x89PNG")


def test_all_is_kept_in_a_folder(tmp_path: Path) -> None:
    report = a_report({"a": a_workload(lepton=[3.0, 3.0], torch=[1.5, 1.4])}, {})
    command.keep(report, tmp_path / "new")
    assert json.loads((tmp_path / "new" / "training.json").read_text()) == report
    text = (tmp_path / "new" / "benchmarks.md").read_text()
    assert text == tables.page(report, "") and "(images/training.png)" in text
    assert (tmp_path / "new" / "images" / "training.png").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--only", "a,z"], "no 'z'; there are a, b, c, d, e, f, g"),
        (["--peers", "keras"], "no 'keras'; there are lepton, lepton-auto, keras-jax"),
        (["--rounds", "0", "--out", "x"], "--rounds is 1 or more"),
        (["--only", "a"], "would overwrite the results of the whole"),
        (["--rounds", "3"], "would overwrite the results of the whole"),
    ],
)
def test_wrong_options_are_refused(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.options(arguments)
    assert said in capsys.readouterr().err


def test_the_benchmark_is_listed() -> None:
    assert "training" in BENCHMARKS
    assert command.options([]).only == tuple(WORKLOADS)


@pytest.mark.parametrize("name", ["c", "d"])
def test_data_is_the_same_each_time_and_fits(name: str, tmp_path: Path) -> None:
    for folder in ("one", "two"):
        write(name, tmp_path / folder)
    assert fingerprint(tmp_path / "one") == fingerprint(tmp_path / "two")
    x, y = read(tmp_path / "one")
    workload = WORKLOADS[name]
    assert x.shape == (workload.rows, *workload.shape)
    assert len(y) == workload.rows
    assert workload.rows % workload.batch == 0  # the last batch is as large as the others


@pytest.mark.parametrize("name", list(WORKLOADS))
def test_lepton_and_torch_train_the_same_architecture(name: str) -> None:
    by_hand, ours, workload = torch_models.build(name), lepton_models.build(name), WORKLOADS[name]
    x, y = floor.example(name)
    x, y = x[:2], y[:2]
    shape = (2, SIDE, SIDE, 3) if name == "g" else (2, *workload.shape)
    rows = torch.zeros(shape, dtype=torch.int64) if workload.tokens else torch.rand(shape)
    theirs, outputs = by_hand(x), ours(rows, training=False)
    assert outputs.shape == theirs.shape == (2, workload.classes)
    assert lepton_models.trained(ours) == torch_models.trained(by_hand)
    assert torch_models.loss(name, theirs, y).isfinite()


def test_equal_weights_give_equal_outputs() -> None:
    by_hand, ours = torch_models.build("c"), lepton_models.build("c")
    x = torch.rand(4, 30)
    ours(x, training=False)
    with torch.no_grad():
        for own, weight in zip(ours.parameters(), by_hand.parameters(), strict=True):
            own.copy_(weight)
    torch.testing.assert_close(ours(x, training=False), by_hand(x))


def test_the_floor_counts_products_forwards_and_backwards() -> None:
    layers = 30 * 256 + 256 * 256 * 2 + 256 * 2
    found = floor.needs("c")
    # Three products for each layer; the first has no gradient of its input to compute.
    assert found["operations_per_sample"] == 2 * (3 * layers - 30 * 256)
    distance = floor.distance(1_000.0, {"operations_per_second": 1e9, "bytes_per_second": 1e9}, found)
    assert distance["bound"] == "operations"
    assert distance["distance"] == pytest.approx(1e-3 / (found["operations_per_sample"] / 1e9))
    assert floor.needs("d")["operations_per_sample"] > 3 * 2 * 80 * (64 * 256 + 64 * 256)
