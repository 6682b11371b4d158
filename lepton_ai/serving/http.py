"""The HTTP/1.1 engine: httptools parses, whole requests go to a handler, whole answers go out.

It does what ASGI would cost half of the time for: no message passing between server and application, one task for a
request. Every wait and every size has a bound; whatever breaks one is answered in the words of the protocol.

    head      `MAX_HEAD` bytes and `MAX_FIELDS` headers within `head_seconds`     431, 400 or 408
    body      `max_body` bytes and `MAX_CHUNKS` chunks within `body_seconds`      413, 400 or 408
    all       `max_pending` bytes, `max_connections`                              503
    client    takes its answer within `write_seconds`, idles no longer than `idle_seconds`
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from http import HTTPStatus

import httptools

from lepton_ai.core import LeptonError, RequestError, TooLargeError, UnavailableError
from lepton_ai.serving import ledger
from lepton_ai.serving.answers import failure
from lepton_ai.serving.errors import HeadTooLargeError, TooSlowError
from lepton_ai.serving.messages import Request, Response, path_of
from lepton_ai.serving.service import Service

MAX_HEAD = 16 * 1024
MAX_FIELDS = 100
MAX_CHUNKS = 65_536
_PIPELINED = 8  # requests of one connection that wait behind the one that is answered
_LINGER = 2.0  # seconds to go on reading after an error, so that the client can read it
_LINGER_BYTES = 2**26
_FRESH = 0.5  # seconds for a new connection to send its first request while the server stops
_SMALL = 2**16  # answers below this go out in one piece with their head
_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}
_OK = b"HTTP/1.1 200 OK\r\n%bcontent-type: %b\r\ncontent-length: %d\r\n\r\n%b"
_LINES[499] = b"HTTP/1.1 499 Client Closed Request\r\n"

Handler = Callable[[Request], Awaitable[Response]]


class Engine:
    """All connections of a server, and what they share. `log` is told of every answered request."""

    def __init__(
        self, handler: Handler, service: Service, *, log: Callable[[Request, int, float], object] | None = None
    ) -> None:
        self.handler, self.service, self.config, self.log = handler, service, service.config, log
        self.connections: set[Connection] = set()
        self.row = service.ledger.row("", "")
        self.closing = False
        self.date = b""
        self._sweeper: asyncio.TimerHandle | None = None
        config = self.config
        waits = (config.head_seconds, config.body_seconds, config.idle_seconds, config.write_seconds, 4.0)
        self._interval = max(0.02, min(waits) / 4)

    def protocol(self) -> "Connection":
        """What asyncio makes for every connection."""
        if self._sweeper is None:
            self._sweep()
        return Connection(self)

    def begin_close(self, *, fresh: bool = False) -> None:
        """From now on every answer is its connection's last, and connections without a request are closed; `fresh`:
        even those whose first request may be on its way.
        """
        self.closing = True
        for connection in list(self.connections):
            connection.close_if_idle(fresh=fresh)

    async def finish(self, seconds: float) -> None:
        """Wait for what was begun, at most so long; then cancel it, which is answered with 503."""
        self.begin_close()
        started = time.perf_counter()
        while self.connections and time.perf_counter() < started + seconds:
            await asyncio.sleep(0.01)
            if time.perf_counter() > started + _FRESH:
                self.begin_close(fresh=True)
        for connection in list(self.connections):
            connection.cancel()
        end = time.perf_counter() + 1.0
        while self.connections and time.perf_counter() < end:
            await asyncio.sleep(0.01)
        for connection in list(self.connections):
            connection.abort()
        if self._sweeper is not None:
            self._sweeper.cancel()

    def _sweep(self) -> None:
        """Look at every connection's deadline. One timer for all costs a request nothing."""
        self.date = b"date: " + formatdate(usegmt=True).encode() + b"\r\n"
        now = time.perf_counter()
        for connection in list(self.connections):
            if now >= connection.deadline:
                connection.expire()
        self._sweeper = asyncio.get_running_loop().call_later(self._interval, self._sweep)


