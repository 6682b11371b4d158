"""The rest of a report: its headline, the model, times, and the machine they were measured on."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from lepton_ai.core import DataError, Machine
from lepton_ai.evaluation.checks import column
from lepton_ai.evaluation.report import Block, Chart, Code, Fact, Facts, Section, Value
from lepton_ai.evaluation.results import ClassificationResult, RegressionResult
from lepton_ai.web import bar_chart, compact, count, duration, histogram, percent, significant

TELLING_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8", "f16c", "asimd", "sve")
HISTOGRAM_BINS = 30


def headline(
    result: ClassificationResult | RegressionResult,
    *,
    parameters: int | None = None,
    latency: float | None = None,
    throughput: float | None = None,
) -> tuple[Fact, ...]:
    """The cards at a report's head: quality with its interval, size, latency in seconds, answers a second."""
    facts = [_quality(result)]
    if parameters is not None:
        note = f"{count(parameters)} in all" if parameters >= 1000 else ""
        facts.append(Fact(label="Parameters", value=compact(parameters), note=note))
    if latency is not None:
        facts.append(Fact(label="Latency", value=duration(latency), note="one request, median"))
    if throughput is not None:
        facts.append(Fact(label="Throughput", value=f"{significant(throughput)} / s", note="answers each second"))
    return tuple(facts)


def _quality(result: ClassificationResult | RegressionResult) -> Fact:
    low, high = result.interval.low, result.interval.high
    if isinstance(result, ClassificationResult):
        note = f"95 % interval: {percent(low)} – {percent(high)}, on {count(result.count)} samples"
        return Fact(label="Accuracy", value=percent(result.accuracy), note=note)
    note = f"95 % interval: {significant(low)} – {significant(high)}, on {count(result.count)} samples"
    return Fact(label="Mean absolute error", value=significant(result.mae), note=note)


def model_section(summary: str, facts: Mapping[str, Value] | None = None) -> Section:
    """The model's summary as it is printed, below the facts given by name."""
    blocks: list[Block] = []
    if facts:
        blocks.append(Facts(items=tuple(Fact(label=name, value=value) for name, value in facts.items())))
    blocks.append(Code(body=summary.rstrip()))
    return Section(title="Model", blocks=tuple(blocks))


def timings_section(timings: Mapping[str, float]) -> Section:
    """Where the time went: a bar for each step, in seconds, in the order given.

    Raises: DataError if there are none.
    """
    if not timings:
        raise DataError("there are no timings", at="timings_section")
    total = duration(sum(timings.values()))
    chart = Chart(
        title="Time of each step", svg=bar_chart(timings, title="Time of each step", show=duration), full=True
    )
    return Section(title="Timings", lead=f"{total} in all.", blocks=(chart,))


def latency_section(seconds: npt.ArrayLike, *, throughput: float | None = None, lead: str = "") -> Section:
    """How long each request took `(N,)`, in seconds: a histogram up to the 99.5th percentile, and the percentiles.

    Raises: DataError unless there are finite times.
    """
    times = column(seconds, at="latency_section")
    if not len(times):
        raise DataError("there are no times", at="latency_section")
    p50, p95, p99 = (float(value) for value in np.quantile(times, [0.5, 0.95, 0.99]))
    inside = times[times <= np.quantile(times, 0.995)] * 1000
    counts, edges = np.histogram(inside, bins=min(HISTOGRAM_BINS, max(5, len(inside) // 8)))
    svg = histogram(
        counts.tolist(), edges.tolist(), title="Latency", x_label="milliseconds",
        marks={"median": p50 * 1000, "95 %": p95 * 1000},
    )  # fmt: skip
    facts = [
        Fact(label="Median", value=duration(p50)),
        Fact(label="95th percentile", value=duration(p95)),
        Fact(label="99th percentile", value=duration(p99)),
        Fact(label="Slowest", value=duration(float(times.max()))),
    ]
    if throughput is not None:
        facts.append(Fact(label="Throughput", value=f"{significant(throughput)} answers / s"))
    chart = Chart(
        title="Latency of a request", svg=svg, caption=f"{count(len(times))} requests; the slowest 0.5 % are left out."
    )
    return Section(title="Serving", lead=lead, blocks=(chart, Facts(title="Figures", items=tuple(facts), full=False)))


def machine_section(machine: Machine) -> Section:
    """The machine on which everything in the report was measured."""
    flags = [flag for flag in TELLING_FLAGS if flag in machine.cpu_flags]
    items = [
        Fact(label="Processor", value=machine.processor),
        Fact(label="Cores in use", value=machine.cores),
        Fact(label="Memory", value=f"{significant(machine.memory / 2**30)} GiB" if machine.memory else "n/a"),
        Fact(label="System", value=machine.system),
        Fact(label="Python", value=machine.python),
        Fact(label="Allocator", value=machine.allocator),
    ]
    if flags:
        items.append(Fact(label="Vector units", value=", ".join(flags)))
    return Section(title="Machine", lead="Times hold for this machine only.", blocks=(Facts(items=tuple(items)),))
