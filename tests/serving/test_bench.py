"""The bench keeps its schedule whatever the server does, and counts from when a request was due."""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lepton_ai.bundle import LENGTH_HEADER, Signature, TensorSpec, parse_request
from lepton_ai.core import ConfigError, NotFoundError, RequestError, UnavailableError
from lepton_ai.serving import BenchConfig, BenchRun, Server, ServerConfig, bench
from lepton_ai.serving.bench_drive import Driver, Record, arrivals
from lepton_ai.serving.bench_result import percentiles, summarize
from lepton_ai.serving.bench_target import Body, model_target, raw_target
from tests.contracts import graphs
from tests.contracts.bundles import write_bundle
from tests.contracts.delays import Delays, delays


@pytest.fixture
def server() -> Iterator[Delays]:
    with delays() as made:
        yield made


def drive(server: Delays, due: Any, *, connections: int = 8, timeout: float = 20.0, body: bytes = b"{") -> Record:
    driver = Driver(server.target(body), connections=connections, timeout=timeout)
    try:
        return driver.scheduled(np.asarray(due, float))
    finally:
        driver.close()


# -- against a server of known delays --------------------------------------------------------------------------------


def test_what_is_measured_holds_what_the_server_saw(server: Delays) -> None:
    """The moments by the bench's clock and by the server's, which is the same, stand in their order."""
    server.delay = lambda number: 0.03 if number % 10 == 0 else 0.0
    record = drive(server, arrivals(200, 1, kind="uniform"))
    assert record.errors == {} and len(server.came) == 200
    for number in range(200):
        assert record.due[number] <= record.sent[number]
        assert record.started + record.sent[number] <= server.came[number]
        assert server.answered[number] <= record.started + record.done[number]
        assert record.done[number] - record.due[number] >= (0.03 if number % 10 == 0 else 0)
    found = summarize(record, rate=200, warmup=0, seconds=1)
    assert found.answered == found.requests == 200 and (found.latency["p99"] or 0) >= 0.03


def test_a_stall_is_felt_by_all_that_arrive_meanwhile(server: Delays) -> None:
    """One connection, and one request that takes half a second: a hundred users wait, not one."""
    server.delay = lambda number: 0.5 if number == 20 else 0.0
    record = drive(server, arrivals(200, 1, kind="uniform"), connections=1)
    begun = record.sent[20]
    waited = record.done - record.due
    for number in range(20, 200):
        assert waited[number] >= begun + 0.5 - record.due[number]  # true of any generator that omits nothing
    assert (waited >= 0.25).sum() >= 49
    assert record.held[30:100].all()
    served = record.done - record.sent
    assert np.quantile(served, 0.9) < np.quantile(waited, 0.9)  # what measuring from the sending would have told


def test_how_much_a_server_can_do(server: Delays) -> None:
    driver = Driver(server.target(), connections=4)
    record = driver.closed(0.3)
    driver.close()
    assert len(record.done) == len(server.answered) > 4 and not record.errors
    assert server.connections == 4
    found = summarize(record, rate=None, warmup=0, seconds=0.3)
    assert found.throughput > 0 and found.rate is None


def test_failures_are_counted_by_kind(server: Delays) -> None:
    server.status = lambda number: {1: 503, 2: 500, 3: -1}.get(number % 10, 200)
    server.number = lambda number: number + 1 if number % 10 == 4 else number
    record = drive(server, arrivals(500, 0.2, kind="uniform"))
    assert record.errors == {"503": 10, "500": 10, "connection": 10, "answer to another request": 10}
    assert np.isfinite(record.done).sum() == 60
    assert not np.isfinite(record.done[[1, 2, 3, 4]]).any()


def test_what_takes_too_long_has_failed(server: Delays) -> None:
    server.delay = lambda number: 30.0 if number == 3 else 0.0
    record = drive(server, arrivals(100, 0.2, kind="uniform"), connections=2, timeout=0.3)
    assert record.errors == {"timeout": 1} and np.isfinite(record.done).sum() == 19


