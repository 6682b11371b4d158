"""Lightning: a module, a DataLoader, a bare Trainer."""

import warnings
from pathlib import Path
from typing import Any

import lightning
import torch
from torch import Tensor

from benchmarks.training import torch_models
from benchmarks.training.peer import Pace, versions_of
from benchmarks.training.torch_peer import loader


class Module(lightning.LightningModule):
    """The model of a workload, as Lightning trains it."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.workload, self.model = name, torch_models.build(name)

    def training_step(self, batch: Any, _: int) -> Tensor:
        x, y = batch
        return torch_models.loss(self.workload, self.model(x), y)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=1e-3)


class Hook(lightning.Callback):
    """Calls the pace after each step."""

    def __init__(self, pace: Pace) -> None:
        self.pace = pace

    def on_train_start(self, *_: Any) -> None:
        self.pace.begin()

    def on_train_batch_end(self, *_: Any) -> None:
        self.pace()


def train(_: str, name: str, folder: Path, mode: str) -> None:
    """`Trainer.fit` with all that it can leave out left out: no logs, bars, checkpoints or summaries."""
    pace = Pace(mode, versions_of("lightning", "torch", "numpy"))
    lightning.seed_everything(0, verbose=False)
    warnings.filterwarnings("ignore", ".*does not have many workers.*")
    module = Module(name)
    pace.parameters = lambda: torch_models.trained(module)
    trainer = lightning.Trainer(barebones=True, max_epochs=-1, callbacks=[Hook(pace)])
    trainer.fit(module, loader(name, folder))
