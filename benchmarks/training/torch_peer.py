"""The loops by hand in torch: on tensors, with a DataLoader, and on tensors with Lepton's allocator setting."""

import ctypes
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from benchmarks.training import torch_models
from benchmarks.training.peer import BFLOAT16, Pace, versions_of
from benchmarks.training.workloads import CUT, SIDE, WORKLOADS, read

WORKERS = 2  # of a DataLoader that decodes; arrays need none


class Pictures(Dataset[tuple[Tensor, int]]):
    """A folder of pictures: each resized, cropped at a random place, and mirrored at random."""

    def __init__(self, folder: Path) -> None:
        labels = sorted(path.name for path in folder.iterdir())
        self.files = [(path, labels.index(path.parent.name)) for path in sorted(folder.rglob("*.jpg"))]

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        path, label = self.files[index]
        with Image.open(path) as opened:
            image = opened.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR)
        top, left = torch.randint(0, SIDE - CUT + 1, (2,)).tolist()
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[:, top : top + CUT, left : left + CUT]
        if torch.rand(()) < 0.5:
            pixels = pixels.flip(-1)
        return pixels.float() / 255, label


def tensors(folder: Path) -> tuple[Tensor, Tensor]:
    """The arrays of a workload as tensors; images channels first."""
    x, y = (torch.from_numpy(each) for each in read(folder))
    return (x.permute(0, 3, 1, 2).contiguous() if x.ndim == 4 else x), y


def dataset(name: str, folder: Path) -> Dataset[Any]:
    """What a DataLoader takes."""
    return Pictures(folder) if name == "g" else TensorDataset(*tensors(folder))


def loader(name: str, folder: Path) -> DataLoader[Any]:
    """In a new order each epoch; workers stay where there are any."""
    workers = WORKERS if name == "g" else 0
    return DataLoader(
        dataset(name, folder),
        batch_size=WORKLOADS[name].batch,
        shuffle=True,
        num_workers=workers,
        persistent_workers=workers > 0,
    )


def keep_freed_memory() -> None:
    """As lepton_ai.hal does it: glibc keeps up to a GiB of freed memory, instead of giving it back in each step."""
    libc = ctypes.CDLL(None)
    for threshold in (-3, -1):  # M_MMAP_THRESHOLD, M_TRIM_THRESHOLD
        libc.mallopt(threshold, 2**30)


def train(peer: str, name: str, folder: Path, mode: str) -> None:
    """The loop; it ends with the process."""
    pace = Pace(mode, versions_of("torch", "numpy", "pillow"))
    torch.manual_seed(0)
    if peer == "torch-allocator":
        keep_freed_memory()
    model = torch_models.build(name).train()
    pace.parameters = lambda: torch_models.trained(model)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    if peer == "torch-dataloader":
        batches = loader(name, folder)
        pace.begin()
        while True:
            for x, y in batches:
                step(name, model, optimizer, x, y)
                pace()
    size = WORKLOADS[name].batch
    rows: Any = Pictures(folder) if name == "g" else tensors(folder)
    count = len(rows) if name == "g" else len(rows[0])
    narrow = peer.endswith(BFLOAT16)
    pace.begin()
    while True:
        order = torch.randperm(count)
        for first in range(0, count, size):
            chosen = order[first : first + size]
            if name == "g":
                x, y = torch.utils.data.default_collate([rows[index] for index in chosen.tolist()])
            else:
                x, y = rows[0][chosen], rows[1][chosen]
            step(name, model, optimizer, x, y, narrow)
            pace()


def step(
    name: str, model: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor, narrow: bool = False
) -> float:
    """One step; the loss, which everybody reads. `narrow` computes the outputs in bfloat16 where that is safe."""
    optimizer.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=narrow):
        outputs = model(x)
    loss = torch_models.loss(name, outputs.float(), y)
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return loss.item()
