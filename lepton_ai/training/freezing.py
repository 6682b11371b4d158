"""Layers that begin to train later than others: what the loop asks of whoever knows the layers."""

import contextlib
from typing import Protocol


class Freezing(Protocol):
    """Which weights train in which epoch: a function of the epoch alone, so that every process finds the same."""

    @property
    def described(self) -> dict[str, object]:
        """The schedule, as JSON can hold it: a run goes on with the one it began with."""

    def thaw(self, epoch: int) -> None:
        """Let the weights of this epoch train, and no others."""

    def kept(self) -> contextlib.AbstractContextManager[None]:
        """Afterwards every layer is frozen or not as it was before."""


def kept_frozen(freezing: Freezing | None) -> contextlib.AbstractContextManager[None]:
    """`freezing.kept()`, if there is one."""
    return contextlib.nullcontext() if freezing is None else freezing.kept()
