"""The results as a page and as a plot."""

from pathlib import Path
from typing import Any

from benchmarks.pages import filled, markers, table
from benchmarks.training.intervals import MOST_STOLEN
from benchmarks.training.summary import SINGLE

PAGE = f"""# Benchmarks

## Training

`make bench-training` trains the same models on the same data in Lepton, Keras 3 on its three backends, Lightning, and
loops written by hand in torch. benchmarks/training says how, benchmarks/results/training.json holds every round.

![Lepton's samples per second over each peer's, by workload](images/training.png)

{markers("training")}
"""
MET = {True: "met", False: "missed", None: "not measured"}


def page(report: dict[str, Any], old: str) -> str:
    """The page with the tables of a report between its two markers."""
    return filled(old, PAGE, "training", tables(report))


def tables(report: dict[str, Any]) -> str:
    """All tables, in Markdown."""
    peers = report["peers"]
    parts = [
        f"{report['machine']}. Medians of {report['rounds']} interleaved rounds of about {report['seconds']:g} s, with "
        f"95 % intervals by bootstrap; {_versions(report)}.",
        _speeds(report, peers),
        _targets(report),
        _ratios(report, [peer for peer in peers if peer in SINGLE], "lepton", "Lepton's speed over each peer's"),
        _ratios(report, peers, "lepton-auto", "Lepton's speed with plan=\"auto\" over each peer's"),
        _means(report),
        _plans(report),
        _starts(report, [peer for peer in peers if peer in SINGLE]),
        _memory(report, peers),
        _floor(report),
        *_profiles(report),
        *_missing(report),
    ]
    return "\n\n".join(part for part in parts if part)


