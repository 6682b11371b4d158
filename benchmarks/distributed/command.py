"""What `python -m benchmarks distributed` does."""

import argparse
import platform
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.arguments import ONLY_A_PART, listed
from benchmarks.distributed import peers
from benchmarks.distributed.page import Report, page
from benchmarks.distributed.peers import FAMILY, PeerError, Taken
from benchmarks.distributed.ways import Ways, apart, starting
from benchmarks.pages import save
from benchmarks.training.environments import BENCHMARKS, NoEnvironmentError, environment
from benchmarks.training.workloads import WORKLOADS, write
from lepton_ai.core import this_machine

STEPS = {"a": 300, "b": 12, "c": 500, "d": 200, "e": 6, "f": 14, "g": 10}
COMPARED = ("b", "e")  # with the peers, and with the ceiling
LEAST_TURNS = 5


def options(arguments: list[str]) -> argparse.Namespace:
    """The arguments, checked."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks distributed")
    parser.add_argument("--turns", type=int, default=LEAST_TURNS, help="of all ways, on each workload")
    parser.add_argument("--only", type=listed(STEPS), default=tuple(STEPS), help="workloads, as b,e")
    parser.add_argument("--peers", type=listed(FAMILY), default=tuple(FAMILY), help="as ray-train,accelerate")
    parser.add_argument("--out", type=Path, help="a folder for the results, instead of those of the repository")
    chosen = parser.parse_args(arguments)
    if chosen.turns < 1:
        parser.error("--turns is 1 or more")
    partial = chosen.turns < LEAST_TURNS or set(chosen.only) < set(STEPS) or set(chosen.peers) < set(FAMILY)
    if partial and chosen.out is None:
        parser.error(ONLY_A_PART)
    return chosen


def run(arguments: list[str]) -> None:
    """Run it, and write the results and the page."""
    chosen = options(arguments)
    report: Report = {
        "command": "python -m benchmarks distributed",
        "machine": this_machine().describe(),
        "python": platform.python_version(),
        "versions": {"torch": str(torch.__version__).partition("+")[0]},
        "turns": chosen.turns,
        "failed": {},
        "workloads": {},
    }
    pythons = _pythons(chosen.peers, report)
    starting()
    report["starting"] = spread([starting() for _ in range(chosen.turns)])
    for name in chosen.only:
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place) / name
            write(name, folder)
            report["workloads"][name] = measure(name, folder, chosen.turns, pythons, report["failed"])
        save(report, page, "distributed", "workers-benchmark.md", chosen.out)


def measure(name: str, folder: Path, turns: int, pythons: dict[str, Path], failed: dict[str, str]) -> Report:
    """All turns of one workload."""
    ways = Ways(name, folder, STEPS[name])
    calls: dict[str, Callable[[], Taken]] = ways.all(peers=name in COMPARED)
    if name in COMPARED:
        calls |= {peer: _call(peer, python, name, folder) for peer, python in pythons.items()}
    made: list[dict[str, Taken]] = []
    for turn in range(turns):
        order = list(calls)[:: -1 if turn % 2 else 1]
        made.append({})
        for way in order:
            try:
                made[-1][way] = calls[way]()
            except PeerError as error:
                failed[f"{way} on ({name})"] = str(error)
                del calls[way]
        print(f"({name})", {way: round(each.seconds, 4) for way, each in made[-1].items()}, flush=True)
    alone = ways.exchange()
    with apart():
        alone_by_sockets = ways.exchange()
    found: Report = {
        "title": WORKLOADS[name].title,
        "batch": WORKLOADS[name].batch,
        "steps": STEPS[name],
        "seconds": {way: spread([turn[way].seconds for turn in made]) for way in calls},
        "bytes": {way: statistics.median(turn[way].bytes for turn in made) for way in calls},
        "gradient_bytes": ways.gradient_bytes(),
        "exchange_alone": alone,
        "exchange_alone_by_sockets": alone_by_sockets,
        "times_as_fast_as": {
            way: spread([turn[way].seconds / turn["two"].seconds for turn in made]) for way in calls if way != "two"
        },
    }
    if "ceiling" in calls:
        hidden = [1 - (turn["sockets"].seconds - turn["ceiling"].seconds) / alone_by_sockets for turn in made]
        found["hidden"] = spread([min(1.0, max(0.0, each)) for each in hidden])
    return found


def spread(values: list[float]) -> dict[str, float]:
    """The median, the smallest and the largest.

    Example:
        >>> spread([3.0, 1.0, 2.0])
        {'median': 2.0, 'low': 1.0, 'high': 3.0}
    """
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def _pythons(names: tuple[str, ...], report: Report) -> dict[str, Path]:
    found = {}
    for peer in names:
        try:
            found[peer] = environment(FAMILY[peer])
        except NoEnvironmentError as error:
            report["failed"][peer] = str(error)
            continue
        package = {"torch-ddp": "torch", "lightning-ddp": "lightning", "ray-train": "ray"}.get(peer, peer)
        for line in (BENCHMARKS / "peers" / f"{FAMILY[peer]}.txt").read_text().splitlines():
            if line.partition("==")[0] == package:
                report["versions"][package] = line.partition("==")[2]
    return found


def _call(peer: str, python: Path, name: str, folder: Path) -> Callable[[], Taken]:
    return lambda: peers.train(peer, python, name, folder, STEPS[name])
