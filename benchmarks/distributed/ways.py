"""Lepton's ways to make the same steps."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch

from benchmarks.distributed.meter import Meter
from benchmarks.distributed.peers import Taken, taken
from benchmarks.training.lepton_models import build, loss
from benchmarks.training.workloads import SIDE, WORKLOADS, read
from lepton_ai.data import ImageFolder
from lepton_ai.distributed import Workers, World, launch, shared_memory
from lepton_ai.distributed.gradients import FACTS, Gradients
from lepton_ai.hal import ExecutionPlan
from lepton_ai.rng import set_seed
from lepton_ai.training import Callback

EXCHANGES = 20


class Hook(Callback):
    """Calls the meter after each step."""

    def __init__(self, meter: Meter) -> None:
        self.meter = meter

    def on_train_batch_end(self, batch: int, logs: dict[str, float]) -> None:
        self.meter()


class Ways:
    """The ways of one workload, whose data lie in a folder, each as a call that makes `steps` steps."""

    def __init__(self, name: str, folder: Path, steps: int) -> None:
        self.name, self.folder, self.steps = name, folder, steps
        self.data: Any = (ImageFolder(folder, size=SIDE), None) if name == "g" else read(folder)

    def all(self, *, peers: bool) -> dict[str, Callable[[], Taken]]:
        """By name; the ceiling and the costly ways only where there are peers to compare with."""
        found: dict[str, Callable[[], Taken]] = {
            "one": lambda: self.train(Workers()),
            "threads": lambda: self.train(Workers(), threads=2),
            "two": lambda: self.train(Workers(count=2)),
            "sockets": self.sockets,
        }
        if peers:
            found |= {
                "local": lambda: self.train(Workers(count=2, batch_norm="local")),
                "exact": lambda: self.train(Workers(count=2, reduction="exact")),
                "bfloat16": lambda: self.train(Workers(count=2, wire="bfloat16")),
                "ceiling": self.ceiling,
            }
        return found

    def train(self, workers: Workers, *, threads: int = 1, half: bool = False, where: str = "meter") -> Taken:
        """One `fit`."""
        path = self.folder.with_name(f"{self.folder.name}-{where}.json")
        path.unlink(missing_ok=True)
        set_seed(0)
        model = build(self.name)
        model.compile("adam", loss(self.name), plan=ExecutionPlan(threads=threads))
        x, y = self.data
        batch = WORKLOADS[self.name].batch // (2 if half else 1)
        hook = Hook(Meter(path, self.steps))
        model.fit(x, y, batch, steps_per_epoch=self.steps, verbose=0, callbacks=[hook], workers=workers)
        return taken(path)

    def sockets(self) -> Taken:
        """As two machines would, and without the exchanges of batch normalisation, so that only gradients travel."""
        with apart():
            return self.train(Workers(count=2, batch_norm="local"))

    def ceiling(self) -> Taken:
        """Half a batch in each of two processes that do not talk; the slower one's."""
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)

            def work(world: World) -> None:
                # Not `Workers(1)` in this world: each must be alone in its own.
                torch.distributed.destroy_process_group()
                self.train(Workers(), half=True, where=f"alone-{world.rank}")
                torch.distributed.init_process_group(
                    "gloo", init_method=f"file://{folder / 'again'}", rank=world.rank, world_size=world.size
                )

            (folder / "workers").mkdir()
            launch(work, 2, folder / "workers")
        found = [taken(self.folder.with_name(f"{self.folder.name}-alone-{rank}.json")) for rank in range(2)]
        return max(found, key=lambda each: each.seconds)

    def gradient_bytes(self) -> int:
        """Of one step."""
        return sum(each.numel() * each.element_size() for each in self._weights())

    def exchange(self) -> float:
        """Seconds to exchange the gradients of a step with nothing to compute meanwhile."""
        weights = self._weights()
        path = self.folder.with_name(f"{self.folder.name}-exchange")

        def work(world: World) -> None:
            gradients = Gradients(weights, world)
            gradients.end(torch.zeros(FACTS))
            began = time.perf_counter()
            for _ in range(EXCHANGES):
                gradients.end(torch.zeros(FACTS))
            if world.leads:
                path.write_text(str((time.perf_counter() - began) / EXCHANGES))

        with tempfile.TemporaryDirectory() as place:
            launch(work, 2, Path(place))
        return float(path.read_text())

    def _weights(self) -> list[torch.nn.Parameter]:
        model, workload = build(self.name), WORKLOADS[self.name]
        model(torch.from_numpy(np.zeros((1, *workload.shape), "int64" if workload.tokens else "float32")))
        return [each for each in model.parameters() if each.requires_grad]


def apart() -> Any:
    """Workers that start meanwhile find no memory that they share, as on two machines."""
    return mock.patch.object(shared_memory, "_shared", return_value=None)


def starting() -> float:
    """Seconds from the call to both workers having met, and back."""
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as place:
        launch(lambda world: world.barrier(), 2, Path(place))
    return time.perf_counter() - began
