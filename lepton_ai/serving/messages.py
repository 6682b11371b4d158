"""A request and its answer between an HTTP engine and the application: whole bodies, no transport, and no task where
nothing is waited for but other requests.
"""

import re
from collections.abc import AsyncIterator, Callable
from typing import Protocol
from urllib.parse import unquote_to_bytes

import httptools
import msgspec

from lepton_ai.bundle import LENGTH_HEADER

JSON_LENGTH = LENGTH_HEADER.lower().encode()
JSON = b"application/json"
BINARY = b"application/octet-stream"
HTML = b"text/html; charset=utf-8"
TEXT = b"text/plain; version=0.0.4; charset=utf-8"
EVENTS = b"text/event-stream"
_NUMBER = re.compile(rb"[0-9]{1,12}")


class Request(msgspec.Struct, eq=False, gc=False):
    """`path` is unquoted and without its query; the names of `headers` are in lower case, several of one name joined
    by a comma, and the whole is not to be changed. A large `body` with binary tensors is where it was received, any
    other is bytes. `client` is the address it came from, `started` the time of `time.perf_counter` when it came.
    `gone`, if the engine does not cancel by itself, says whether the client has left.
    """

    method: str
    path: str
    headers: dict[bytes, bytes]
    body: bytes | memoryview
    client: str = ""
    started: float = 0.0
    gone: Callable[[], bool] | None = None

    def text(self, name: bytes) -> str:
        """A header as text, empty if there is none."""
        return self.headers.get(name, b"").decode("latin-1")


class Response(msgspec.Struct, gc=False):
    """An answer of a known length, or one of `events` that ends when they do. `close` ends the connection after it."""

    status: int
    content: bytes
    type: bytes = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()
    close: bool = False
    events: AsyncIterator[bytes] | None = None


class Work(Protocol):
    """An answer that is on its way."""

    def cancel(self) -> object:
        """Give it up. It is answered nevertheless: that the server stops."""


Reply = Callable[[Response], object]
# Begins to answer: calls `Reply` once, before it returns, and then it returns None, or later.
Begin = Callable[[Request, Reply], Work | None]


def number_of(value: bytes) -> int | None:
    """The whole number in a header's value; None if it is something else, or larger than anybody needs."""
    return int(value) if _NUMBER.fullmatch(value) else None


def path_of(url: bytes) -> str:
    """The path of a request's address, unquoted once; what is no text is found nowhere."""
    if not url.startswith(b"/"):
        url = httptools.parse_url(url).path or b"/"
    path = url.partition(b"?")[0]
    if b"%" in path:
        path = unquote_to_bytes(path)
    return path.decode("utf-8", "replace")
