"""A large body, received where it stays: the kernel writes it into the memory that the model reads.

What a protocol is given by pieces is copied for each piece and again for the whole, and lies wherever the JSON before
it ends. Here only the first piece is copied, and binary tensors begin where a processor reads them best.
"""

import asyncio

import numpy as np

LEAST = 2**16  # missing bytes from which it is worth its while
_ALIGNMENT = 64  # bytes: a line of the processor's cache


class Gatherer(asyncio.Protocol):
    """A connection that gathers a body."""

    def gathered(self, count: int) -> None:
        """So many bytes more are there."""
        raise NotImplementedError


class Gathering(asyncio.BufferedProtocol):
    """Stands in for `owner` at its transport until `size` bytes are there, which begin with `first`. What follows the
    byte `aligned` is aligned.

    The memory is the system's to lend page by page, as it is written: what a client merely declares takes none.
    """

    def __init__(self, owner: Gatherer, first: bytes | memoryview, size: int, *, aligned: int = 0) -> None:
        memory = np.empty(size + _ALIGNMENT, np.uint8)
        start = -(memory.ctypes.data + aligned) % _ALIGNMENT
        self._owner, self._view, self._filled = owner, memory.data[start : start + size], len(first)
        self._view[: len(first)] = first
        self._ended = False

    @property
    def complete(self) -> bool:
        """Whether all is there."""
        return self._filled == len(self._view)

    @property
    def body(self) -> memoryview:
        """All of it, to be read."""
        return self._view.toreadonly()

    def end(self) -> None:
        """Keep the memory no longer: event loops know this object until the next one."""
        self._view, self._filled, self._ended = memoryview(bytearray()), 0, True

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where to write."""
        if self._ended:
            self._view = memoryview(bytearray(max(sizehint, _ALIGNMENT)))
        return self._view[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        """So much was written; what follows the body, of which Windows' event loop tells us too, is for the owner."""
        if self._ended:
            self._owner.data_received(bytes(self._view[:nbytes]))
            return
        self._filled += nbytes
        self._owner.gathered(nbytes)

    def pause_writing(self) -> None:
        """For the owner."""
        self._owner.pause_writing()

    def resume_writing(self) -> None:
        """For the owner."""
        self._owner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """For the owner."""
        self._owner.connection_lost(exc)
