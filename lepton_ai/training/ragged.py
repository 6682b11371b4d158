"""Batches whose rows differ in length, padded by each worker to what the whole batch needs."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lepton_ai.data import Batch
from lepton_ai.distributed import World


def padded(batch: Batch, world: World) -> Batch:
    """The batch with zeros behind what is shorter than in another worker's part: inputs and targets, every axis but
    the first."""
    leaves = [each for tree in (batch.x, batch.y) for each in _leaves(tree) if each.ndim > 1]
    sizes = torch.tensor([size for each in leaves for size in each.shape[1:]], dtype=torch.int64)
    wanted = iter(world.most(sizes).tolist())

    def pad(tree: Any) -> Any:
        if isinstance(tree, dict):
            return {key: pad(each) for key, each in tree.items()}
        if isinstance(tree, tuple | list):
            return tuple(pad(each) for each in tree)
        if not isinstance(tree, Tensor) or tree.ndim < 2:
            return tree
        missing = [next(wanted) - size for size in tree.shape[1:]]
        return F.pad(tree, [each for more in missing[::-1] for each in (0, more)]) if any(missing) else tree

    return batch._replace(x=pad(batch.x), y=pad(batch.y))


def _leaves(tree: Any) -> list[Tensor]:
    if isinstance(tree, dict):
        return [found for each in tree.values() for found in _leaves(each)]
    if isinstance(tree, tuple | list):
        return [found for each in tree for found in _leaves(each)]
    return [tree] if isinstance(tree, Tensor) else []
