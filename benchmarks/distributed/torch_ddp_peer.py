"""torch's DistributedDataParallel around a loop by hand; torchrun starts it."""

import sys
from collections.abc import Callable
from pathlib import Path

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from benchmarks.distributed.meter import Meter
from benchmarks.training import torch_models
from benchmarks.training.torch_peer import step, tensors
from benchmarks.training.workloads import WORKLOADS


def main() -> None:
    """Make the steps, and let the first worker measure them."""
    name, folder, path, steps = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    rank, size = dist.get_rank(), dist.get_world_size()
    torch.manual_seed(0)
    model = DistributedDataParallel(torch_models.build(name).train())
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    meter: Callable[[], None] = Meter(path, steps) if rank == 0 else lambda: None
    x, y = tensors(folder)
    batch = WORKLOADS[name].batch
    order = torch.empty(0, dtype=torch.long)
    for _ in range(steps):
        if len(order) < batch:
            order = torch.randperm(len(x))  # of the same seed on both
        mine, order = order[:batch][rank::size], order[batch:]
        step(name, model, optimizer, x[mine], y[mine])
        meter()
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
