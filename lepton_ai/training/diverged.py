"""Where a loss stopped being finite: the step is made once more, and every layer watched."""

from typing import Any

import torch
from torch import Tensor, nn

from lepton_ai.data import Batch
from lepton_ai.training.masked import answer
from lepton_ai.training.step import Piece, Step

_SHOWN = 5


def first_bad(step: Step, batches: list[Batch]) -> str:
    """What in this step was first not finite, in words; empty if this worker finds nothing.

    The weights must be those from before the step. Running statistics stay as they are.
    """
    found = bad_weight(step.run.module)
    if found:
        return f"{found} before the step: the gradient of the step before was not"
    held = [each.clone() for each in step.run.module.buffers()]
    offset = 0
    try:
        step.seed()
        with torch.no_grad():
            for piece in step.pieces(batches):
                found = _watched(step, piece, offset)
                if found:
                    return found
                offset += piece.batch.positions.numel()
    finally:
        for buffer, value in zip(step.run.module.buffers(), held, strict=True):
            buffer.copy_(value)
    return ""


def bad_weight(module: nn.Module) -> str:
    """The first weight that is not finite, in words."""
    for name, value in module.named_parameters():
        if not bool(torch.isfinite(value).all()):
            path, _, own = name.rpartition(".")
            return f"the {own} of {_layer(path, module.get_submodule(path))} was not finite"
    return ""


def _watched(step: Step, piece: Piece, offset: int) -> str:
    """The first layer that makes of finite values others, or the loss."""
    run, found, rows = step.run, list[str](), piece.batch.positions.numel()
    if rows == 0:
        return ""

    def watch(path: str) -> Any:
        def hook(module: nn.Module, given: Any, made: Any) -> None:
            if not found and all(bool(torch.isfinite(each).all()) for each in _floats(given)):
                bad = [each for each in _floats(made) if not bool(torch.isfinite(each).all())]
                if bad:
                    found.append(f"the output of {_layer(path, module)} is not finite{_which(bad[0], rows, offset)}")

        return hook

    hooks = [module.register_forward_hook(watch(path)) for path, module in run.module.named_modules()]
    try:
        with step.within(piece.batch):
            outputs, masks = answer(run.module, piece.batch.x, step.masked)
    finally:
        for each in hooks:
            each.remove()
    return found[0] if found else _bad_loss(step, piece, outputs, masks, offset)


def _bad_loss(step: Step, piece: Piece, outputs: Any, masks: Any, offset: int) -> str:
    for batch in piece.parts:
        for head, target, output, mask in step.run.job.objective._each_kept(batch.y, outputs, masks):
            if head.loss is None:
                continue
            values = head.loss(target, output)
            if not bool(torch.isfinite(values).all()):
                rows = "" if mask is not None else _which(values, batch.positions.numel(), offset)
                return f"the loss {head.loss.name} of output {head.name!r} is not finite{rows}, though the output is"
    return ""


def _layer(path: str, module: nn.Module) -> str:
    return f"layer {path!r} ({type(module).__name__})" if path else f"the model itself ({type(module).__name__})"


def _floats(tree: Any) -> list[Tensor]:
    if isinstance(tree, dict):
        return _floats(list(tree.values()))
    if isinstance(tree, list | tuple):
        return [found for each in tree for found in _floats(each)]
    return [tree] if isinstance(tree, Tensor) and tree.is_floating_point() else []


def _which(value: Tensor, rows: int, offset: int) -> str:
    """The rows of the step's batch that are not finite."""
    if value.ndim == 0 or len(value) != rows:
        return ""
    bad = (~torch.isfinite(value).reshape(rows, -1).all(1)).nonzero()[:, 0].tolist()
    named = ", ".join(str(offset + each) for each in bad[:_SHOWN])
    more = f" and {len(bad) - _SHOWN} more" if len(bad) > _SHOWN else ""
    return f" in row{'s' if len(bad) > 1 else ''} {named}{more} of the batch"