def test_connections_that_the_server_closes_are_renewed(server: Delays) -> None:
    server.header = b"Connection: close\r\n"
    record = drive(server, arrivals(200, 0.1, kind="uniform"), connections=2)
    assert record.errors == {} and server.connections >= 20


def test_large_bodies_are_sent_in_parts(server: Delays) -> None:
    record = drive(server, arrivals(50, 0.1, kind="uniform"), connections=2, body=b" " * 3_000_000)
    assert record.errors == {} and len(server.came) == 5


def test_a_server_that_dies_ends_no_bench() -> None:
    with delays() as server:
        driver = Driver(server.target(), connections=2)
        driver.scheduled(np.zeros(2))
    record = driver.scheduled(arrivals(200, 0.1))
    driver.close()
    assert record.errors == {"connection": 20}


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    with pytest.raises(UnavailableError, match=f"cannot connect to 127.0.0.1:{port} .*Is the server running there?"):
        Driver(raw_target(f"http://127.0.0.1:{port}/", [Body(b"")]))


# -- the schedule ----------------------------------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(st.floats(1, 1000), st.floats(0.1, 5), st.sampled_from(["poisson", "uniform"]), st.integers(0, 9))
def test_as_many_arrive_as_the_rate_says(rate: float, seconds: float, kind: str, seed: int) -> None:
    due = arrivals(rate, seconds, kind=kind, seed=seed)
    assert len(due) == max(1, round(rate * seconds))
    assert (np.diff(due) >= 0).all() and due[0] >= 0 and due[-1] <= seconds + 1 / rate
    assert np.array_equal(due, arrivals(rate, seconds, kind=kind, seed=seed))


def test_random_arrivals_are_those_of_a_poisson_process() -> None:
    gaps = np.diff(arrivals(1000, 50))
    assert abs(gaps.std() / gaps.mean() - 1) < 0.05  # as exponential gaps have it


# -- what is found ---------------------------------------------------------------------------------------------------


def test_percentiles_of_a_known_record() -> None:
    due = np.arange(4000) / 1000
    done = due + np.where(np.arange(4000) % 100 == 0, 0.2, 0.001)
    done[1500] = np.nan
    record = Record(due=due, sent=due + 0.0001, done=done, held=np.zeros(4000, bool), errors={"500": 1})
    found = summarize(record, rate=1000, warmup=1, seconds=3)
    assert (found.requests, found.answered, found.failed) == (3000, 2999, 1)
    assert found.latency["p50"] == pytest.approx(0.001) and found.latency["p99.9"] == pytest.approx(0.2)
    assert found.latency["max"] == pytest.approx(0.2) and found.lag == pytest.approx(0.0001)
    assert found.honest and found.throughput == pytest.approx(1000, rel=0.01)
    assert [second for second, *_ in found.timeline] == [0, 1, 2]
    assert sum(came for _, came, _, _ in found.timeline) == pytest.approx(2999, abs=5)
    nines = [each for each, _ in found.spectrum]
    assert nines == sorted(nines) and nines[-1] <= np.log10(2999)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 10), min_size=1, max_size=3000))
def test_percentiles_lie_within_and_only_where_there_is_enough(values: list[float]) -> None:
    ordered = np.sort(values)
    found = percentiles(ordered)
    kept = [value for value in (found["p50"], found["p90"], found["p99"], found["p99.9"]) if value is not None]
    assert kept == sorted(kept) and all(ordered[0] <= value <= ordered[-1] for value in kept)
    assert (found["p99"] is None) == (len(values) < 100) and found["max"] == ordered[-1]
    if found["p99"] is not None:
        assert (ordered > found["p99"]).sum() <= len(values) / 100


