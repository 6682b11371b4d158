"""`lepton bench` against a server in this process."""

import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from lepton_ai.cli.bench import bench_report, rows, warnings
from lepton_ai.evaluation import report_html
from lepton_ai.serving import Bench, BenchConfig, Server, ServerConfig
from tests.contracts import graphs
from tests.contracts.bundles import write_bundle
from tests.contracts.command import Terminal

RUN = {
    "rate": 100.0,
    "seconds": 2.0,
    "requests": 200,
    "answered": 198,
    "throughput": 99.0,
    "latency": {"p50": 0.001, "p90": 0.002, "p99": 0.004, "p99.9": None, "mean": 0.001, "max": 0.01},
    "spectrum": [(0.0, 0.0005), (1.0, 0.002), (2.0, 0.004)],
    "timeline": [(0.0, 99, 0.001, 0.004), (1.0, 99, None, None), (2.0, 3, 0.002, 0.003)],
    "errors": {"503": 2},
    "lag": 0.0001,
    "held": 0.0,
}


def a_bench(**changed: object) -> Bench:
    content = {
        "url": "http://h:1",
        "model": "rows",
        "version": "1",
        "server": "lepton 0",
        "machine": "a machine",
        "created": "2026-11-24T00:00:00+00:00",
        "config": msgspec.to_builtins(BenchConfig()),
        "capacity": None,
        "runs": [RUN | changed, RUN],
    }
    return msgspec.convert(content, Bench)


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    variants = {"fp32": graphs.rows_graph()}
    path = write_bundle(tmp_path / "rows", name="rows", sign=graphs.ROWS, graphs=variants)
    with Server.open(path, port=0, config=ServerConfig(threads=1)) as server:
        yield server.url


def test_a_bench(url: str, lepton: Terminal, tmp_path: Path) -> None:
    page, results = tmp_path / "bench.html", tmp_path / "bench.json"
    options = ("--rate", 60, "--rate", 30, "--seconds", 0.5, "--warmup", 0, "--connections", 2)
    done = lepton("bench", url, "rows", *options, "--text", "--html", page, "--json", results)
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert lines[0] == f"rows at {url}: 2 connections, 1 row(s) a request, JSON"
    assert "  60 requests/s: " in lines[1] and "  30 requests/s: " in lines[2]
    assert "arrivals" in lines[3] and "p99.9" in lines[3] and lines[4].split()[:2] == ["poisson", "60"]
    found = json.loads(results.read_text())
    assert [run["answered"] for run in found["runs"]] == [30, 15] and found["config"]["binary"] is False
    assert "How long rows takes" in page.read_text()


def test_mistakes(url: str, lepton: Terminal) -> None:
    assert "unknown model 'row'. Did you mean 'rows'?" in lepton.mistake("bench", url, "row")
    assert "expected poisson or uniform" in lepton.mistake("bench", url, "rows", "--arrivals", "bursts")


def test_the_table_leaves_out_what_nobody_knows() -> None:
    assert rows(a_bench())[0] == (
        *("poisson", "100", "99", "1\u202fms", "2\u202fms", "4\u202fms", "–", "10\u202fms", "2"),
    )


def test_what_is_wrong_with_the_figures_is_said() -> None:
    assert warnings(a_bench(errors={}))[0] == "At 100 requests/s: 2 x 503."  # of the second run
    said = "\n".join(warnings(a_bench(lag=0.02, held=0.5, throughput=60.0)))
    assert "the bench itself was late, by 20" in said and "fell behind" in said and "waited for a free conn" in said


def test_the_page_shows_every_rate() -> None:
    page = report_html(bench_report(a_bench()))
    assert page.count("By percentile, 100 requests/s") >= 2 and "By second" in page and "p99 by rate" in page
    assert "2 x 503" in page