class Connection(asyncio.Protocol):
    """One client's connection: its requests are answered one after the other, in order."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._parser = httptools.HttpRequestParser(self)
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport = None  # type: ignore[assignment]  # until the connection is made
        self.deadline = time.perf_counter() + engine.config.head_seconds
        self._client = ""
        self._waiting: deque[tuple[Request, bool, int]] = deque()
        self._task: asyncio.Task[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._ended = False  # nothing more is read but to be thrown away
        self._thrown = self._complete = 0
        self._reset()

    def _reset(self) -> None:
        self._url = b""
        self._headers: dict[bytes, bytes] = {}
        self._head_bytes = self._fields = self._chunks = self._held = 0
        self._parts: list[bytes] = []
        self._in_head = self._in_body = False
        self._raw = 0  # bytes of a head that is not complete

    # -- asyncio -------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client connected."""
        engine = self._engine
        self._transport = transport
        engine.connections.add(self)
        engine.row[ledger.IN_FLIGHT] += 1
        peer = transport.get_extra_info("peername")
        self._client = peer[0] if peer else ""
        most = engine.config.max_connections
        if len(engine.connections) > most:
            self._refuse(UnavailableError(f"{most} connections are open already; try again in a moment"))

    def connection_lost(self, exc: Exception | None) -> None:
        """The client left, or we closed: what it asked for is for nobody."""
        self._ended = True
        self._engine.connections.discard(self)
        self._engine.row[ledger.IN_FLIGHT] -= 1
        self._release()
        while self._waiting:
            self._engine.service.hold(-self._waiting.popleft()[2])
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        if self._task is not None:
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        if self._ended:
            self._thrown += len(data)
            if self._thrown > _LINGER_BYTES:
                self._transport.abort()
            return
        try:
            before = self._complete
            self._parser.feed_data(data)
            if self._in_head and before == self._complete:
                self._raw += len(data)  # the parser tells of whole fields only
                if self._raw > MAX_HEAD:
                    raise HeadTooLargeError(_TOO_LARGE_HEAD)
        except httptools.HttpParserUpgrade:
            self._ended = True  # the upgrade is declined by answering, the parser has stopped there
        except httptools.HttpParserCallbackError as error:
            cause = error.__context__
            self._refuse(cause if isinstance(cause, LeptonError) else RequestError("the request is not HTTP"))
        except httptools.HttpParserError as error:
            self._refuse(RequestError(f"the request is not HTTP/1.1 ({error})"))
        except LeptonError as error:
            self._refuse(error)

    def pause_writing(self) -> None:
        """The client reads more slowly than we write."""
        self._writable = self._loop.create_future()
        self.deadline = time.perf_counter() + self._engine.config.write_seconds

    def resume_writing(self) -> None:
        """It has caught up."""
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None
        self.deadline = float("inf") if self._task else time.perf_counter() + self._engine.config.idle_seconds

    # -- httptools -----------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """A request begins."""
        self._reset()
        self._in_head = True
        if self._task is None:
            self.deadline = time.perf_counter() + self._engine.config.head_seconds

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
        config, headers = self._engine.config, self._headers
        if self._task is None:
            self.deadline = time.perf_counter() + config.body_seconds
        length = headers.get(b"content-length")
        if length is not None and int(length) > config.max_body:
            raise _too_large(config.max_body)
        if headers.get(b"expect", b"").lower() == b"100-continue" and self._task is None:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_chunk_header(self) -> None:
        """A chunk begins."""
        self._chunks += 1
        if self._chunks > MAX_CHUNKS:
            raise TooLargeError(f"the body comes in more than {MAX_CHUNKS} chunks", fix="Send larger ones.")

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        if self._held + len(body) > self._engine.config.max_body:
            raise _too_large(self._engine.config.max_body)
        self._engine.service.hold(len(body))
        self._held += len(body)
        self._parts.append(body)

    def on_message_complete(self) -> None:
        """The request is complete."""
        self._in_body = False
        self._complete += 1
        parts = self._parts
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        request = Request(
            self._parser.get_method().decode("latin-1"),
            path_of(self._url),
            self._headers,
            body,
            client=self._client,
            started=time.perf_counter(),
        )
        held, self._held = self._held, 0
        keep = self._parser.should_keep_alive()
        if self._task is None:
            self._start(request, keep, held)
        else:
            self._waiting.append((request, keep, held))
            if len(self._waiting) >= _PIPELINED:
                self._transport.pause_reading()

    # -- answering -----------------------------------------------------------------------------------------------

    def _start(self, request: Request, keep: bool, held: int) -> None:
        self.deadline = float("inf")
        self._task = self._loop.create_task(self._answer(request, keep, held))

    async def _answer(self, request: Request, keep: bool, held: int) -> None:
        engine = self._engine
        try:
            response = await engine.handler(request)
        except (Exception, asyncio.CancelledError) as error:
            response = failure(error)
        finally:
            engine.service.hold(-held)
        if self._transport.is_closing():
            return
        keep = keep and not response.close and not engine.closing
        if response.events is not None:
            await self._stream(response)
            keep = False
        else:
            self._write(response, keep=keep, head_only=request.method == "HEAD")
        if engine.log is not None:
            engine.log(request, response.status, time.perf_counter() - request.started)
        if self._writable is not None:
            await self._writable
        self._task = None
        if not keep or (self._ended and not self._waiting):
            self._transport.close()
        elif self._waiting:
            if len(self._waiting) == _PIPELINED:
                self._transport.resume_reading()
            self._start(*self._waiting.popleft())
        elif self.deadline == float("inf"):
            self._await_more()

    def _await_more(self) -> None:
        config = self._engine.config
        seconds = config.idle_seconds
        if self._in_head or self._in_body:
            seconds = config.head_seconds if self._in_head else config.body_seconds
        self.deadline = time.perf_counter() + seconds

    def _write(self, response: Response, *, keep: bool, head_only: bool = False) -> None:
        status, content, kind, headers, _, _ = response
        if status == 200 and keep and not headers and not head_only and len(content) <= _SMALL:
            date = self._engine.date  # as most answers are
            self._transport.write(_OK % (date, kind, len(content), content))
            return
        lines = [_LINES.get(status) or b"HTTP/1.1 %d Error\r\n" % status, self._engine.date]
        lines.append(b"content-type: %s\r\ncontent-length: %d\r\n" % (kind, len(content)))
        lines += [b"%s: %s\r\n" % header for header in headers]
        lines.append(b"\r\n" if keep else b"connection: close\r\n\r\n")
        if head_only:
            content = b""
        if len(content) <= _SMALL:
            lines.append(content)
            self._transport.write(b"".join(lines))
        else:
            self._transport.writelines((b"".join(lines), content))

    async def _stream(self, response: Response) -> None:
        """Events as they come, until the client leaves or the server stops."""
        assert response.events is not None
        head = b"content-type: %s\r\ncache-control: no-store\r\nconnection: close\r\n\r\n" % response.type
        self._transport.write(_LINES[response.status] + self._engine.date + head)
        async for event in response.events:
            if self._transport.is_closing() or self._engine.closing:
                return
            self._transport.write(event)
            if self._writable is not None:
                await self._writable

    # -- ends ----------------------------------------------------------------------------------------------------

    def expire(self) -> None:
        """The deadline of whatever it is in passed."""
        config = self._engine.config
        self.deadline = float("inf")
        if self._ended or self._writable is not None:
            self._transport.abort()
        elif self._in_head:
            self._refuse(TooSlowError(f"the request's headers were not complete after {config.head_seconds:g} s"))
        elif self._in_body:
            self._refuse(TooSlowError(f"the body was not complete after {config.body_seconds:g} s"))
        else:
            self._transport.close()

    def close_if_idle(self, *, fresh: bool) -> None:
        """Close it if no request is under way; one that had none yet only if `fresh`."""
        if (self._complete or fresh) and self._task is None and not self._in_head and not self._in_body:
            self._transport.close()

    def cancel(self) -> None:
        """End what is under way; the client is told that the server stops."""
        if self._task is not None:
            self._task.cancel()
        else:
            self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        self._transport.abort()

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > MAX_HEAD:
            raise HeadTooLargeError(_TOO_LARGE_HEAD)

    def _refuse(self, error: BaseException) -> None:
        """Answer an error and end: what the client still sends is read for a moment, or it would never see it."""
        if self._ended or self._transport.is_closing():
            return
        self._ended = True
        self._in_head = self._in_body = False
        self._release()
        response = failure(error)
        self._engine.row[ledger.outcome_of(response.status)] += 1
        if self._task is not None:
            return  # the answer before it is not out yet: it will be the last
        self.deadline = time.perf_counter() + _LINGER
        self._write(response, keep=False)
        if self._transport.can_write_eof():
            self._transport.write_eof()

    def _release(self) -> None:
        self._engine.service.hold(-self._held)
        self._held = 0
        self._parts = []


_TOO_LARGE_HEAD = f"the request's headers are larger than {MAX_HEAD} bytes"


def _too_large(limit: int) -> TooLargeError:
    return TooLargeError(f"the body is larger than {limit} bytes", fix="Send fewer rows at a time.")
