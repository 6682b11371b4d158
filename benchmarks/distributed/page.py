"""The results as a page."""

from collections.abc import Callable
from typing import Any

from benchmarks.pages import filled, markers, table

PAGE = f"""# What several workers bring

`make bench-distributed` makes the same steps with one worker, with two, and with what others offer for the same work,
each in an environment of its own. benchmarks/distributed says how, benchmarks/results/distributed.json has the figures.

{markers("workers")}
"""
OF_THE_CEILING, OF_THREADS, SECONDS_TO_START = 0.92, 0.9, 3.0
OWN = {
    "one": "one worker, one thread",
    "threads": "one worker, two threads",
    "two": "two workers",
    "sockets": 'two, over sockets, batch_norm="local"',
    "local": 'two, batch_norm="local"',
    "exact": 'two, reduction="exact"',
    "bfloat16": 'two, wire="bfloat16"',
    "ceiling": "two that never talk, half a batch each",
}
Report = dict[str, Any]


def page(report: Report, old: str) -> str:
    """The page with the tables of a report between its two markers."""
    return filled(old, PAGE, "workers", tables(report))


def tables(report: Report) -> str:
    """All tables, in Markdown."""
    versions = ", ".join(f"{name} {version}" for name, version in sorted(report["versions"].items()))
    parts = [
        f"{report['machine']}; {versions}. Medians of {report['turns']} turns, in brackets the smallest and the "
        "largest. Workers have one thread each.",
        table("What was wanted", ["", "wanted", "figure", ""], targets(report)),
        _by_way("Milliseconds for a step", report, "seconds", lambda each: f"{each['median'] * 1e3:,.4g}"),
        _by_way(
            "Two workers' speed over each other way's, turn by turn",
            report,
            "times_as_fast_as",
            lambda each: f"{each['median']:.2f} ({each['low']:.2f}–{each['high']:.2f})",
        ),
        _exchange(report),
        *(f"**Failed:** {way}: {why}" for way, why in report["failed"].items()),
    ]
    return "\n\n".join(parts)


def targets(report: Report) -> list[list[str]]:
    """Each target, its figure, and whether it is met."""
    rows = []
    for name, found in report["workloads"].items():
        over = found["times_as_fast_as"]
        if "ceiling" in over:
            rows.append(_row(f"({name}) two, of the ceiling", OF_THE_CEILING, over["ceiling"]["median"]))
        rows.append(_row(f"({name}) two, over two threads", OF_THREADS, over["threads"]["median"]))
        rivals = {way: each["median"] for way, each in over.items() if way not in OWN}
        if rivals:
            nearest = min(rivals, key=lambda way: rivals[way])
            rows.append(_row(f"({name}) two, over the fastest of the others, {nearest}", 1.0, rivals[nearest]))
    seconds = report["starting"]["median"]
    met = "met" if seconds < SECONDS_TO_START else "missed"
    return [*rows, ["starting two workers", f"below {SECONDS_TO_START:g} s", f"{seconds:.2f} s", met]]


def _row(what: str, least: float, figure: float) -> list[str]:
    return [what, f"at least {least:g}", f"{figure:.2f}", "met" if figure >= least else "missed"]


def _exchange(report: Report) -> str:
    rows = []
    for name, found in report["workloads"].items():
        sent = found["bytes"]["sockets"] / 2
        hidden = found.get("hidden")
        rows.append(
            [
                _title(name, found),
                f"{found['gradient_bytes'] / 1e6:,.3g}",
                f"{found['exchange_alone'] * 1e3:,.3g}",
                f"{sent / 1e6:,.3g}",
                f"{sent / found['gradient_bytes']:.2f}",
                f"{found['exchange_alone_by_sockets'] * 1e3:,.3g}",
                "" if hidden is None else f"{hidden['median']:.0%} ({hidden['low']:.0%}–{hidden['high']:.0%})",
            ]
        )
    heads = ["", "gradients, MB", "exchange through memory, ms"]
    heads += ["over sockets: sent by each worker, MB", "times the gradients", "exchange, ms", "of it hidden"]
    note = (
        "An exchange is timed with nothing to compute meanwhile. Sent: what went over the loopback device in a step, "
        "half of it for each worker. Hidden: the share of the exchange by which two workers over sockets are "
        "not slower than two that never talk. Through memory nothing is hidden: the sum is the processors' own work."
    )
    return f"{table('What workers exchange in a step', heads, rows)}\n\n{note}"


def _by_way(title: str, report: Report, what: str, show: Callable[[dict[str, float]], str]) -> str:
    """A table with a row for each workload and a column for each way that any of them was measured in."""
    ways = list(dict.fromkeys(way for each in report["workloads"].values() for way in each[what]))
    rows = [
        [_title(name, found), *(show(found[what][way]) if way in found[what] else "" for way in ways)]
        for name, found in report["workloads"].items()
    ]
    return table(title, ["", *(OWN.get(way, way) for way in ways)], rows)


def _title(name: str, found: Report) -> str:
    return f"({name}) {found['title']}, batch {found['batch']}"
