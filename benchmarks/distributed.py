"""What several workers cost and bring on one machine.

    python -m benchmarks.distributed

On the CNN of 128x128 pictures and ResNet-18 of the benchmark of training, steps of one batch:

- `one`: one worker of one thread; `threads`: one worker of two threads;
- `two`: two workers of one thread that share each batch; `exact`: the same with reduction="exact";
- `ceiling`: two processes of one thread that each train on half batches and never talk: what this machine has to give.

All take turns, the order of a turn alternating; a ratio is of the times within one turn. A time is that of the steps
after the first, by the leader's clock, so that neither forking nor the first step's warming up counts; what starting
costs is measured by itself. Writes benchmarks/results/distributed.json: medians, with the smallest and the largest.
"""

import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.training.lepton_models import build, loss
from benchmarks.training.workloads import WORKLOADS, read, write
from lepton_ai.core import this_machine, write_atomic
from lepton_ai.distributed import Workers, World, launch
from lepton_ai.hal import ExecutionPlan
from lepton_ai.training import Callback

RESULTS = Path(__file__).parent / "results" / "distributed.json"
TURNS = 5
STEPS = {"b": 12, "e": 6}


class Clock(Callback):
    """Leaves the seconds of all steps after the second in a file."""

    def __init__(self, path: Path) -> None:
        self.path, self.ends = path, list[float]()

    def on_train_batch_end(self, batch: int, logs: dict[str, float]) -> None:
        self.ends.append(time.perf_counter())

    def on_train_end(self) -> None:
        write_atomic(self.path, repr((self.ends[-1] - self.ends[1]) / (len(self.ends) - 2)).encode())


def train(name: str, data: Any, path: Path, workers: Workers, *, threads: int = 1, half: bool = False) -> float:
    """Seconds for a step."""
    x, y = data
    model = build(name)
    model.compile("adam", loss(name), plan=ExecutionPlan(threads=threads))
    batch = WORKLOADS[name].batch // (2 if half else 1)
    model.fit(x, y, batch, steps_per_epoch=STEPS[name], verbose=0, callbacks=[Clock(path)], workers=workers)
    return float(path.read_text())


def ceiling(name: str, data: Any, folder: Path) -> float:
    """Seconds for a step of half a batch in each of two processes, the slower one's."""

    def work(world: World) -> None:
        # Not `Workers(1)` in this world: each must be alone in its own.
        torch.distributed.destroy_process_group()
        train(name, data, folder / f"alone-{world.rank}", Workers(), half=True)
        torch.distributed.init_process_group(
            "gloo", init_method=f"file://{folder / 'again'}", rank=world.rank, world_size=world.size
        )

    (folder / "again").unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as place:
        launch(work, 2, Path(place))
    return max(float((folder / f"alone-{rank}").read_text()) for rank in range(2))


def starting() -> float:
    """Seconds from the call to both workers having met, and back."""
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as place:
        launch(lambda world: world.barrier(), 2, Path(place))
    return time.perf_counter() - began


def measure(name: str) -> dict[str, Any]:
    """All turns of one workload."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write(name, folder)
        data = read(folder)
        path = folder / "clock"
        ways: dict[str, Callable[[], float]] = {
            "one": lambda: train(name, data, path, Workers()),
            "threads": lambda: train(name, data, path, Workers(), threads=2),
            "two": lambda: train(name, data, path, Workers(count=2)),
            "exact": lambda: train(name, data, path, Workers(count=2, reduction="exact")),
            "bfloat16": lambda: train(name, data, path, Workers(count=2, wire="bfloat16")),
            "ceiling": lambda: ceiling(name, data, folder),
        }
        turns: list[dict[str, float]] = []
        for turn in range(TURNS):
            order = list(ways)[:: -1 if turn % 2 else 1]
            turns.append({way: ways[way]() for way in order})
            print(name, {way: round(seconds, 4) for way, seconds in turns[-1].items()}, flush=True)
    size = sum(each.numel() * each.element_size() for each in build_weights(name))
    return {
        "seconds per step": {way: spread([turn[way] for turn in turns]) for way in ways},
        "two over one": spread([turn["one"] / turn["two"] for turn in turns]),
        "ceiling over one": spread([turn["one"] / turn["ceiling"] for turn in turns]),
        "two, of the ceiling (target 0.92)": spread([turn["ceiling"] / turn["two"] for turn in turns]),
        "two over two threads (target 0.9)": spread([turn["threads"] / turn["two"] for turn in turns]),
        "exact, of the usual sum": spread([turn["two"] / turn["exact"] for turn in turns]),
        "bfloat16, of the usual sum": spread([turn["two"] / turn["bfloat16"] for turn in turns]),
        "bytes of gradients": size,
    }


def build_weights(name: str) -> list[torch.Tensor]:
    """The weights of a workload's model."""
    model = build(name)
    dtype = "int64" if WORKLOADS[name].tokens else "float32"
    model(torch.from_numpy(np.zeros((1, *WORKLOADS[name].shape), dtype)))
    return [each.detach() for each in model.parameters()]


def spread(values: list[float]) -> dict[str, float]:
    """The median, the smallest and the largest."""
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def main() -> None:
    """Measure, and write the results."""
    starting()
    result = {
        "machine": this_machine().describe(),
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "turns": TURNS,
        "starting two workers, seconds (target 3)": spread([starting() for _ in range(TURNS)]),
        "workloads": {WORKLOADS[name].title: measure(name) for name in STEPS},
    }
    write_atomic(RESULTS, json.dumps(result, indent=1).encode() + b"\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
