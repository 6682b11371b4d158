"""The peers: each a program on two workers, in an environment of its own."""

import json
import os
import subprocess
from pathlib import Path
from typing import NamedTuple

from benchmarks.training.environments import BENCHMARKS

FAMILY = {"torch-ddp": "torch", "lightning-ddp": "lightning", "accelerate": "accelerate", "ray-train": "ray-train"}
OWN_WORKERS = {"ray-train"}  # torchrun starts those of all others
MOST_SECONDS = 900
SHOWN_LINES = 3


class Taken(NamedTuple):
    """What a step took: seconds, and bytes that went from one process to another."""

    seconds: float
    bytes: float


class PeerError(Exception):
    """A peer ended without a result; with the last that it wrote."""


def taken(path: Path) -> Taken:
    """What the meter left."""
    return Taken(**json.loads(path.read_text()))


def train(peer: str, python: Path, name: str, folder: Path, steps: int) -> Taken:
    """The same steps of a workload by a peer.

    Raises: PeerError.
    """
    path = folder.with_name(f"{folder.name}-{peer}.json")
    path.unlink(missing_ok=True)
    starter = [] if peer in OWN_WORKERS else ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    module = f"benchmarks.distributed.{peer.replace('-', '_')}_peer"
    command = [str(python), *starter, "-m", module, name, str(folder), str(path), str(steps)]
    # As Lepton's workers: one thread each, and gloo on the loopback device.
    settings = {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", "PYTHONPATH": str(BENCHMARKS.parent)}
    try:
        ran = subprocess.run(
            command,
            cwd=BENCHMARKS.parent,
            env=os.environ | settings,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=MOST_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise PeerError(f"{peer} did not end within {MOST_SECONDS} s") from error
    if ran.returncode or not path.exists():
        said = [line.strip() for line in ran.stdout.splitlines() if line.strip()]
        raise PeerError(f"{peer} ended with {ran.returncode}: {' | '.join(said[-SHOWN_LINES:])}")
    return taken(path)
