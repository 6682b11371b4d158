"""Layers whose inner results are not kept for the backward pass, but computed once more there: less memory, more time.

Chen et al., 2016 (arXiv:1604.06174). The second time must give what the first one gave, and leave no traces.
"""

import contextlib
import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from lepton_ai.rng import StepContext, current_step, step_context


def recomputed(module: nn.Module, call: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """`call(*args, **kwargs)`, of which only the arguments are kept for the backward pass.

    There the call is made again: with the same draws, from the statistics that the first one found, and without
    moving them a second time.
    """
    context = current_step()
    calls = None if context is None else Counter(context.calls)
    before = {(owner, name): value.clone() for owner, name, value in _statistics(module)}
    again = False

    def run(*args: Any, **kwargs: Any) -> Any:
        nonlocal again
        if not again:
            again = True
            return call(*args, **kwargs)
        with _drawing(context, calls), _holding(before):
            return call(*args, **kwargs)

    return checkpoint(run, *args, use_reentrant=False, **kwargs)


def _statistics(module: nn.Module) -> Iterator[tuple[nn.Module, str, Tensor]]:
    """The buffers that may move: those that are stored. Others are constants, and may be large."""
    for owner in module.modules():
        for name, value in owner._buffers.items():
            if value is not None and name not in owner._non_persistent_buffers_set:
                yield owner, name, value


def _drawing(context: StepContext | None, calls: Counter[str] | None) -> contextlib.AbstractContextManager[object]:
    """Inside, random layers draw what they drew when they had made so many calls."""
    if context is None:  # torch's own generator is set back by torch
        return contextlib.nullcontext()
    return step_context(dataclasses.replace(context, calls=Counter(calls)))


@contextlib.contextmanager
def _holding(before: dict[tuple[nn.Module, str], Tensor]) -> Iterator[None]:
    """Inside, these buffers are copies; what is done to them is forgotten."""
    now = {(owner, name): owner._buffers[name] for owner, name in before}
    for (owner, name), value in before.items():
        owner._buffers[name] = value.clone()
    try:
        yield
    finally:
        for (owner, name), kept in now.items():
            owner._buffers[name] = kept


def recomputes_now(module: nn.Module) -> bool:
    """Whether there is a backward pass to save memory for; a compiler decides by itself what to keep."""
    return module.training and torch.is_grad_enabled() and not torch.compiler.is_compiling()
