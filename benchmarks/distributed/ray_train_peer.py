"""Ray Train: TorchTrainer on a local Ray of two processors, with model and DataLoader prepared by it."""

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import ray
import torch
from ray.train import RunConfig, ScalingConfig, get_context
from ray.train.torch import TorchTrainer, prepare_data_loader, prepare_model
from torch.utils.data import DataLoader

from benchmarks.distributed.meter import Meter
from benchmarks.training import torch_models
from benchmarks.training.torch_peer import dataset, step
from benchmarks.training.workloads import WORKLOADS

WORKERS = 2


def train(config: dict[str, Any]) -> None:
    """The loop of one worker."""
    name, steps = config["name"], config["steps"]
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = prepare_model(torch_models.build(name).train())
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    share = WORKLOADS[name].batch // WORKERS
    batches = prepare_data_loader(DataLoader(dataset(name, Path(config["folder"])), batch_size=share, shuffle=True))
    meter = Meter(Path(config["path"]), steps)
    left = steps
    while left:
        for x, y in batches:
            step(name, model, optimizer, x, y)
            if get_context().get_world_rank() == 0:
                meter()
            left -= 1
            if not left:
                break


def main() -> None:
    """Make the steps, and let the first worker measure them."""
    name, folder, path, steps = sys.argv[1:5]
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    with tempfile.TemporaryDirectory(prefix="ray-") as place:
        ray.init(num_cpus=WORKERS + 1, include_dashboard=False, _temp_dir=place, logging_level="error")
        TorchTrainer(
            train,
            train_loop_config={"name": name, "folder": folder, "path": path, "steps": int(steps)},
            scaling_config=ScalingConfig(num_workers=WORKERS),
            run_config=RunConfig(storage_path=place),
        ).fit()
        ray.shutdown()


if __name__ == "__main__":
    main()
