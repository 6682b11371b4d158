"""Answers that are ready at the same moment go out in one pass.

A write wakes whoever reads, which costs the writer most of what the write takes, unless the reader is still awake from
the write before. So the answers of a batch are written without anything in between.
"""

import asyncio
from types import TracebackType


class Outbox:
    """Writes at once; inside `with outbox:`, at its end. In order, as long as all of a transport goes through it."""

    def __init__(self) -> None:
        self._waiting: list[tuple[asyncio.Transport, bytes]] = []
        self._depth = 0

    def write(self, transport: asyncio.Transport, content: bytes) -> None:
        """Send `content`, now or soon."""
        if self._depth:
            self._waiting.append((transport, content))
        else:
            transport.write(content)

    def flush(self) -> None:
        """Send what waits: before something else is done to a transport."""
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            for transport, content in waiting:
                transport.write(content)

    def __enter__(self) -> "Outbox":
        self._depth += 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._depth -= 1
        if not self._depth:
            self.flush()
