"""What happened in the last second, out of the counters: the stream behind the live page."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

import orjson

from lepton_ai.serving import ledger

Rows = Mapping[tuple[str, str], Sequence[float]]
Facts = dict[str, float]

_FAILED = slice(1, len(ledger.OUTCOMES))


def difference(now: Rows, before: Rows, seconds: float, states: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """Rates, percentiles and sizes between two readings: of each model, and of all. Latencies are in seconds."""
    state = {(each["name"], each["version"]): each["state"] for each in states}
    models = []
    changes: list[list[float]] = []
    for key in sorted({*state, *now} - {("", "")}):
        row = now.get(key, [0.0] * ledger.WIDTH)
        old = before.get(key, [0.0] * ledger.WIDTH)
        change = [value - was for value, was in zip(row, old, strict=True)]
        change[ledger.WAITING] = row[ledger.WAITING]
        changes.append(change)
        facts: dict[str, Any] = {
            "name": key[0],
            "version": key[1],
            "state": state.get(key, "UNAVAILABLE"),
            "answered": int(row[0]),
            "errors": int(sum(row[_FAILED])),
        }
        models.append(facts | _facts(change, seconds))
    total = [sum(column) for column in zip(*changes, strict=True)] if changes else [0.0] * ledger.WIDTH
    return {"total": _facts(total, seconds), "models": models}


def _facts(change: Sequence[float], seconds: float) -> Facts:
    start, edges = ledger.HISTOGRAMS["request"]
    counts = change[start : start + len(edges) + 1]
    batches = change[ledger.BATCHES]
    failed = sum(change[_FAILED])
    return {
        "rate": (change[0] + failed) / seconds,
        "failed": failed / seconds,
        "waiting": change[ledger.WAITING],
        "batch": change[ledger.COMPUTED_ROWS] / batches if batches else 0.0,
        **{f"p{share}": ledger.quantile(counts, edges, share / 100) for share in (50, 95, 99)},
    }


async def stream(
    read: Callable[[], Rows], describe: Callable[[], dict[str, Any]], *, seconds: float = 1.0
) -> AsyncIterator[bytes]:
    """Server-sent events, one after each `seconds`. `describe` gives the rest of what is told, with `states`."""
    before, then = read(), time.perf_counter()
    while True:
        await asyncio.sleep(seconds)
        now, at = read(), time.perf_counter()
        facts = describe()
        tick = difference(now, before, at - then, facts.pop("states")) | facts
        yield b"data: " + orjson.dumps(tick) + b"\n\n"
        before, then = now, at
