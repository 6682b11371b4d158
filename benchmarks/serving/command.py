"""What `python -m benchmarks serving` does."""

import argparse
import random
import shutil
import statistics
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.arguments import ONLY_A_PART, listed
from benchmarks.pages import save
from benchmarks.serving.measures import (
    CONNECTIONS,
    BadAnswersError,
    bare,
    picture,
    picture_request,
    press,
    row_request,
    waits,
)
from benchmarks.serving.models import write_models
from benchmarks.serving.page import page
from benchmarks.serving.servers import PEERS, NoServerError, ServerProcess
from benchmarks.training.environments import BENCHMARKS, NoEnvironmentError, environment
from benchmarks.training.intervals import counts, median, ticks
from lepton_ai.core import this_machine

LEAST_ROUNDS = 5
LATE = 0.001  # seconds, from which on the generator measures itself
SHARE = 0.7  # of what a server can do, at which users' waits are measured
SWEEP_SECONDS = 3.0
PICTURE_CONNECTIONS = 4
EVEN = ("empty", "lepton", "fastapi")  # asked as often as the last of them at its share, too
PICTURED = ("lepton", "empty")
TARGETS = (("litserve", 10.0), ("fastapi", 6.0), ("empty", 0.75))
OF_BARE, ADDED_SECONDS = 0.9, 0.0003


def options(arguments: list[str]) -> argparse.Namespace:
    """The arguments, checked."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks serving")
    parser.add_argument("--rounds", type=int, default=LEAST_ROUNDS, help="that count")
    parser.add_argument("--seconds", type=float, default=8.0, help="of each measurement")
    parser.add_argument("--peers", type=listed(PEERS), default=tuple(PEERS), help="as lepton,empty")
    parser.add_argument("--out", type=Path, help="a folder for the results, instead of that of the repository")
    chosen = parser.parse_args(arguments)
    if chosen.rounds < 1 or chosen.seconds <= 0:
        parser.error("--rounds is 1 or more, --seconds above 0")
    partial = chosen.rounds < LEAST_ROUNDS or set(chosen.peers) < set(PEERS)
    if partial and chosen.out is None:
        parser.error(ONLY_A_PART)
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
        "versions": {},
        "left_out": {},
        "sweeps": {},
        "repeated": [],
        "rounds": [],
    }
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        write_models(folder)
        peers = installed(chosen.peers, report)
        settings = {name: swept(name, folder, report) for name in peers}
        peers = [name for name in peers if settings[name] is not None]
        even = SHARE * max((each["requests_per_second"] for each in report["sweeps"].get(EVEN[-1], ())), default=0.0)
        report["even"] = even
        draw, attempts = random.Random(0), 0
        while len(report["rounds"]) < chosen.rounds and attempts < 2 * chosen.rounds:
            attempts += 1
            began = ticks()
            draw.shuffle(peers)
            found = {name: measured(name, folder, settings[name], chosen.seconds, even) for name in peers}
            pictures = pictured(folder, chosen.seconds) if set(PICTURED) <= set(peers) else None
            stolen = ticks().share_since(began)
            if counts(stolen):
                report["rounds"].append({"stolen": stolen, "peers": found, "pictures": pictures})
            else:
                report["repeated"].append(f"{stolen:.0%} of the processor were stolen by the host")
    report["summary"] = summary(report["rounds"])
    report["pictures"] = picture_summary(report["rounds"])
    report["targets"] = targets(report)
    save(report, page, "serving", "serving-benchmark.md", chosen.out)
    tell(report)


def installed(names: tuple[str, ...], report: dict[str, Any]) -> list[str]:
    """Those that have an environment."""
    found = []
    for name in names:
        family = PEERS[name].family
        try:
            if family:
                environment(family)
                lines = (BENCHMARKS / "peers" / f"{family}.txt").read_text().splitlines()
                known = dict(line.split("==") for line in lines if "==" in line)
                package = "ray" if name == "ray-serve" else family
                report["versions"][package] = known[package]
            found.append(name)
        except NoEnvironmentError as error:
            report["left_out"][name] = str(error)
    return found


def swept(name: str, folder: Path, report: dict[str, Any]) -> tuple[str, ...] | None:
    """A peer's fastest setting, of a short run each; None if it answers with none of them."""
    sweep, request = PEERS[name].sweep, row_request(PEERS[name].form)
    if len(sweep) == 1:
        return sweep[0]
    rates = {}
    for setting in sweep:
        try:
            server = ServerProcess(name, folder, setting)
        except NoServerError as error:
            report["left_out"][f"{name} {' '.join(setting)}"] = str(error)
            continue
        try:
            rates[setting] = press(server, request, SWEEP_SECONDS).per_second
        except BadAnswersError as error:
            report["left_out"][f"{name} {' '.join(setting)}"] = str(error)
        finally:
            server.close()
    report["sweeps"][name] = [
        {"setting": setting, "requests_per_second": rate, "taken": rate == max(rates.values())}
        for setting, rate in rates.items()
    ]
    print(f"   {name:<10} {report['sweeps'][name]}", flush=True)
    return max(rates, key=lambda each: rates[each]) if rates else None


