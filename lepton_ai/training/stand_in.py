"""The step of a worker that has no rows, where the others count on it while they normalise the batch."""

import contextlib
from typing import Any, Protocol

import torch
from torch import Tensor

from lepton_ai.data import Batch
from lepton_ai.training.masked import answer
from lepton_ai.training.run import Run
from lepton_ai.training.step import Step


class Pool(Protocol):
    """What the layers that normalise batches share: whether the rows here count, and a way to leave the others out."""

    empty: bool

    def alone(self) -> contextlib.AbstractContextManager[None]: ...


def stand_in(step: Step, batches: list[Batch], pool: Pool) -> Tensor:
    """Go through the module forwards and backwards with a row of zeros for each batch, so that each sum over workers
    has its part from here, which is nothing; no gradient is left. Returns a loss of 0."""
    run = step.run
    if step.several(batches):
        step.sizes_of(batches)
    pool.empty = True
    try:
        for batch in batches:
            step.seed()
            x = _one_row(batch.x, run.device)
            with step.within(batch._replace(positions=torch.zeros(1, dtype=torch.int32, device=run.device))):
                outputs, _ = answer(run.forward, x, step.masked)
            if step.masked and not step.several(batches):
                run.job.world.sum(torch.zeros(len(run.job.objective.trained), dtype=torch.float64, device=run.device))
            ends = [each for each in _floats(outputs) if each.requires_grad]
            torch.autograd.backward(ends, [torch.zeros_like(each) for each in ends])
    finally:
        pool.empty = False
    _clear(run)
    return torch.zeros((), device=run.device)


def _clear(run: Run) -> None:
    # What zeros give may be NaN, and so its gradient.
    for each in run.module.parameters():
        each.grad = None


def _one_row(tree: Any, device: torch.device) -> Any:
    if isinstance(tree, dict):
        return {key: _one_row(each, device) for key, each in tree.items()}
    if isinstance(tree, tuple | list):
        return tuple(_one_row(each, device) for each in tree)
    return torch.zeros((1, *tree.shape[1:]), dtype=tree.dtype, device=device)


def _floats(tree: Any) -> list[Tensor]:
    if isinstance(tree, dict):
        return _floats(list(tree.values()))
    if isinstance(tree, tuple | list):
        return [found for each in tree for found in _floats(each)]
    return [tree] if isinstance(tree, Tensor) else []