def test_a_bench_that_was_late_itself_says_so() -> None:
    due = np.arange(100) / 100
    record = Record(due=due, sent=due + 0.02, done=due + 0.03, held=np.zeros(100, bool))
    assert not summarize(record, rate=100, warmup=0, seconds=1).honest


def test_a_run_without_answers() -> None:
    record = Record(due=np.zeros(2), sent=np.zeros(2), done=np.full(2, np.nan), held=np.zeros(2, bool))
    found = summarize(record, rate=2, warmup=0, seconds=1)
    assert found.answered == 0 and set(found.latency.values()) == {None} and found.throughput == 0


# -- what is asked ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("binary", [True, False])
def test_requests_are_valid_numbered_and_different(binary: bool) -> None:
    specs = [("a", "FP32", (-1, 3)), ("b", "BYTES", (-1,)), ("c", "UINT8", (-1, -1, 2)), ("d", "BOOL", (4,))]
    sign = Signature(inputs=tuple(TensorSpec(name=n, dtype=d, shape=s) for n, d, s in specs), outputs=())
    target = model_target("http://h:1/p/", "m", sign, rows=2, binary=binary, token="t" * 16)
    seen = set()
    for number in (0, 1, 17, 999):
        head, *parts = target.parts(number)
        assert head.startswith(b"POST /p/v2/models/m/infer HTTP/1.1\r\nHost: h:1\r\n")
        fields = dict(line.split(": ") for line in head.decode().split("\r\n")[1:-2])
        body = b"".join(parts)
        assert int(fields["Content-Length"]) == len(body) and fields["Authorization"] == f"Bearer {'t' * 16}"
        found = parse_request(body, int(fields[LENGTH_HEADER]) if binary else None)
        assert (
            found.id == f"{number:012}" and found.inputs["a"].shape == (2, 3) and found.inputs["c"].shape == (2, 1, 2)
        )
        seen.add(found.inputs["a"].tobytes())
    assert len(seen) == 4 - 1  # 1 and 17 are the same of the 16


@pytest.mark.parametrize(
    "options", [{"rates": (0.0,)}, {"seconds": 0}, {"connections": 0}, {"arrivals": "bursts"}, {"warmup": -1}]
)
def test_settings_that_cannot_be(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        bench("http://127.0.0.1:1", "m", BenchConfig(**options))


def test_a_model_is_benched(tmp_path: Path) -> None:
    variants = {"fp32": graphs.rows_graph()}
    path = write_bundle(tmp_path / "rows", name="rows", sign=graphs.ROWS, graphs=variants)
    heard: list[BenchRun] = []
    with Server.open(path, port=0, config=ServerConfig(threads=1)) as server:
        config = BenchConfig(seconds=0.3, warmup=0.1, connections=4)
        found = bench(server.url, "rows", config, tell=heard.append)
        assert found.capacity is not None and found.capacity.answered > 10 and len(found.runs) == 3
        assert heard == [found.capacity, *found.runs] and found.version == "1"
        named = bench(server.url, "rows", BenchConfig(rates=(50,), seconds=0.3, warmup=0, binary=False, rows=2))
        assert named.capacity is None and named.runs[0].answered == 15 and not named.runs[0].errors
        with pytest.raises(NotFoundError, match="unknown model 'row'. Did you mean 'rows'?"):
            bench(server.url, "row")


def test_a_model_of_bfloat16_is_benched_in_binary(tmp_path: Path) -> None:
    variants = {"bf16": graphs.brain_graph()}
    path = write_bundle(tmp_path / "brain", name="brain", sign=graphs.BRAIN, graphs=variants)
    with Server.open(path, port=0, config=ServerConfig(threads=1)) as server:
        found = bench(server.url, "brain", BenchConfig(rates=(50,), seconds=0.3, warmup=0, binary=True))
        assert found.runs[0].answered == 15 and not found.runs[0].errors
        with pytest.raises(RequestError, match="binary"):
            bench(server.url, "brain", BenchConfig(rates=(50,), seconds=0.3, warmup=0, binary=False))
