"""`lepton bench`."""

from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table as Grid

from lepton_ai.core import write_atomic
from lepton_ai.evaluation import Chart, Fact, Facts, Report, Section, Table, Text, write_report
from lepton_ai.serving import Bench, BenchConfig, BenchRun, bench
from lepton_ai.web import bar_chart, count, duration, line_chart, percent, significant

SHOWN = ("p50", "p90", "p99", "p99.9", "max")
Block = Text | Table | Chart | Facts
COLUMNS = ("arrivals", "asked /s", "answered /s", *SHOWN, "failed")


def bench_model(
    url: str,
    model: str,
    config: BenchConfig,
    *,
    version: str,
    token: str | None,
    authority: Path | None,
    html: Path | None,
    json: Path | None,
) -> None:
    """Bench a model, show each rate as it is done, and write what is asked for."""
    console = Console(highlight=False)
    kind = "binary" if config.binary else "JSON"
    heading = [f"{model} at {url}: {config.connections} connections, {config.rows} row(s) a request, {kind}"]

    def tell(run: BenchRun) -> None:
        if heading:
            console.print(heading.pop())
        asked = "as fast as answers come" if run.rate is None else f"{run.rate:,.4g} requests/s"
        console.print(f"  {asked}: {run.throughput:,.4g} answers/s", style="dim")

    found = bench(url, model, config, version=version, token=token, tls=authority, tell=tell)
    grid = Grid(box=None, pad_edge=False)
    for column in COLUMNS:
        grid.add_column(column, justify="left" if column == "arrivals" else "right", no_wrap=True)
    for row in rows(found):
        grid.add_row(*row)
    console.print(grid)
    for line in warnings(found):
        console.print(line, style="yellow")
    if html is not None:
        write_report(html, bench_report(found))
        console.print(f"report   {html}", soft_wrap=True)
    if json is not None:
        write_atomic(json, msgspec.json.format(msgspec.json.encode(found), indent=1) + b"\n")
        console.print(f"JSON     {json}", soft_wrap=True)


def rows(found: Bench) -> list[tuple[str, ...]]:
    """A row for each run, the one without a rate first. Its latencies are of users who wait for one another."""
    runs = ([found.capacity] if found.capacity else []) + list(found.runs)
    return [
        (
            "on answer" if run.rate is None else found.config.arrivals,
            "–" if run.rate is None else f"{run.rate:,.4g}",
            f"{run.throughput:,.4g}",
            *("–" if run.latency[name] is None else duration(run.latency[name] or 0.0) for name in SHOWN),
            count(run.failed),
        )
        for run in runs
    ]


def warnings(found: Bench) -> list[str]:
    """What stands between these figures and the truth."""
    lines = []
    for run in found.runs:
        name = f"At {run.rate:,.4g} requests/s"
        if run.errors:
            kinds = ", ".join(f"{number:,} x {reason}" for reason, number in sorted(run.errors.items()))
            lines.append(f"{name}: {kinds}.")
        if not run.honest:
            lines.append(
                f"{name} the bench itself was late, by {duration(run.lag)} at p99: its "
                "machine is too busy for these figures to be the server's alone."
            )
        if run.rate and run.throughput < 0.97 * run.rate:
            lines.append(f"{name} the server fell behind: latencies grow for as long as the run lasts.")
        if run.held > 0.01:
            lines.append(f"{name} {percent(run.held)} of the requests waited for a free connection; that wait counts.")
    return lines


def bench_report(found: Bench) -> Report:
    """The page."""
    best = found.runs[0]
    facts = [Fact(label="Throughput", value=f"{significant(_most(found))} / s", note="the most that was answered")]
    if best.latency["p50"] is not None:
        facts.append(Fact(label="Median", value=duration(best.latency["p50"]), note=f"at {best.rate:,.4g} requests/s"))
    if best.latency["p99"] is not None:
        facts.append(Fact(label="p99", value=duration(best.latency["p99"]), note=f"at {best.rate:,.4g} requests/s"))
    facts.append(Fact(label="Failed", value=count(sum(run.failed for run in found.runs))))
    table = Table(columns=COLUMNS, rows=tuple(rows(found)), full=True)
    blocks: list[Block] = [table, *(Text(body=line) for line in warnings(found))]
    setting = found.config
    about: dict[str, str | int] = {
        "Server": f"{found.server} at {found.url}",
        "Model": f"{found.model} {found.version}".strip(),
        "Requests": f"{setting.rows} row(s) each, {'binary' if setting.binary else 'JSON'}",
        "Connections": setting.connections,
        "Arrivals": f"{setting.arrivals}, {setting.seconds:g} s after {setting.warmup:g} s of warm-up",
        "Asked from": found.machine,
    }
    items = tuple(Fact(label=name, value=value) for name, value in about.items())
    return Report(
        title=f"How long {found.model} takes",
        subtitle="Latency from the moment a request was due, at rates that the server has no say in.",
        facts=tuple(facts),
        sections=(
            Section(title="Rates", blocks=tuple(blocks)),
            Section(title="Latency", blocks=tuple(charts(found))),
            Section(title="How it was measured", blocks=(Facts(items=items),)),
        ),
        created=found.created,
    )


def charts(found: Bench) -> list[Block]:
    """Latency by percentile and by second for each rate; by rate, if there are several."""
    made: list[Block] = []
    for run in found.runs:
        name = f"{run.rate:,.4g} requests/s"
        if run.spectrum:
            nines, latencies = zip(*run.spectrum, strict=True)
            milliseconds = {name: [each * 1000 for each in latencies]}
            label = "nines: 1 is p90, 2 is p99, 3 is p99.9"
            svg = line_chart(milliseconds, title=f"By percentile, {name}", x=nines, x_label=label)
            made.append(Chart(title=f"By percentile, {name}", svg=svg, caption="Milliseconds."))
        if len(run.timeline) > 2:
            lines = {
                "p50": [_milliseconds(middle) for _, _, middle, _ in run.timeline],
                "p99": [_milliseconds(high) for _, _, _, high in run.timeline],
            }
            seconds = [second for second, *_ in run.timeline]
            svg = line_chart(lines, title=f"By second, {name}", x=seconds, x_label="second")
            made.append(Chart(title=f"By second, {name}", svg=svg, caption="Milliseconds, by when requests were due."))
    if len(found.runs) > 1:
        p99 = {f"{run.rate:,.4g} /s": run.latency["p99"] or float("nan") for run in found.runs}
        made.append(Chart(title="p99 by rate", svg=bar_chart(p99, title="p99 by rate", show=duration)))
    return made


def _milliseconds(seconds: float | None) -> float:
    return float("nan") if seconds is None else seconds * 1000


def _most(found: Bench) -> float:
    runs = [*found.runs, *([found.capacity] if found.capacity else [])]
    return max(run.throughput for run in runs)
