"""What a bench found: latencies by percentile, throughput, errors, and whether the bench itself kept its schedule."""

from collections.abc import Sequence

import msgspec
import numpy as np

from lepton_ai.serving.bench_drive import Record, Times

QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999}
LATE = 0.001  # seconds: a generator that sends later than this, at p99, measures itself
_NINES = np.concatenate([np.linspace(0, 1, 21), np.linspace(1.05, 5, 80)])


class BenchRun(msgspec.Struct, frozen=True, kw_only=True):
    """One rate. Times in seconds; `rate` is None where each answer was followed by the next request.

    `latency` holds p50, p90, p99, p99.9, mean and max of the answered requests, from when they were due; None where
    there are too few to say. `throughput` counts answers of `seconds`. `spectrum` has pairs of nines (2 is p99) and
    latency, `timeline` for each second its answers, p50 and p99. `errors` counts requests by what they got instead of
    an answer, those of the warm-up too. `lag` is how late the bench itself was at p99, `held` the share of requests
    that waited for a free connection.
    """

    rate: float | None
    seconds: float
    requests: int
    answered: int
    throughput: float
    latency: dict[str, float | None]
    spectrum: list[tuple[float, float]]
    timeline: list[tuple[float, int, float | None, float | None]]
    errors: dict[str, int]
    lag: float
    held: float

    @property
    def failed(self) -> int:
        """How many requests were not answered."""
        return sum(self.errors.values())

    @property
    def honest(self) -> bool:
        """Whether the bench kept its own schedule."""
        return self.lag <= LATE


def summarize(record: Record, *, rate: float | None, warmup: float, seconds: float) -> BenchRun:
    """What was found between `warmup` and `warmup + seconds`."""
    due, sent, done = record.due, record.sent, record.done
    counted = due >= warmup
    answered = counted & np.isfinite(done)
    latencies = np.sort((done - due)[answered])
    lags = (sent - due)[counted & ~record.held & np.isfinite(sent)]
    ended = done[np.isfinite(done)]
    span = min(seconds, float(ended.max()) - warmup) if rate is None and ended.size else seconds
    within = ended[(ended >= warmup) & (ended <= warmup + seconds)]
    return BenchRun(
        rate=rate,
        seconds=seconds,
        requests=int(counted.sum()),
        answered=int(answered.sum()),
        throughput=len(within) / span if span > 0 else 0.0,
        latency=percentiles(latencies),
        spectrum=_spectrum(latencies),
        timeline=_timeline(due - warmup, done - warmup, seconds),
        errors=record.errors,
        lag=float(np.quantile(lags, 0.99)) if lags.size else 0.0,
        held=float(record.held[counted].mean()) if counted.any() else 0.0,
    )


def percentiles(latencies: Times) -> dict[str, float | None]:
    """Of sorted values: each percentile that enough of them lie beyond, the mean and the largest.

    Example:
        >>> percentiles(np.arange(1.0, 101.0))["p90"], percentiles(np.arange(1.0, 101.0))["p99.9"]
        (90.0, None)
    """
    found: dict[str, float | None] = {
        name: _quantile(latencies, share) if len(latencies) * (1 - share) >= 1 - 1e-9 else None
        for name, share in QUANTILES.items()
    }
    found["mean"] = float(latencies.mean()) if len(latencies) else None
    found["max"] = float(latencies[-1]) if len(latencies) else None
    return found


def _quantile(ordered: Times, share: float) -> float:
    """The nearest rank: the smallest value that the share of all does not exceed."""
    return float(ordered[max(0, int(np.ceil(share * len(ordered) - 1e-9)) - 1)])


def _spectrum(ordered: Times) -> list[tuple[float, float]]:
    if not len(ordered):
        return []
    last = np.log10(len(ordered))
    return [(float(nines), _quantile(ordered, 1 - 10**-nines)) for nines in _NINES if nines <= last]


def _timeline(due: Times, done: Times, seconds: float) -> list[tuple[float, int, float | None, float | None]]:
    """By the second in which requests were due; their answers by the second in which they came."""
    found = []
    for second in range(int(np.ceil(seconds))):
        own = (due >= second) & (due < second + 1) & np.isfinite(done)
        values: Sequence[float] = np.sort((done - due)[own]).tolist()
        came = int(((done >= second) & (done < second + 1)).sum())
        ordered = np.asarray(values)
        middle = _quantile(ordered, 0.5) if values else None
        found.append((float(second), came, middle, _quantile(ordered, 0.99) if values else None))
    return found
