"""Who is missing when an exchange fails: those that still wait sign a list that all can read."""

import time

import torch.distributed as dist

from lepton_ai.core import WorkerError

PATIENCE = 3.0
"""Seconds in which the others sign; they fail within moments of each other, since they wait for the same worker."""

LOST = 74
"""How a program of `lepton launch` ends in a worker that lost another: EX_IOERR of sysexits.h."""


class LostWorkerError(WorkerError):
    """Another worker did not take part; `missing` are the ranks that did not sign."""

    missing: list[int] = []


def lost(rank: int, size: int, where: str, waited: float, error: Exception) -> LostWorkerError:
    """The error of a worker whose exchange failed: where it was, who is with it, who is missing."""
    signed = _sign(rank, size, where)
    missing = [each for each in range(size) if each not in signed]
    if missing:
        names = "worker " + ", ".join(str(each) for each in missing)
        other = [f"worker {each} in {place}" for each, place in signed.items() if each != rank]
        company = f"; so did {' and '.join(other)}" if other else ""
        made = LostWorkerError(
            f"worker {rank} of {size} waited {waited:.0f} s in {where}{company}; missing: {names}",
            fix="Its own message or the system's log (out of memory?) says why. If it was slow, raise timeout.",
        )
    else:
        places = "; ".join(f"worker {each} was in {place}" for each, place in signed.items())
        made = LostWorkerError(f"the workers lost each other ({str(error).splitlines()[0]}): {places}")
    made.missing = missing
    return made


def _sign(rank: int, size: int, where: str) -> dict[int, str]:
    """Who signed within `PATIENCE`, and where each of them was."""
    signed = {rank: where}
    try:
        store = dist.distributed_c10d._get_default_store()
        store.set(f"lost/{rank}", where)
        deadline = time.monotonic() + PATIENCE
        while len(signed) < size and time.monotonic() < deadline:
            for each in range(size):
                if each not in signed and store.check([f"lost/{each}"]):
                    signed[each] = store.get(f"lost/{each}").decode()
            time.sleep(0.05)
    except (RuntimeError, ValueError):  # whoever kept the list is gone
        pass
    return dict(sorted(signed.items()))
