"""Lightning: a module and a DataLoader, strategy="ddp" on two processors; torchrun starts it."""

import sys
import warnings
from pathlib import Path
from typing import Any

import lightning
import torch
from torch.utils.data import DataLoader

from benchmarks.distributed.meter import Meter
from benchmarks.training.lightning_peer import Module
from benchmarks.training.torch_peer import dataset
from benchmarks.training.workloads import WORKLOADS

WORKERS = 2


class Hook(lightning.Callback):
    """Calls the meter after each step of the first worker."""

    def __init__(self, meter: Meter) -> None:
        self.meter = meter

    def on_train_batch_end(self, trainer: lightning.Trainer, _module: Any, outputs: Any, *_: Any) -> None:
        outputs["loss"].item()
        if trainer.is_global_zero:
            self.meter()


def main() -> None:
    """Make the steps, and let the first worker measure them."""
    name, folder, path, steps = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
    torch.set_num_threads(1)
    lightning.seed_everything(0, verbose=False)
    warnings.filterwarnings("ignore", ".*does not have many workers.*")
    rows = DataLoader(dataset(name, folder), batch_size=WORKLOADS[name].batch // WORKERS, shuffle=True)
    trainer = lightning.Trainer(
        accelerator="cpu",
        strategy="ddp",
        devices=WORKERS,
        barebones=True,
        max_epochs=-1,
        max_steps=steps,
        callbacks=[Hook(Meter(path, steps))],
    )
    trainer.fit(Module(name), rows)


if __name__ == "__main__":
    main()
