"""Threads beside the event loop that do one thing after the other, without a future for each: that would cost more
than to wake them.
"""

import contextlib
import queue
import threading
from collections.abc import Callable
from typing import Any


class Threads:
    """`count` of them, begun with the first thing to do."""

    def __init__(self, count: int, name: str) -> None:
        self._jobs: queue.SimpleQueue[tuple[Callable[..., object], tuple[Any, ...]] | None] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._run, name=f"{name}-{number}", daemon=True) for number in range(count)
        ]
        self._running: list[threading.Thread] = []

    def submit(self, work: Callable[..., object], /, *args: Any) -> None:
        """Do this, which must not raise, as soon as one is free; or at once, if the system lends no thread at all."""
        with contextlib.suppress(RuntimeError):
            while len(self._running) < len(self._threads):
                thread = self._threads[len(self._running)]
                thread.start()
                self._running.append(thread)
        if self._running:
            self._jobs.put((work, args))
        else:
            work(*args)

    def shutdown(self, wait: bool = True) -> None:
        """End, after what was submitted."""
        for _ in self._running:
            self._jobs.put(None)
        if wait:
            for thread in self._running:
                thread.join()

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            work, args = job
            work(*args)
            del job, work, args  # nothing is kept while it waits
