"""The job that a run is given."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from torch import Tensor, nn

from lepton_ai.data import Loader, Missing
from lepton_ai.distributed import Workers, World
from lepton_ai.hal import ExecutionPlan
from lepton_ai.training.callbacks import Callback
from lepton_ai.training.freezing import Freezing
from lepton_ai.training.mixing import Augmentation
from lepton_ai.training.objective import Objective
from lepton_ai.training.optimizers import Optimizer


@dataclass(kw_only=True)
class Job:
    """What to train, on what, for what, for how long.

    `penalty` gives the regularisation of the module, if it has one; `constrain` projects its weights after each step,
    if some have limits. `freezing` lets layers train from some epoch on. `folder` is where the run keeps its
    checkpoints, taken `checkpoint_every` so many steps or such a time ("5min"; by one worker alone) and after every
    epoch: the job goes on from the newest. `missing` says where NaN may stand in inputs. `result` is where the leader
    leaves the final state, for a caller in another process. `augment` changes inputs and targets together in training.
    `workers` says how those of `world` train together; `pooled` lets the module normalise batches over all of them,
    given a sum over workers. `snapshots` is a folder that only replacements of lost workers go on from; `ragged` says
    that batches may differ in more than their rows.
    With `race`, `plan` is where the race for a faster one sets out from; when the job has run it is the plan that was
    run, and `given` what was asked for. `settled` is a line about what else was chosen by measuring.
    """

    module: nn.Module
    objective: Objective
    optimizer: Optimizer
    loader: Loader
    epochs: int = 1
    initial_epoch: int = 0
    validation: Loader | None = None
    validation_freq: int = 1
    callbacks: list[Callback] = field(default_factory=list)
    class_weight: Tensor | None = None
    penalty: Callable[[], Tensor | None] | None = None
    constrain: Callable[[], None] | None = None
    freezing: Freezing | None = None
    augment: tuple[Augmentation, ...] = ()
    plan: ExecutionPlan = field(default_factory=ExecutionPlan)
    race: bool = False
    settled: str = ""
    missing: Missing = False
    seed: int = 0
    folder: Path | None = None
    checkpoint_every: int | str = "5min"
    result: Path | None = None
    world: World = field(default_factory=World)
    workers: Workers = field(default_factory=Workers)
    pooled: Callable[[Callable[[Tensor], Tensor]], contextlib.AbstractContextManager[Any]] | None = None
    snapshots: Path | None = None
    ragged: bool = False
    given: Any = field(init=False)

    def __post_init__(self) -> None:
        self.given = "auto" if self.race else msgspec.to_builtins(self.plan)
