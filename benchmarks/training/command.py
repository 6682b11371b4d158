"""What `python -m benchmarks training` does."""

import argparse
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.arguments import ONLY_A_PART, listed
from benchmarks.pages import REPOSITORY, save
from benchmarks.training import floor
from benchmarks.training.environments import PEERS, NoEnvironmentError, interpreter
from benchmarks.training.processes import Peer
from benchmarks.training.rounds import measure, start_ups
from benchmarks.training.summary import SINGLE, means, summarize, targets
from benchmarks.training.tables import page, plot
from benchmarks.training.workloads import WORKLOADS, fingerprint, write
from lepton_ai.core import this_machine

STARTED = ("a", "c")  # whose time to the first trained batch is taken
LEAST_ROUNDS = 7


def options(arguments: list[str]) -> argparse.Namespace:
    """The arguments, checked."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks training")
    parser.add_argument("--rounds", type=int, default=LEAST_ROUNDS, help="that count, of each workload")
    parser.add_argument("--seconds", type=float, default=1.2, help="of steps of each peer in each round")
    parser.add_argument("--starts", type=int, default=2, help="of each peer, to the first trained batch; 0 for none")
    parser.add_argument("--only", type=listed(WORKLOADS), default=tuple(WORKLOADS), help="workloads, as a,c")
    parser.add_argument("--peers", type=listed(PEERS), default=SINGLE, help="as lepton,torch")
    parser.add_argument(
        "--bfloat16", action="store_const", const=PEERS, dest="peers", help='compare plan="auto" with peers in it, too'
    )
    parser.add_argument("--profile", action="store_true", help="profile Lepton's steps by operator, too")
    parser.add_argument("--out", type=Path, help="a folder for the results, instead of those of the repository")
    chosen = parser.parse_args(arguments)
    if chosen.rounds < 1 or chosen.seconds <= 0 or chosen.starts < 0:
        parser.error("--rounds is 1 or more, --seconds above 0, --starts 0 or more")
    partial = chosen.rounds < LEAST_ROUNDS or set(chosen.only) < set(WORKLOADS) or not set(chosen.peers) >= set(SINGLE)
    if partial and chosen.out is None:
        parser.error(ONLY_A_PART)
    return chosen


def run(arguments: list[str]) -> None:
    """Run it and write the results; those in a folder of their own after each workload, so that an interrupt costs one
    at most."""
    chosen = options(arguments)
    pythons, left_out = environments(chosen.peers)
    report: dict[str, Any] = {
        "command": "python -m benchmarks training",
        "machine": this_machine().describe(),
        "rounds": chosen.rounds,
        "seconds": chosen.seconds,
        "peers": list(pythons),
        "left_out": left_out,
        "rates": {},
        "workloads": {},
        "first_batch": {},
    }
    with tempfile.TemporaryDirectory() as made:
        for name in chosen.only:
            print(f"-- ({name}) {WORKLOADS[name].title}", flush=True)
            folder = Path(made) / name
            write(name, folder)
            report["rates"] = floor.better(report["rates"], floor.rates())
            result = measure(name, folder, pythons, chosen.rounds, chosen.seconds)
            result |= {"data": fingerprint(folder), "summary": summarize(result)}
            report["workloads"][name] = result
            add_floors(report)
            if chosen.starts and name in STARTED:
                single = {peer: each for peer, each in pythons.items() if peer in SINGLE}
                report["first_batch"][name] = start_ups(folder, name, single, chosen.starts)
            if chosen.profile and "lepton" in pythons:
                report.setdefault("profiles", {})[name] = profiled(name, folder, pythons["lepton"])
            report |= {"geometric_means": means(report["workloads"])}
            report["targets"] = targets(report)
            tell(report, name)
            if chosen.out is not None:
                keep(report, chosen.out)
    if chosen.out is None:
        keep(report, None)
    for row in report["targets"]:
        figure = "-" if row["figure"] is None else f"{row['figure']:.2f}"
        verdict = {True: "met", False: "missed", None: "not measured"}[row["met"]]
        print(f"{row['target']:<55} {row['wanted']:<22} {figure:>6}  {verdict}  {row['note']}")


def add_floors(report: dict[str, Any]) -> None:
    """The floor of each workload so far, by the best rates so far: one taken while the machine was busy flatters."""
    for name, workload in report["workloads"].items():
        ours = workload["summary"]["samples_per_second"].get("lepton")
        if ours:
            workload["floor"] = floor.distance(ours["value"], report["rates"], floor.needs(name))


def environments(peers: tuple[str, ...]) -> tuple[dict[str, Path], dict[str, str]]:
    """The interpreter of each peer, and why some have none."""
    pythons, left_out = {}, {}
    for peer in peers:
        try:
            pythons[peer] = interpreter(peer)
        except NoEnvironmentError as error:
            left_out[peer] = str(error)
            print(f"   left out: {peer}: {error}", flush=True)
    return pythons, left_out


def profiled(name: str, folder: Path, python: Path) -> dict[str, Any]:
    """The operators that take most of Lepton's steps."""
    peer = Peer("lepton", python, name, folder, "profile")
    try:
        found = peer.hear()
        return {"steps": found["steps"], "operators": found["profile"]}
    finally:
        peer.close()


def tell(report: dict[str, Any], name: str) -> None:
    """Print what was found of one workload."""
    found = report["workloads"][name]["summary"]
    for peer, speed in found["samples_per_second"].items():
        ratio = found["times_as_fast_as"].get(peer)
        beside = "" if ratio is None else f"  Lepton {ratio['value']:.2f}x ({ratio['low']:.2f} to {ratio['high']:.2f})"
        print(f"   {peer:<17} {speed['value']:>11,.1f} samples/s{beside}", flush=True)


def keep(report: dict[str, Any], out: Path | None) -> None:
    """Write results, page and the plot that it shows: into a folder, or where the repository has them."""
    image = (REPOSITORY / "docs" if out is None else out) / "images" / "training.png"
    image.parent.mkdir(parents=True, exist_ok=True)
    plot(report, image)
    save(report, page, "training", "benchmarks.md", out)
