"""One workload: all its peers in turns."""

import os
import random
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.training.intervals import counts, ticks
from benchmarks.training.processes import Peer, PeerError, first_batch
from benchmarks.training.workloads import ARRAYS, WORKLOADS

REPEATS = 2  # so many times as many rounds as asked for, at most
MOST_AWAKE, MOST_LATE, FEW_TICKS = 0.02, 0.05, 0.1


def measure(name: str, folder: Path, pythons: Mapping[str, Path], rounds: int, seconds: float) -> dict[str, Any]:
    """The rounds of a workload, peak memory, versions, and the peers that failed, with why.

    Raises: ValueError if peers train different numbers of weights.
    """
    peers, failed = _start(name, folder, pythons, seconds)
    try:
        same_size(name, {peer.name: peer.parameters for peer in peers})
        kept, repeated = _rounds(name, peers, rounds, failed)
        ends = {peer.name: peer.stop() for peer in peers}
    finally:
        for peer in peers:
            peer.close()
    return {
        "title": WORKLOADS[name].title,
        "batch": WORKLOADS[name].batch,
        "rows": WORKLOADS[name].rows,
        "parameters": peers[0].parameters if peers else None,
        "steps_per_round": {peer.name: peer.steps for peer in peers},
        "rounds": kept,
        "repeated": repeated,
        "peak_bytes": {peer: end["peak_bytes"] for peer, end in ends.items()},
        "versions": {peer: end["versions"] for peer, end in ends.items()},
        "plans": {peer: end["plan"] for peer, end in ends.items() if end["plan"]},
        "failed": failed,
    }


def same_size(name: str, parameters: Mapping[str, int]) -> None:
    """Raise a ValueError unless all peers train as many weights."""
    if len(set(parameters.values())) > 1:
        raise ValueError(f"({name}) peers train different numbers of weights: {dict(parameters)}")


def start_ups(folder: Path, name: str, pythons: Mapping[str, Path], starts: int) -> dict[str, list[float]]:
    """Seconds to the first trained batch, `starts` times in turns, after one start each that reads the files in."""
    taken: dict[str, list[float]] = {peer: [] for peer in pythons}
    order, draw = list(pythons), random.Random(0)
    for turn in range(starts + 1):
        draw.shuffle(order)
        for peer in order:
            try:
                seconds = first_batch(peer, pythons[peer], name, folder)
            except PeerError as error:
                print(f"   {error}", flush=True)
                continue
            if turn:
                taken[peer].append(seconds)
    return {peer: seconds for peer, seconds in taken.items() if seconds}


def _start(name: str, folder: Path, pythons: Mapping[str, Path], seconds: float) -> tuple[list[Peer], dict[str, str]]:
    """One after the other, so that none is warmed up while another is."""
    peers, failed = [], {}
    for each, python in pythons.items():
        peer = Peer(each, python, name, folder)
        try:
            peer.hear()
            peer.calibrate(WORKLOADS[name].lead, seconds)
            peers.append(peer)
        except PeerError as error:
            failed[each] = str(error)
            print(f"   left out: {error}", flush=True)
            peer.close()
    return peers, failed


def _rounds(
    name: str, peers: list[Peer], rounds: int, failed: dict[str, str]
) -> tuple[list[dict[str, Any]], list[str]]:
    """Rounds that count, and why others do not. A peer that ends on the way is taken out of all of them."""
    kept: list[dict[str, Any]] = []
    reasons: list[str] = []
    order, draw = list(peers), random.Random(0)
    while order and len(kept) < rounds and len(kept) + len(reasons) < REPEATS * rounds:
        draw.shuffle(order)
        try:
            made = _round(name, order)
        except PeerError as error:
            lost = next(peer for peer in order if peer.name == error.peer)
            failed[lost.name] = str(error)
            order.remove(lost)
            peers.remove(lost)
            lost.close()
            for each in kept:
                each["samples_per_second"].pop(lost.name)
            print(f"   left out: {error}", flush=True)
            continue
        faults = made.pop("faults")
        if not counts(made["stolen"]):
            faults.append(f"{made['stolen']:.0%} of the processor were stolen by the host")
        if faults:
            reasons.append("; ".join(faults))
            print(f"   a round is repeated: {reasons[-1]}", flush=True)
        else:
            kept.append(made)
    return kept, reasons


def _round(name: str, order: list[Peer]) -> dict[str, Any]:
    """Every peer once. `awake` and `late` are the most processor time that one used while it waited, and after it said
    that it was done, over the time of a turn; too much is a fault, since the clock did not see that work."""
    began, ours = ticks(), sum(peer.used() for peer in order)
    rates, awake, late, faults = {}, 0.0, 0.0, []
    for peer in order:
        others = [each for each in order if each is not peer]
        before, started = [each.used() for each in others], time.perf_counter()
        seconds = peer.train(WORKLOADS[name].lead, peer.steps)
        turn = time.perf_counter() - started
        rates[peer.name] = peer.steps * WORKLOADS[name].batch / seconds
        used = [each.used() for each in others]
        for each, earlier, later in zip(others, before, used, strict=True):
            awake = max(awake, (later - earlier) / turn)
            if later - earlier > max(MOST_AWAKE * turn, FEW_TICKS):
                faults.append(f"{each.name} used {later - earlier:.2f} s while {peer.name} was measured")
        after = peer.settle()
        late = max(late, after / turn)
        # Loaders of files fetch ahead; on arrays there is nothing left to do.
        if name in ARRAYS and after > max(MOST_LATE * turn, FEW_TICKS):
            faults.append(f"{peer.name} used {after:.2f} s after it said that it was done")
    ended, ours = ticks(), sum(peer.used() for peer in order) - ours
    return {
        "samples_per_second": rates,
        "stolen": ended.share_since(began),
        "others": ended.others_since(began, ours * os.sysconf("SC_CLK_TCK")),
        "awake": awake,
        "late": late,
        "faults": faults,
    }
