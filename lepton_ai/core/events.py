"""Events: small facts that one room states and another may listen to; neither knows the other."""

import contextlib
from collections.abc import Callable
from typing import Generic, TypeVar

E = TypeVar("E")


class Channel(Generic[E]):
    """A list of listeners. Emitting calls each in order of subscription, in the emitter's thread.

    A listener must be quick and must not raise; one that raises is dropped, so that it can never
    harm what it listens to, and `dropped` holds its error.

    Example:
        >>> heard = []
        >>> channel = Channel[int]()
        >>> channel.subscribe(heard.append)
        >>> channel.emit(3)
        >>> heard
        [3]
    """

    def __init__(self) -> None:
        self._listeners: list[Callable[[E], object]] = []
        self.dropped: list[Exception] = []

    @property
    def heard(self) -> bool:
        """Whether anybody listens: an event that costs something to make need not be made otherwise."""
        return bool(self._listeners)

    def subscribe(self, listener: Callable[[E], object]) -> None:
        """Call `listener` with every event from now on."""
        self._listeners.append(listener)

    def emit(self, event: E) -> None:
        """Tell every listener."""
        for listener in tuple(self._listeners):
            try:
                listener(event)
            except Exception as error:
                with contextlib.suppress(ValueError):  # another thread's event dropped it already
                    self._listeners.remove(listener)
                self.dropped.append(error)
