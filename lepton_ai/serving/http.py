"""The HTTP/1.1 engine: httptools parses, whole requests go to a handler, whole answers go out.

It does what ASGI would cost half of the time for: no message passing between server and application, and no task for a
request. A head that was parsed before is not parsed again. Every wait and every size has a bound; whatever breaks one
is answered in the words of the protocol.

    head      `MAX_HEAD` bytes and `MAX_FIELDS` headers within `head_seconds`     431, 400 or 408
    body      `max_body` bytes and `MAX_CHUNKS` chunks within `body_seconds`      413, 400 or 408
    all       `max_pending` bytes, `max_connections`                              503
    client    takes its answer within `write_seconds`, idles no longer than `idle_seconds`
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from email.utils import formatdate

import httptools

from lepton_ai.core import LeptonError, RequestError, UnavailableError
from lepton_ai.serving import ledger
from lepton_ai.serving.answers import failure
from lepton_ai.serving.errors import TooSlowError
from lepton_ai.serving.heads import Heads
from lepton_ai.serving.http_text import SMALL, event_head, head_of, whole
from lepton_ai.serving.messages import Begin, Request, Response, Work
from lepton_ai.serving.reader import Reader
from lepton_ai.serving.service import Service

_PIPELINED = 8  # requests of one connection that wait behind the one that is answered
_LINGER = 2.0  # seconds to go on reading after an error, so that the client can read it
_LINGER_BYTES = 2**26
_FRESH = 0.5  # seconds for a new connection to send its first request while the server stops


class Engine:
    """All connections of a server, and what they share. `begin` answers; `log` is told of every answered request."""

    def __init__(
        self, begin: Begin, service: Service, *, log: Callable[[Request, int, float], object] | None = None
    ) -> None:
        self.begin, self.service, self.config, self.log = begin, service, service.config, log
        self.heads = Heads()
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


class Connection(Reader, asyncio.Protocol):
    """One client's connection: its requests are answered one after the other, in order."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine.service, engine.heads)
        self._engine = engine
        self._loop = asyncio.get_running_loop()
        self._client = ""
        self._waiting: deque[tuple[Request, bool, int]] = deque()
        self._request: Request | None = None  # that is answered
        self._work: Work | None = None  # the answer that is on its way
        self._starting = False  # a request has only just begun to be answered
        self._last = self._untaken = False  # its answer is the connection's last; is out, but not taken yet
        self._writable: asyncio.Future[None] | None = None
        self._ended = self._lost = False  # nothing more is read but to be thrown away; nothing can be written
        self._thrown = 0

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
        self._ended = self._lost = True
        self._engine.connections.discard(self)
        self._engine.row[ledger.IN_FLIGHT] -= 1
        self._release()
        while self._waiting:
            self._engine.service.hold(-self._waiting.popleft()[2])
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        if self._work is not None:
            self._work.cancel()

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        if self._ended:
            self._thrown += len(data)
            if self._thrown > _LINGER_BYTES:
                self._transport.abort()
            return
        try:
            self._feed(data)
        except httptools.HttpParserUpgrade:
            self._ended = True  # the upgrade is declined by answering, the parser has stopped there
        except httptools.HttpParserCallbackError as error:
            cause = error.__context__
            self._refuse(cause if isinstance(cause, LeptonError) else RequestError("the request is not HTTP"))
        except httptools.HttpParserError as error:
            self._refuse(RequestError(f"the request is not HTTP/1.1 ({error})"))
        except LeptonError as error:
            self._refuse(error)

    def gathered(self, count: int) -> None:
        """Bytes of a large body came."""
        try:
            super().gathered(count)
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
        self.deadline = float("inf") if self._busy else time.perf_counter() + self._engine.config.idle_seconds
        if self._untaken:
            self._go_on()

    # -- answering -----------------------------------------------------------------------------------------------

    def _take(
        self, method: str, path: str, headers: dict[bytes, bytes], body: bytes | memoryview, *, keep: bool, held: int
    ) -> None:
        """A request is there: begin with it, or let it wait behind the one that is answered."""
        self._complete += 1
        request = Request(method, path, headers, body, client=self._client, started=time.perf_counter())
        if self._last:
            self._engine.service.hold(-held)
        elif self._busy:
            self._waiting.append((request, keep, held))
            if len(self._waiting) >= _PIPELINED:
                self._transport.pause_reading()
        else:
            self._start(request, keep, held)
            if not self._busy:
                self._next()

    def _start(self, request: Request, keep: bool, held: int) -> None:
        self.deadline = float("inf")
        self._request, self._keep, self._taken = request, keep, held
        self._busy = self._starting = True
        work = self._engine.begin(request, self._respond)
        if work is not None:
            self._work = work
        self._starting = False

    def _respond(self, response: Response) -> None:
        """The answer to the request under way."""
        engine, request = self._engine, self._request
        assert request is not None
        self._work = self._request = None  # its body is nobody's business any more
        engine.service.hold(-self._taken)
        self._taken = 0
        if self._lost or self._transport.is_closing():
            return
        if response.events is not None:
            self._last = True
            engine.service.outbox.flush()
            self._work = self._loop.create_task(self._stream(request, response))
            return
        self._last = not self._keep or response.close or engine.closing
        self._write(response, keep=not self._last, head_only=request.method == "HEAD")
        if engine.log is not None:
            engine.log(request, response.status, time.perf_counter() - request.started)
        if self._writable is None:
            self._go_on()
        else:
            self._untaken = True
            self.deadline = time.perf_counter() + engine.config.write_seconds

    def _go_on(self) -> None:
        """An answer is out. Who began with the request goes on himself: a recursion would be as deep as requests are
        many."""
        self._busy = self._untaken = False
        if not self._starting:
            self._next()

    def _next(self) -> None:
        """End, or answer what waits, or wait."""
        while not self._busy:
            if self._last or (self._ended and not self._waiting):
                self._last = True
                self._engine.service.outbox.flush()
                self._transport.close()
                return
            if not self._waiting:
                if self.deadline == float("inf"):
                    self._await_more()
                return
            if len(self._waiting) == _PIPELINED:
                self._transport.resume_reading()
            self._start(*self._waiting.popleft())

    def _await_more(self) -> None:
        config = self._engine.config
        seconds = config.idle_seconds
        if self._in_head or self._in_body:
            seconds = config.head_seconds if self._in_head else config.body_seconds
        self.deadline = time.perf_counter() + seconds

    def _write(self, response: Response, *, keep: bool, head_only: bool = False) -> None:
        outbox = self._engine.service.outbox
        content = whole(response, self._engine.date) if keep and not head_only else None
        if content is not None:
            outbox.write(self._transport, content)
            return
        outbox.flush()
        head = head_of(response, self._engine.date, keep=keep)
        if head_only or len(response.content) <= SMALL:
            self._transport.write(head if head_only else head + response.content)
        else:
            self._transport.writelines((head, response.content))

    async def _stream(self, request: Request, response: Response) -> None:
        """Events as they come, until the client leaves or the server stops."""
        assert response.events is not None
        try:
            self._transport.write(event_head(response, self._engine.date))
            async for event in response.events:
                if self._transport.is_closing() or self._engine.closing:
                    return
                self._transport.write(event)
                if self._writable is not None:
                    await self._writable
        finally:
            if self._engine.log is not None:
                self._engine.log(request, response.status, time.perf_counter() - request.started)
            self._transport.close()

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
        if (self._complete or fresh) and not self._busy and not self._in_head and not self._in_body:
            self._transport.close()

    def cancel(self) -> None:
        """End what is under way; the client is told that the server stops."""
        if self._work is not None:
            self._work.cancel()
        else:
            self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        self._transport.abort()

    def _refuse(self, error: BaseException) -> None:
        """Answer an error and end: what the client still sends is read for a moment, or it would never see it."""
        if self._ended or self._transport.is_closing():
            return
        self._ended = True
        self._in_head = self._in_body = False
        self._release()
        response = failure(error)
        self._engine.row[ledger.outcome_of(response.status)] += 1
        if self._busy:
            return  # the answer before it is not out yet: it will be the last
        self.deadline = time.perf_counter() + _LINGER
        self._write(response, keep=False)
        if self._transport.can_write_eof():
            self._transport.write_eof()
