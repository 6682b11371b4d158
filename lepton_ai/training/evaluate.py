"""Measuring and predicting: the same forward pass, nothing learnt."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lepton_ai.data import Loader, Missing, check_batch, check_finite, is_resident
from lepton_ai.distributed import World
from lepton_ai.training.masked import answer, makes_masks
from lepton_ai.training.objective import Objective
from lepton_ai.training.run import device_batch

ALONE = World()


@torch.no_grad()
def evaluate(
    module: nn.Module,
    objective: Objective,
    loader: Loader,
    device: torch.device,
    world: World = ALONE,
    penalty: Callable[[], Tensor | None] | None = None,
    missing: Missing = False,
) -> dict[str, float]:
    """The loss and the metrics over all rows of `loader`, exact for any batch size and number of workers.

    Metrics count from nothing and then get back what they held, as of an epoch under way. Batches of a source that is
    not in memory are checked as they come; `missing` says where NaN may stand in the inputs.
    """
    resident = is_resident(loader.source)
    sums = torch.zeros(1 + len(objective.trained), dtype=torch.float64, device=device)
    masked, kept = makes_masks(module), torch.zeros_like(sums[1:])  # rows that count, in each output
    rows = 0
    with _inference(module), objective.fresh(device):
        for cpu_batch in loader.epoch(0):
            if not resident:
                check_batch(cpu_batch, allow_nan=missing)
            batch = device_batch(cpu_batch, device)
            rows += batch.global_rows
            if batch.positions.numel() == 0:
                continue
            outputs, masks = answer(module, batch.x, masked)
            if not resident:
                objective.check(cpu_batch.y, outputs)
            # Of masked outputs the plain sums: batches hold unequal numbers of steps that count.
            losses = objective.losses(outputs, batch, masks=masks, sizes=torch.ones_like(kept) if masked else None)
            sums[0] += objective.total(losses) * batch.global_rows
            for index, loss in enumerate(losses):
                sums[1 + index] += loss * (1 if masked else batch.global_rows)
            if masked:
                kept += objective.sizes(outputs, masks)
            objective.update(outputs, batch.y, masks)
        world.sum(sums)
        if masked:
            means = sums[1:] / world.sum(kept).clamp(min=1)
            sums = torch.stack((objective.total(list(means)), *means)) * rows
        for metric in objective.states:
            world.sum(metric.state)
        results = objective.results()
    extra = None if penalty is None else penalty()
    logs = {"loss": float(sums[0]) / max(1, rows) + (0.0 if extra is None else float(extra))}
    if len(objective.heads) > 1:
        logs |= {f"{head.name}_loss": float(sums[1 + i]) / max(1, rows) for i, head in enumerate(objective.trained)}
    return logs | results


@torch.no_grad()
def predict(module: nn.Module, loader: Loader, device: torch.device, missing: Missing = False) -> Any:
    """The outputs for all rows of `loader`, in order, as numpy arrays in the structure that the module returns."""
    resident = is_resident(loader.source)
    parts = []
    with _inference(module):
        for batch in loader.epoch(0):
            if not resident:
                check_finite(batch.x, "x", missing)
            parts.append(module(device_batch(batch, device).x))
    return _joined(parts)


@contextlib.contextmanager
def _inference(module: nn.Module) -> Iterator[None]:
    training = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(training)


def _joined(parts: list[Any]) -> Any:
    first = parts[0]
    if isinstance(first, dict):
        return {key: _joined([part[key] for part in parts]) for key in first}
    if isinstance(first, tuple | list):
        return type(first)(_joined([part[index] for part in parts]) for index in range(len(first)))
    return np.concatenate([part.cpu().numpy() for part in parts])
