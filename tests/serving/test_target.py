"""Settings found for a latency: the decision with made-up times, and one real search that is short."""

from pathlib import Path
from typing import Any

import pytest

from lepton_ai.core import ConfigError
from lepton_ai.serving import ServerConfig
from lepton_ai.serving import target as module
from lepton_ai.serving.target import (
    Measure,
    Point,
    Settings,
    Target,
    apply,
    candidates,
    parse_target,
    rows_of,
    search,
    show,
    tune,
)  # fmt: skip
from tests.contracts import graphs
from tests.contracts.bundles import write_bundle
from tests.contracts.slow import SlowRuntime

TARGET = Target(percent=99, seconds=0.010)


class Arithmetic(Measure):
    """A machine of two cores on which a batch takes 1 ms and 0.1 ms for each row, halved by a second thread; a queue
    grows as the load nears what can be done.
    """

    def __init__(self) -> None:
        self.loaded: list[Settings] = []

    def batch_seconds(self, settings: Settings, *, repeats: int = 5) -> float:
        return (0.001 + 0.0001 * settings.max_batch) / settings.threads

    def load(self, settings: Settings, rate: float) -> Point:
        if settings not in self.loaded:
            self.loaded.append(settings)
        seconds = self.batch_seconds(settings)
        busy = rate * seconds / settings.max_batch / settings.instances
        latency = seconds * (1 + busy) / max(1e-9, 1 - busy)
        return Point(rate=rate, p50=seconds, p99=latency, reached=latency)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("p99=5ms", (99, 0.005)), (" P50=1.5s ", (50, 1.5)), ("p95=250us", (95, 0.00025))],
)
def test_targets_as_people_write_them(text: str, expected: tuple[int, float]) -> None:
    found = parse_target(text)
    assert (found.percent, found.seconds) == pytest.approx(expected)


@pytest.mark.parametrize("text", ["", "5ms", "p99", "p99=5", "p99=0ms", "p100=5ms", "p99=-1ms", "p99=5ms;x"])
def test_targets_that_are_none(text: str) -> None:
    with pytest.raises(ConfigError, match="such as p99=5ms"):
        parse_target(text)


def test_no_more_threads_than_cores() -> None:
    assert {(each.instances, each.threads) for each in candidates(2)} == {(1, 1), (1, 2), (2, 1)}
    assert len(candidates(1)) == len(module.BATCHES)


def test_the_highest_rate_that_keeps_the_target_wins() -> None:
    measure = Arithmetic()
    found = search(candidates(2), TARGET, measure)
    assert found.settings == Settings(max_batch=16, instances=1, threads=2)
    kept = [point for point in found.curve if point.reached <= 0.8 * TARGET.seconds]
    assert found.rate == kept[-1].rate and [point.rate for point in found.curve] == sorted(
        point.rate for point in found.curve
    )
    assert all(2 * measure.batch_seconds(each) <= 0.008 for each in measure.loaded), "hopeless ones are not tried"


def test_a_target_that_nothing_keeps() -> None:
    with pytest.raises(ConfigError, match=r"nothing keeps p99 within 0.5 ms here. The model alone takes 0.55 ms"):
        search(candidates(2), Target(percent=99, seconds=0.0005), Arithmetic())


def test_a_real_search_is_kept_for_the_next_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr(module, "_SECONDS", 0.02)
    monkeypatch.setattr(module, "BATCHES", (1, 8))
    path = write_bundle(tmp_path / "rows", name="rows", sign=graphs.ROWS, graphs={"fp32": graphs.rows_graph()})
    found = tune(path, Target(percent=99, seconds=5.0))
    assert found.settings.max_batch in (1, 8) and found.rate > 0 and found.curve

    def fail(*arguments: Any) -> None:
        raise AssertionError("it was measured again")

    monkeypatch.setattr(module, "search", fail)
    assert tune(path, Target(percent=99, seconds=5.0)) == found
    with pytest.raises(AssertionError, match="measured again"):
        tune(path, Target(percent=99, seconds=4.0))
    config = apply(found, ServerConfig(max_body=7))
    assert (config.max_batch, config.max_body) == (found.settings.max_batch, 7)
    assert show(found, TARGET).startswith("lepton: p99 within 10 ms up to ")


def test_a_rate_that_cannot_be_kept_is_given_up() -> None:
    runtime = SlowRuntime()
    runtime.go.set()
    settings = Settings(max_batch=1, instances=1, threads=1)
    point = Measure(lambda _: runtime, graphs.ROWS, TARGET).load(settings, 1e6)
    assert point.reached == float("inf") and point.rate == 1e6


def test_rows_for_any_signature() -> None:
    assert rows_of(graphs.TEXT, 3)["text"].tolist() == [[""]] * 3
    assert rows_of(graphs.FIXED, 3)["x"].shape == (1, 2)
