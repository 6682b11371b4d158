"""Lepton: `compile` and `fit`, and a profile of its steps."""

import os
from pathlib import Path
from typing import Any

from benchmarks.training import lepton_models
from benchmarks.training.peer import Pace, versions_of
from benchmarks.training.workloads import SIDE, WORKLOADS, read
from lepton_ai.data import ImageFolder
from lepton_ai.rng import set_seed
from lepton_ai.training import Adam, Callback

WARM, PROFILED, SHOWN = 5, 20, 12
FOREVER = 10**9


class Hook(Callback):
    """Calls the pace after each step."""

    def __init__(self, pace: Pace) -> None:
        self.pace = pace

    def on_train_begin(self) -> None:
        self.pace.plan = self.run.history.plan
        self.pace.begin()

    def on_train_batch_end(self, batch: int, logs: Any) -> None:
        self.pace()


class Profiler(Callback):
    """Profiles some steps by operator, and ends the process."""

    def __init__(self, pace: Pace, steps: int) -> None:
        self.pace, self.steps, self.seen = pace, steps, 0

    def on_train_batch_end(self, batch: int, logs: Any) -> None:
        from torch.profiler import ProfilerActivity, profile

        self.seen += 1
        if self.seen == WARM:
            self.profile = profile(activities=[ProfilerActivity.CPU])
            self.profile.__enter__()
        elif self.seen == WARM + self.steps:
            self.profile.__exit__(None, None, None)
            self.pace.say_profile(most_expensive(self.profile.key_averages()), self.steps)


def most_expensive(averages: Any) -> list[dict[str, Any]]:
    """The operators with the most processor time of their own, and their share of all."""
    total = sum(each.self_cpu_time_total for each in averages)
    ranked = sorted(averages, key=lambda each: -each.self_cpu_time_total)
    return [
        {
            "operator": each.key,
            "calls": each.count,
            "self_cpu_ms": each.self_cpu_time_total / 1e3,
            "share": each.self_cpu_time_total / total,
        }
        for each in ranked[:SHOWN]
    ]


def train(peer: str, name: str, folder: Path, mode: str) -> None:
    """`fit` on arrays, or on a folder of pictures; under the default plan, or one that a race picks before the first
    round."""
    pace = Pace(mode, versions_of("lepton-ai", "torch", "numpy"))
    set_seed(0)
    model = lepton_models.build(name)
    pace.parameters = lambda: lepton_models.trained(model)
    workload = WORKLOADS[name]
    plan = "auto" if peer == "lepton-auto" else "default"
    model.compile(optimizer=Adam(1e-3), loss=lepton_models.loss(name), plan=plan)
    x, y = (ImageFolder(folder, size=SIDE), None) if name == "g" else read(folder)
    hook = Profiler(pace, 5 if name in ("b", "e", "f", "g") else PROFILED) if mode == "profile" else Hook(pace)
    os.environ["HOME"] = str(folder.with_name("home"))  # so that a plan of an earlier day is not remembered
    model.fit(x, y, batch_size=workload.batch, epochs=FOREVER, verbose=0, callbacks=[hook])
