"""uvicorn's HTTP protocol, with heads and connections bounded and its own errors in the words of ours."""

import asyncio
from typing import Any

import orjson
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from lepton_ai.serving.config import ServerConfig

MAX_HEAD = 64 * 1024
_LIMITS = ServerConfig()


class JsonHttpProtocol(HttpToolsProtocol):
    """Refuses heads (request line and headers) over 64 KiB or not complete after `head_seconds`, and connections
    beyond `max_connections`; answers broken HTTP in JSON.
    """

    def __init__(
        self,
        *args: Any,
        head_seconds: float = _LIMITS.head_seconds,
        max_connections: int = _LIMITS.max_connections,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self._head_seconds, self._max_connections = head_seconds, max_connections
        self._waiting: int | None = 0  # bytes that came of a head that is not complete; None in a body
        self._fields = 0  # bytes of the head's complete fields
        self._heads = 0
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client connected."""
        super().connection_made(transport)
        if len(self.connections) > self._max_connections:
            self._refuse(503, f"{self._max_connections} connections are open already; try again in a moment")
        else:
            self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is over."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes came. Where a head ended within them they are not counted: its fields were, one by one."""
        if self.transport.is_closing():
            return
        before, heads = self._waiting, self._heads
        super().data_received(data)
        if self.transport.is_closing():
            return
        if before is not None and self._waiting is not None and heads == self._heads:
            self._waiting += len(data)
            if self._waiting > MAX_HEAD:
                self._refuse_head()
        if self.cycle is None or self.cycle.response_complete:
            self._start_timer()

    def on_message_begin(self) -> None:
        """A head begins."""
        self._waiting = self._fields = 0
        self._start_timer()
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """A part of the address."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A whole header."""
        self._count(len(name) + len(value) + 4)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is over."""
        self._waiting = None
        self._heads += 1
        self._stop_timer()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The body is over."""
        self._waiting = 0
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """What came is not HTTP."""
        if self._fields > MAX_HEAD:
            self._refuse_head()
        else:
            self._refuse(400, msg)

    def _count(self, size: int) -> None:
        self._fields += size
        if self._fields > MAX_HEAD:
            raise ValueError("the head is too large")  # ends the parser, which asks for send_400_response

    def _start_timer(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(self._head_seconds, self._head_is_late)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _head_is_late(self) -> None:
        self._timer = None
        if self.cycle is not None and not self.cycle.response_complete:
            self._start_timer()  # the request before it is still being answered
        elif self._waiting:
            self._refuse(408, f"the request's headers were not complete after {self._head_seconds:g} s")
        else:
            self.transport.close()

    def _refuse_head(self) -> None:
        self._refuse(431, f"the request's headers are larger than {MAX_HEAD} bytes")

    def _refuse(self, status: int, text: str) -> None:
        if self.transport.is_closing():
            return
        self._stop_timer()
        content = orjson.dumps({"error": text})
        head = b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(content)
        self.transport.write(STATUS_LINE[status] + head + content)
        self.transport.close()