def plot(report: dict[str, Any], path: Path) -> None:
    """Lepton's speed over each peer's, with intervals, by workload."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    peers = [peer for peer in report["peers"] if peer in SINGLE and peer != "lepton"]
    names = list(report["workloads"])
    figure, axes = pyplot.subplots(figsize=(9, 4.5), layout="constrained")
    for index, peer in enumerate(peers):
        found = [
            (place, report["workloads"][name]["summary"]["times_as_fast_as"][peer])
            for place, name in enumerate(names)
            if peer in report["workloads"][name]["summary"]["times_as_fast_as"]
        ]
        if not found:
            continue
        places = [place + (index - (len(peers) - 1) / 2) * 0.11 for place, _ in found]
        values = [each["value"] for _, each in found]
        errors = [
            [each["value"] - each["low"] for _, each in found],
            [each["high"] - each["value"] for _, each in found],
        ]
        axes.errorbar(places, values, yerr=errors, fmt="o", markersize=4, capsize=2, label=peer)
    axes.axhline(1, color="0.3", linewidth=1)
    axes.set_yscale("log")
    ticks = [0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 20, 40]
    axes.set_yticks(ticks, [f"{tick:g}x" for tick in ticks])
    axes.minorticks_off()
    axes.set_xticks(range(len(names)), [f"({name}) {report['workloads'][name]['title']}" for name in names])
    axes.tick_params(axis="x", labelrotation=18)
    axes.set_ylabel("Lepton's samples/s over the peer's")
    axes.grid(axis="y", alpha=0.3)
    axes.legend(ncols=4, fontsize=8, frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130, metadata={"Software": None})
    pyplot.close(figure)


def _label(report: dict[str, Any], name: str) -> str:
    workload = report["workloads"].get(name)
    return f"({name})" if workload is None else f"({name}) {workload['title']}, batch {workload['batch']}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _interval(found: dict[str, float] | None) -> str:
    return "–" if found is None else f"{found['value']:.2f} ({found['low']:.2f}–{found['high']:.2f})"


def _speeds(report: dict[str, Any], peers: list[str]) -> str:
    rows = []
    for name, workload in report["workloads"].items():
        found = workload["summary"]["samples_per_second"]
        cells = [
            f"{_number(found[peer]['value'])} ({_number(found[peer]['low'])}–{_number(found[peer]['high'])})"
            if peer in found
            else "–"
            for peer in peers
        ]
        rows.append([_label(report, name), *cells])
    return table("Steady samples per second", ["", *peers], rows)


def _ratios(report: dict[str, Any], peers: list[str], own: str, title: str) -> str:
    key = "times_as_fast_as" if own == "lepton" else "auto_times_as_fast_as"
    others = [peer for peer in peers if peer != own]
    rows = [
        [_label(report, name), *(_interval(workload["summary"][key].get(peer)) for peer in others)]
        for name, workload in report["workloads"].items()
        if workload["summary"][key]
    ]
    return table(f"{title}, round by round", ["", *others], rows)


def _means(report: dict[str, Any]) -> str:
    found = [f"beside the {what} {_interval(each)}" for what, each in report["geometric_means"].items()]
    return f"Geometric means over (a) to (f) as far as measured: {'; '.join(found)}." if found else ""


def _plans(report: dict[str, Any]) -> str:
    found = {name: workload.get("plans", {}).get("lepton-auto") for name, workload in report["workloads"].items()}
    lines = [f"- ({name}) {plan}" for name, plan in found.items() if plan]
    return "**What the race chose**\n\n" + "\n".join(lines) if lines else ""


def _starts(report: dict[str, Any], peers: list[str]) -> str:
    rows = []
    for name, taken in report["first_batch"].items():
        medians = {peer: sorted(each)[len(each) // 2] for peer, each in taken.items()}
        rows.append([_label(report, name), *(f"{medians[peer]:.2f}" if peer in medians else "–" for peer in peers)])
    return table("Seconds from the start of the process to the first trained batch", ["", *peers], rows)


def _memory(report: dict[str, Any], peers: list[str]) -> str:
    rows = []
    for name, workload in report["workloads"].items():
        peaks = workload["peak_bytes"]
        cells = (f"{peaks[peer] / 2**20:,.0f}" if peer in peaks else "–" for peer in peers)
        rows.append([_label(report, name), *cells])
    return table("Peak memory of the process, MiB (without the workers of a loader)", ["", *peers], rows)


def _floor(report: dict[str, Any]) -> str:
    rows = []
    for name, workload in report["workloads"].items():
        found = workload.get("floor")
        if found:
            larger = max(found["compute_seconds"], found["memory_seconds"])
            figures = [f"{found['operations_per_sample'] / 1e6:,.1f}", f"{found['bytes_per_sample'] / 1e6:,.2f}"]
            rows.append(
                [_label(report, name), *figures, found["bound"], _number(1 / larger), f"{found['distance']:.1f}x"]
            )
    rates = report["rates"]
    title = (
        f"The floor: {rates['operations_per_second'] / 1e9:,.0f} GFLOP/s in float32 matrix products, "
        f"{rates['bytes_per_second'] / 1e9:,.1f} GB/s read and written in a copy"
    )
    heading = ["", "Mop/sample", "MB/sample", "bound by", "samples/s at the floor", "Lepton's distance"]
    return table(title, heading, rows)


def _targets(report: dict[str, Any]) -> str:
    rows = []
    for each in report["targets"]:
        figure = "–" if each["figure"] is None else f"{each['figure']:.2f}"
        rows.append([each["target"], each["wanted"], figure, MET[each["met"]], each["note"]])
    return table("Targets", ["", "wanted", "figure", "", ""], rows)


def _profiles(report: dict[str, Any]) -> list[str]:
    return [
        table(
            f"Lepton's steps by operator: {_label(report, name)}",
            ["operator", "calls per step", "own ms per step", "share"],
            [
                [
                    f"`{row['operator']}`",
                    f"{row['calls'] / found['steps']:.1f}",
                    f"{row['self_cpu_ms'] / found['steps']:.2f}",
                    f"{row['share']:.1%}",
                ]
                for row in found["operators"]
            ],
        )
        for name, found in report.get("profiles", {}).items()
    ]


def _versions(report: dict[str, Any]) -> str:
    every: dict[str, str] = {}
    for workload in report["workloads"].values():
        for found in workload["versions"].values():
            every |= found
    return ", ".join(f"{package} {version}" for package, version in sorted(every.items()))


def _missing(report: dict[str, Any]) -> list[str]:
    lines = [f"- {peer} has no environment: {why}" for peer, why in report["left_out"].items()]
    for name, workload in report["workloads"].items():
        lines += [f"- ({name}) {peer}: {why}" for peer, why in workload["failed"].items()]
        lines += [f"- ({name}) a round was repeated: {why}" for why in workload["repeated"]]
        others = max((each["others"] for each in workload["rounds"]), default=0.0)
        if others > MOST_STOLEN:
            lines.append(f"- ({name}) other programs used up to {others:.0%} of the processor in a round")
        if len(workload["rounds"]) < report["rounds"]:
            lines.append(f"- ({name}) only {len(workload['rounds'])} rounds count, of {report['rounds']} asked for")
    return ["**What is missing**\n\n" + "\n".join(lines)] if lines else []
