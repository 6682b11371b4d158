"""From rounds to figures, and from figures to targets met or missed."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from benchmarks.training.intervals import Estimate, geometric_mean, median
from benchmarks.training.workloads import ARRAYS

RIVALS = ("keras-jax", "keras-tensorflow", "keras-torch", "lightning")
BY_HAND = "torch"
SINGLE = ("lepton", *RIVALS, BY_HAND, "torch-dataloader", "torch-allocator")  # who computes in float32 alone
ANY_RIVAL = (*RIVALS, "keras-jax-bfloat16", "keras-tensorflow-bfloat16")
ANY_BY_HAND = (BY_HAND, "torch-bfloat16")
MEAN, IMAGES, STRETCH, START, MEMORY = 1.25, 1.5, 1.5, 1.10, 1.25


def speeds(workload: dict[str, Any]) -> dict[str, list[float]]:
    """Samples per second of each peer, round by round."""
    rounds = [each["samples_per_second"] for each in workload["rounds"]]
    return {peer: [each[peer] for each in rounds] for peer in (rounds[0] if rounds else ())}


def ratios(workload: dict[str, Any], peer: str | None, own: str = "lepton") -> list[float]:
    """How many times as fast as a peer Lepton was, in each round; empty where one of them is missing."""
    measured = speeds(workload)
    if peer not in measured or own not in measured:
        return []
    return [ours / theirs for ours, theirs in zip(measured[own], measured[peer], strict=True)]


def best_rival(workload: dict[str, Any], rivals: Sequence[str] = RIVALS) -> str | None:
    """The fastest of Keras and Lightning, or of others, by the median."""
    measured = {peer: float(np.median(each)) for peer, each in speeds(workload).items() if peer in rivals}
    return max(measured, key=lambda peer: measured[peer], default=None)


def summarize(workload: dict[str, Any]) -> dict[str, Any]:
    """The medians of a workload, with their intervals."""
    measured = speeds(workload)
    return {
        "samples_per_second": {peer: asdict(median(each)) for peer, each in measured.items()},
        "times_as_fast_as": _beside(workload, "lepton", SINGLE),
        "auto_times_as_fast_as": _beside(workload, "lepton-auto", (*measured,)),
        "best_rival": best_rival(workload),
    }


def _beside(workload: dict[str, Any], own: str, peers: Sequence[str]) -> dict[str, Any]:
    found = {peer: ratios(workload, peer, own) for peer in peers if peer != own}
    return {peer: asdict(median(each)) for peer, each in found.items() if each}


def means(workloads: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Geometric means over the workloads on arrays that were measured."""
    measured = [workloads[name] for name in ARRAYS if name in workloads]
    groups = {
        "best rival": [ratios(each, best_rival(each)) for each in measured],
        "plain loop": [ratios(each, BY_HAND) for each in measured],
        "best rival in any precision": [ratios(each, best_rival(each, ANY_RIVAL), "lepton-auto") for each in measured],
        "plain loop in any precision": [
            ratios(each, best_rival(each, ANY_BY_HAND), "lepton-auto") for each in measured
        ],
    }
    return {what: asdict(geometric_mean(group)) for what, group in groups.items() if group and all(group)}


def _auto(workload: dict[str, Any], peers: Sequence[str]) -> list[float]:
    return ratios(workload, best_rival(workload, peers), "lepton-auto")


def targets(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Each target with its figure; `met` is None where something that it needs was not measured."""
    workloads, averages = report["workloads"], report["geometric_means"]
    pairs = list(_pairs(workloads))
    complete = _whole(pairs, ARRAYS)
    rows = []
    for what, average in (
        ("beside the best of Keras and Lightning", "best rival"),
        ("beside the plain loop", "plain loop"),
        ('plan="auto", beside the best of them in float32 or bfloat16', "best rival in any precision"),
        ('plan="auto", beside the plain loop in float32 or bfloat16', "plain loop in any precision"),
    ):
        found = averages.get(average) if complete else None
        title = f"geometric mean over (a) to (f), {what}"
        rows.append(_row(title, f"at least {MEAN}x", found and found["value"], found and found["value"] >= MEAN))
    for title, names, least in (
        ("(a) and (b), beside both", ("a", "b"), IMAGES),
        ("stretch: (a) to (f), beside both", ARRAYS, STRETCH),
    ):
        chosen = [pair for pair in pairs if pair[0] in names]
        lowest = min(chosen, key=lambda pair: pair[2].value, default=None)
        met = lowest[2].value >= least if lowest is not None and _whole(chosen, names) else None
        rows.append(_row(title, f"at least {least}x", lowest and lowest[2].value, met, _where(lowest)))
    lowest = min(pairs, key=lambda pair: pair[2].high, default=None)
    met = lowest[2].high >= 1 if lowest is not None and complete else None
    title = "no interval wholly below 1"
    rows.append(_row(title, "upper end 1 or more", lowest and lowest[2].high, met, _where(lowest)))
    return [*rows, *_starts(report["first_batch"]), _memory(workloads)]


def _pairs(workloads: dict[str, Any]) -> Iterable[tuple[str, str, Estimate]]:
    """For each workload on arrays, Lepton beside the best rival and beside the plain loop."""
    for name in (each for each in ARRAYS if each in workloads):
        for peer in (best_rival(workloads[name]), BY_HAND):
            found = ratios(workloads[name], peer) if peer else []
            if found and peer:
                yield name, peer, median(found)


def _whole(pairs: Sequence[tuple[str, str, Estimate]], names: Sequence[str]) -> bool:
    """Whether each workload was compared with both."""
    return all(sum(pair[0] == name for pair in pairs) == 2 for name in names)


def _where(pair: tuple[str, str, Estimate] | None) -> str:
    return "" if pair is None else f"lowest: ({pair[0]}) beside {pair[1]}"


def _starts(starts: dict[str, dict[str, list[float]]]) -> Iterable[dict[str, Any]]:
    """The time to the first trained batch, as a share of the others'."""
    medians = {name: {peer: float(np.median(each)) for peer, each in taken.items()} for name, taken in starts.items()}
    rival, by_hand = [], []
    for name, taken in medians.items():
        if "lepton" in taken:
            rival += [(taken["lepton"] / taken[peer], name, peer) for peer in RIVALS if peer in taken]
            by_hand += [(taken["lepton"] / taken[BY_HAND], name, BY_HAND)] if BY_HAND in taken else []
    for title, wanted, most, found in (
        ("first trained batch, beside Keras and Lightning", "below 1x the time", 1.0, rival),
        ("first trained batch, beside the plain loop", f"at most {START}x the time", START, by_hand),
    ):
        worst = max(found, default=None)
        met = None if worst is None else worst[0] < most if most == 1 else worst[0] <= most
        note = "" if worst is None else f"highest: ({worst[1]}) beside {worst[2]}"
        yield _row(title, wanted, worst and worst[0], met, note)


def _memory(workloads: dict[str, Any]) -> dict[str, Any]:
    found = [
        (peaks["lepton"] / peaks[BY_HAND], name)
        for name, peaks in ((name, each["peak_bytes"]) for name, each in workloads.items())
        if "lepton" in peaks and BY_HAND in peaks
    ]
    worst = max(found, default=None)
    met = None if worst is None else worst[0] <= MEMORY
    note = "" if worst is None else f"highest: ({worst[1]})"
    return _row("peak memory, beside the plain loop", f"at most {MEMORY}x", worst and worst[0], met, note)


def _row(target: str, wanted: str, figure: float | None, met: bool | None, note: str = "") -> dict[str, Any]:
    return {"target": target, "wanted": wanted, "figure": figure, "met": met, "note": note}
