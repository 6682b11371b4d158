"""uvicorn's HTTP protocol, with its head bounded and its own errors in the words of ours."""

from typing import Any

import orjson
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

MAX_HEAD = 64 * 1024


class JsonHttpProtocol(HttpToolsProtocol):
    """Refuses a head (request line and headers) that does not end within 64 KiB; answers broken HTTP in JSON."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_bytes: int | None = None  # None outside of a head

    def data_received(self, data: bytes) -> None:
        """Bytes came. Those in which a head begins are not counted: what is before it is another request's body."""
        before = self._head_bytes
        super().data_received(data)
        if before is not None and self._head_bytes is not None and not self.transport.is_closing():
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD:
                self._refuse(431, f"the request's headers are larger than {MAX_HEAD} bytes")

    def on_message_begin(self) -> None:
        """A head begins."""
        self._head_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head is over."""
        self._head_bytes = None
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """What came is not HTTP."""
        self._refuse(400, msg)

    def _refuse(self, status: int, text: str) -> None:
        content = orjson.dumps({"error": text})
        head = b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(content)
        self.transport.write(STATUS_LINE[status] + head + content)
        self.transport.close()
