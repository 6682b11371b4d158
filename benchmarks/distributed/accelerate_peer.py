"""Accelerate: a loop by hand, with model, optimiser and DataLoader prepared by it; torchrun starts it."""

import sys
from collections.abc import Callable
from pathlib import Path

import torch
from accelerate import Accelerator
from torch.utils.data import DataLoader

from benchmarks.distributed.meter import Meter
from benchmarks.training import torch_models
from benchmarks.training.torch_peer import dataset
from benchmarks.training.workloads import WORKLOADS


def main() -> None:
    """Make the steps, and let the first worker measure them."""
    name, folder, path, steps = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
    accelerator = Accelerator(cpu=True)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = torch_models.build(name).train()
    share = WORKLOADS[name].batch // accelerator.num_processes
    rows = DataLoader(dataset(name, folder), batch_size=share, shuffle=True)
    model, optimizer, batches = accelerator.prepare(model, torch.optim.Adam(model.parameters(), lr=1e-3), rows)
    meter: Callable[[], None] = Meter(path, steps) if accelerator.is_main_process else lambda: None
    left = steps
    while left:
        for x, y in batches:
            optimizer.zero_grad()
            loss = torch_models.loss(name, model(x), y)
            accelerator.backward(loss)
            optimizer.step()
            loss.item()
            meter()
            left -= 1
            if not left:
                break
    accelerator.end_training()


if __name__ == "__main__":
    main()
