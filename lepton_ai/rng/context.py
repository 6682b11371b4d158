"""The step's place in the run, made by the loop and read by random layers."""

import contextlib
from collections import Counter
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from lepton_ai.rng.counter import derive


@dataclass(frozen=True, kw_only=True)
class StepContext:
    """`positions`: int32 tensor (B,), each row's place in the epoch's global order.

    `key` is the draw's key before the layer's own is mixed in. It depends on seed and epoch only, and rows
    differ by position, so what a row draws does not depend on the batch size or on the number of workers.
    """

    seed: int
    epoch: int
    positions: Any
    calls: Counter[str] = field(default_factory=Counter, repr=False, compare=False)

    def key(self, *path: object) -> int:
        """The key for one layer (and call) in this epoch."""
        return derive(self.seed, "step", self.epoch, *path)

    def next_call(self, path: str) -> int:
        """How many draws the layer at `path` made before in this step: a shared layer draws anew at each call.

        Counted from 0 in each context, so the loop makes one for every forward pass.
        """
        count = self.calls[path]
        self.calls[path] += 1
        return count


_current: ContextVar[StepContext | None] = ContextVar("step", default=None)


@contextlib.contextmanager
def step_context(context: StepContext) -> Iterator[None]:
    """Random layers called inside the block draw from `context`."""
    token = _current.set(context)
    try:
        yield
    finally:
        _current.reset(token)


def current_step() -> StepContext | None:
    """The step being computed, or None outside a training loop."""
    return _current.get()