def measured(name: str, folder: Path, setting: tuple[str, ...] | None, seconds: float, even: float) -> dict[str, Any]:
    """One turn of a peer, in a process of its own; `even` is a rate at which some are asked as well."""
    server = ServerProcess(name, folder, setting)
    request = row_request(server.peer.form)
    try:
        rate = press(server, request, seconds).per_second
        found = {"requests_per_second": rate, "waits": waits(server, request, SHARE * rate, seconds)}
        if even and name in EVEN:
            found["even"] = waits(server, request, even, seconds)
        return found
    finally:
        server.close()
        print(f"   {name:<10} done", flush=True)


def pictured(folder: Path, seconds: float) -> dict[str, float]:
    """Pictures by the binary extension: Lepton, beside the session alone, and a handler that computes nothing."""
    content, request = picture(), picture_request()
    alone = bare(folder / "image.onnx", content, seconds)
    found = {"bare_per_second": alone.per_second, "bare_p50": alone.p50}
    for name in PICTURED:
        server = ServerProcess(name, folder, model="image")
        try:
            if name == "lepton":
                found["lepton_per_second"] = press(server, request, seconds, PICTURE_CONNECTIONS).per_second
            found[f"{name}_p50"] = press(server, request, seconds, 1).p50
        finally:
            server.close()
    return found


def picture_summary(rounds: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Lepton's share of what the session alone does, and what it adds to the wait of a single client."""
    turns = [each["pictures"] for each in rounds if each.get("pictures")]
    if not turns:
        return None
    return {
        "bare_p50": statistics.median(turn["bare_p50"] for turn in turns),
        "of_bare": vars(median([turn["lepton_per_second"] / turn["bare_per_second"] for turn in turns])),
        "added": vars(median([turn["lepton_p50"] - turn["empty_p50"] - turn["bare_p50"] for turn in turns])),
    }


def summary(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians over the rounds, and Lepton over each peer, round by round."""
    found: dict[str, Any] = {}
    for name in rounds[0]["peers"] if rounds else ():
        turns = [each["peers"][name] for each in rounds]
        rate = median([turn["requests_per_second"] for turn in turns])
        found[name] = {"requests_per_second": vars(rate), **percentiles([turn["waits"] for turn in turns])}
        if all("even" in turn for turn in turns):
            found[name]["even"] = percentiles([turn["even"] for turn in turns])
        if "lepton" in rounds[0]["peers"] and name != "lepton":
            ours = [each["peers"]["lepton"]["requests_per_second"] for each in rounds]
            ratios = [own / turn["requests_per_second"] for own, turn in zip(ours, turns, strict=True)]
            found[name]["times_as_fast"] = vars(median(ratios))
    return found


def percentiles(turns: list[dict[str, Any]]) -> dict[str, float | None]:
    """Medians over the rounds; None where a percentile is not known."""
    found: dict[str, float | None] = {}
    for percentile in ("p50", "p99", "p99.9"):
        known = [turn["latency"][percentile] for turn in turns if turn["latency"][percentile] is not None]
        found[percentile] = statistics.median(known) if known else None
    return found


def targets(report: dict[str, Any]) -> list[dict[str, Any]]:
    """What was wanted, and what came of it."""
    rows = []
    for peer, wanted in TARGETS:
        ratio = report["summary"].get(peer, {}).get("times_as_fast")
        figure = None if ratio is None else ratio["value"]
        met = None if figure is None else figure >= wanted
        rows.append({"target": f"requests/s over {peer}'s", "wanted": wanted, "figure": figure, "met": met})
    pictures = report.get("pictures")
    share = None if pictures is None else pictures["of_bare"]["value"]
    added = None if pictures is None else pictures["added"]["value"]
    met = None if share is None else share >= OF_BARE
    rows.append({"target": "pictures/s over the session's alone", "wanted": OF_BARE, "figure": share, "met": met})
    met = None if added is None else added <= ADDED_SECONDS
    rows.append({"target": "seconds added to a picture, at most", "wanted": ADDED_SECONDS, "figure": added, "met": met})
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
        figure = "-" if row["figure"] is None else f"{row['figure']:.3g}"
        verdict = {True: "met", False: "missed", None: "not measured"}[row["met"]]
        print(f"{row['target']:<36} {row['wanted']:<7g} {figure:>9}  {verdict}")
