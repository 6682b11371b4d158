"""The reading half of a connection: bytes in, whole requests out, within the bounds that `http` names."""

import asyncio
import time

import httptools

from lepton_ai.core import TooLargeError
from lepton_ai.serving.body import too_large
from lepton_ai.serving.errors import HeadTooLargeError
from lepton_ai.serving.gathering import LEAST, Gatherer, Gathering
from lepton_ai.serving.heads import Heads
from lepton_ai.serving.messages import JSON_LENGTH, number_of, path_of
from lepton_ai.serving.service import Service

MAX_HEAD = 16 * 1024
MAX_FIELDS = 100
MAX_CHUNKS = 65_536


class Reader(Gatherer):
    """Calls `_take` with every request. What it raises while it reads says how the client is refused."""

    def __init__(self, service: Service, heads: Heads) -> None:
        self._service, self._config, self._heads = service, service.config, heads
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport = None  # type: ignore[assignment]  # until the connection is made
        self.deadline = time.perf_counter() + self._config.head_seconds
        self._busy = False  # a request is being answered
        self._between = True  # the parser stands between two requests
        self._complete = 0  # requests so far
        self._method = self._path = ""
        self._gathering: Gathering | None = None
        self._reset()

    def _reset(self) -> None:
        self._url = b""
        self._headers: dict[bytes, bytes] = {}
        self._head_bytes = self._fields = self._chunks = self._held = 0
        self._parts: list[bytes] = []
        self._in_head = self._in_body = False
        self._raw = 0  # bytes of a head that is not complete

    def _take(
        self, method: str, path: str, headers: dict[bytes, bytes], body: bytes | memoryview, *, keep: bool, held: int
    ) -> None:
        """A request is there, of whose bytes `held` are held."""
        raise NotImplementedError

    def _feed(self, data: bytes) -> None:
        """Bytes came.

        Raises: LeptonError, httptools' errors.
        """
        data = bytes(data)  # Windows' event loop has arrays of them
        begins = self._between
        if begins and self._take_known(data):
            return
        before = self._complete
        self._parser.feed_data(data)
        if begins and self._between and self._complete == before + 1:
            size = int(self._headers.get(b"content-length", 0))
            self._heads.learn(data, size, self._method, self._path, self._headers)
        elif self._in_head and before == self._complete:
            self._raw += len(data)  # the parser tells of whole fields only
            if self._raw > MAX_HEAD:
                raise HeadTooLargeError(_TOO_LARGE_HEAD)
        elif self._in_body:
            size = int(self._headers.get(b"content-length", 0))
            if size - self._held >= LEAST and self._parser.should_keep_alive():
                self._leave_parser(size)
                if begins and before == self._complete:
                    self._heads.learn(data, self._held, self._method, self._path, self._headers)

    def _take_known(self, data: bytes) -> bool:
        """Whether this was a request whose head is known: a whole one, or the beginning of a large one."""
        head = self._heads.find(data)
        if head is None:
            return False
        missing = head.whole - len(data)
        if missing and missing < LEAST:
            return False
        held = len(data) - head.size
        self._service.hold(held)
        if not missing:
            self._take(head.method, head.path, head.headers, data[head.size :], keep=True, held=held)
            return True
        self._reset()
        self._method, self._path, self._headers, self._held = head.method, head.path, head.headers, held
        self._between, self._in_body = False, True
        if not self._busy:
            self.deadline = time.perf_counter() + self._config.body_seconds
        self._gather(memoryview(data)[head.size :], head.whole - head.size)
        return True

    def _leave_parser(self, size: int) -> None:
        """Gather what is missing of a body of `size` bytes."""
        self._method, self._path = self._parser.get_method().decode("latin-1"), path_of(self._url)
        self._parser = httptools.HttpRequestParser(self)  # for what follows the body
        first, self._parts = b"".join(self._parts), []
        self._gather(first, size)

    def _gather(self, first: bytes | memoryview, size: int) -> None:
        text_size = number_of(self._headers.get(JSON_LENGTH, b"")) or 0  # whether it is true is seen later
        self._gathering = Gathering(self, first, size, aligned=text_size)
        self._transport.set_protocol(self._gathering)

    def gathered(self, count: int) -> None:
        """So many bytes more of a large body are there.

        Raises: LeptonError.
        """
        self._service.hold(count)
        self._held += count
        gathering = self._gathering
        assert gathering is not None
        if not gathering.complete:
            return
        # In place for those who read it in parts; everybody else is given what everybody knows.
        in_place = JSON_LENGTH in self._headers and b"content-encoding" not in self._headers
        body = gathering.body if in_place else bytes(gathering.body)
        self._leave_gathering()
        self._in_body, self._between = False, True
        held, self._held = self._held, 0
        self._take(self._method, self._path, self._headers, body, keep=True, held=held)

    def _leave_gathering(self) -> None:
        gathering, self._gathering = self._gathering, None
        if gathering is not None:
            gathering.end()
            if not self._transport.is_closing():
                self._transport.set_protocol(self)

    def on_message_begin(self) -> None:
        """A request begins."""
        self._reset()
        self._between, self._in_head = False, True
        if not self._busy:
            self.deadline = time.perf_counter() + self._config.head_seconds

    def on_url(self, url: bytes) -> None:
        """A part of the address."""
        self._count(len(url))
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A whole header."""
        self._fields += 1
        self._count(len(name) + len(value) + 4)
        if self._fields > MAX_FIELDS:
            raise HeadTooLargeError(f"the request has more than {MAX_FIELDS} headers")
        name = name.lower()
        self._headers[name] = b"%s, %s" % (self._headers[name], value) if name in self._headers else value

    def on_headers_complete(self) -> None:
        """The head is over."""
        self._in_head, self._in_body = False, True
        config, headers = self._config, self._headers
        if not self._busy:
            self.deadline = time.perf_counter() + config.body_seconds
        length = headers.get(b"content-length")
        if length is not None and int(length) > config.max_body:
            raise too_large(config.max_body)
        if headers.get(b"expect", b"").lower() == b"100-continue" and not self._busy:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_chunk_header(self) -> None:
        """A chunk begins."""
        self._chunks += 1
        if self._chunks > MAX_CHUNKS:
            raise TooLargeError(f"the body comes in more than {MAX_CHUNKS} chunks", fix="Send larger ones.")

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        if self._held + len(body) > self._config.max_body:
            raise too_large(self._config.max_body)
        self._service.hold(len(body))
        self._held += len(body)
        self._parts.append(body)

    def on_message_complete(self) -> None:
        """The request is complete."""
        self._in_body = False
        parts, self._parts = self._parts, []
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        held, self._held = self._held, 0
        self._method, self._path = self._parser.get_method().decode("latin-1"), path_of(self._url)
        self._between = keep = self._parser.should_keep_alive()
        self._take(self._method, self._path, self._headers, body, keep=keep, held=held)

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > MAX_HEAD:
            raise HeadTooLargeError(_TOO_LARGE_HEAD)

    def _release(self) -> None:
        self._service.hold(-self._held)
        self._held = 0
        self._parts = []
        self._leave_gathering()


_TOO_LARGE_HEAD = f"the request's headers are larger than {MAX_HEAD} bytes"
