"""What `python -m benchmarks serving` does."""

import argparse
import json
import random
import shutil
import statistics
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.serving.measures import CONNECTIONS, most, waits, write_model
from benchmarks.serving.servers import PEERS, NoServerError, ServerProcess
from benchmarks.training.environments import BENCHMARKS, NoEnvironmentError, environment
from benchmarks.training.intervals import counts, median, ticks
from lepton_ai.core import this_machine

LEAST_ROUNDS = 5
LATE = 0.001  # seconds, from which on the generator measures itself
SHARE = 0.7  # of what a server can do, at which users' waits are measured
# LitServe's best batching is found first: the largest batch, and how long it waits for one to fill.
SWEEP = (("1", "0"), ("16", "0.001"), ("64", "0.001"), ("64", "0.005"))
TARGETS = (("litserve", 10.0), ("fastapi", 6.0), ("empty", 0.75))


def options(arguments: list[str]) -> argparse.Namespace:
    """The arguments, checked."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks serving")
    parser.add_argument("--rounds", type=int, default=LEAST_ROUNDS, help="that count")
    parser.add_argument("--seconds", type=float, default=8.0, help="of each measurement")
    parser.add_argument(
        "--peers", type=lambda text: tuple(text.split(",")), default=tuple(PEERS), help="as lepton,empty"
    )
    parser.add_argument("--out", type=Path, help="a folder for the results, instead of that of the repository")
    chosen = parser.parse_args(arguments)
    unknown = [name for name in chosen.peers if name not in PEERS]
    if unknown:
        parser.error(f"no {unknown[0]!r}; there are {', '.join(PEERS)}")
    if chosen.rounds < 1 or chosen.seconds <= 0:
        parser.error("--rounds is 1 or more, --seconds above 0")
    partial = chosen.rounds < LEAST_ROUNDS or set(chosen.peers) < set(PEERS)
    if partial and chosen.out is None:
        parser.error("a part of the benchmark would overwrite the results of the whole: name a folder, --out FOLDER")
    if shutil.which("wrk") is None:
        parser.error("wrk is not installed; Debian's package wrk has it")
    return chosen


def run(arguments: list[str]) -> None:
    """Run it and write the results."""
    chosen = options(arguments)
    report: dict[str, Any] = {
        "command": "python -m benchmarks serving",
        "machine": this_machine().describe(),
        "workload": f"MLP 30-256-256-2, one row as JSON, {CONNECTIONS} connections; server and client on a core each",
        "seconds": chosen.seconds,
        "left_out": {},
        "repeated": [],
        "rounds": [],
    }
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        write_model(folder)
        peers = installed(chosen.peers, report)
        settings: dict[str, tuple[str, ...]] = {}
        if "litserve" in peers:
            settings["litserve"] = swept(folder, report)
        draw, attempts = random.Random(0), 0
        while len(report["rounds"]) < chosen.rounds and attempts < 2 * chosen.rounds:
            attempts += 1
            began = ticks()
            draw.shuffle(peers)
            found = {name: measured(name, folder, settings.get(name, ()), chosen.seconds) for name in peers}
            stolen = ticks().share_since(began)
            if counts(stolen):
                report["rounds"].append({"stolen": stolen, "peers": found})
            else:
                report["repeated"].append(f"{stolen:.0%} of the processor were stolen by the host")
    report["summary"] = summary(report["rounds"])
    report["targets"] = targets(report)
    place = (chosen.out or BENCHMARKS / "results") / "serving.json"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(json.dumps(report, indent=1) + "\n")
    tell(report)
    print(f"written to {place}")


def installed(names: tuple[str, ...], report: dict[str, Any]) -> list[str]:
    """Those that have an environment."""
    found = []
    for name in names:
        try:
            if PEERS[name].family:
                environment(PEERS[name].family)
            found.append(name)
        except NoEnvironmentError as error:
            report["left_out"][name] = str(error)
    return found


def swept(folder: Path, report: dict[str, Any]) -> tuple[str, ...]:
    """LitServe's fastest settings, of a short run each."""
    rates = {}
    for setting in SWEEP:
        try:
            server = ServerProcess("litserve", folder, options=setting)
        except NoServerError as error:
            report["left_out"][f"litserve {setting}"] = str(error)
            continue
        try:
            rates[setting] = most(server, 3.0)
        finally:
            server.close()
    report["litserve_sweep"] = [
        {"max_batch": int(most_rows), "batch_seconds": float(wait), "requests_per_second": rate}
        for (most_rows, wait), rate in rates.items()
    ]
    return max(rates, key=lambda each: rates[each])


def measured(name: str, folder: Path, setting: tuple[str, ...], seconds: float) -> dict[str, Any]:
    """One turn of a peer, in a process of its own."""
    server = ServerProcess(name, folder, options=setting)
    try:
        rate = most(server, seconds)
        return {"requests_per_second": rate, "waits": waits(server, SHARE * rate, seconds)}
    finally:
        server.close()
        print(f"   {name:<10} done", flush=True)


def summary(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians over the rounds, and Lepton over each peer, round by round."""
    found: dict[str, Any] = {}
    for name in rounds[0]["peers"] if rounds else ():
        turns = [each["peers"][name] for each in rounds]
        rate = median([turn["requests_per_second"] for turn in turns])
        found[name] = {"requests_per_second": vars(rate)}
        for percentile in ("p50", "p99", "p99.9"):
            values = [turn["waits"]["latency"][percentile] for turn in turns]
            known = [value for value in values if value is not None]
            found[name][percentile] = statistics.median(known) if known else None
        if "lepton" in rounds[0]["peers"] and name != "lepton":
            ours = [each["peers"]["lepton"]["requests_per_second"] for each in rounds]
            ratios = [own / turn["requests_per_second"] for own, turn in zip(ours, turns, strict=True)]
            found[name]["times_as_fast"] = vars(median(ratios))
    return found


def targets(report: dict[str, Any]) -> list[dict[str, Any]]:
    """What was wanted, and what came of it."""
    rows = []
    for peer, wanted in TARGETS:
        ratio = report["summary"].get(peer, {}).get("times_as_fast")
        figure = None if ratio is None else ratio["value"]
        met = None if figure is None else figure >= wanted
        rows.append({"target": f"requests/s over {peer}'s", "wanted": wanted, "figure": figure, "met": met})
    return rows


def tell(report: dict[str, Any]) -> None:
    """Print it."""
    for name, found in sorted(report["summary"].items(), key=lambda each: -each[1]["requests_per_second"]["value"]):
        rate = found["requests_per_second"]
        times = [
            f"{found[each] * 1000:8.2f}" if found[each] is not None else "       –" for each in ("p50", "p99", "p99.9")
        ]
        print(
            f"{name:<10} {rate['value']:>9,.0f} requests/s ({rate['low']:,.0f} to {rate['high']:,.0f});"
            f" at {SHARE:.0%} of it p50, p99, p99.9 in ms:{''.join(times)}"
        )
    for name in report["summary"]:
        late = max(turn["peers"][name]["waits"]["lag"] for turn in report["rounds"])
        if late > LATE:
            print(f"{name}: the generator was late by up to {late * 1000:.1f} ms at p99; the machine was not quiet")
    for row in report["targets"]:
        figure = "-" if row["figure"] is None else f"{row['figure']:.2f}"
        verdict = {True: "met", False: "missed", None: "not measured"}[row["met"]]
        print(f"{row['target']:<30} at least {row['wanted']:<5g} {figure:>7}  {verdict}")
