"""The HTTP engine against raw bytes: every bound, and what a client is told when it breaks one."""

import asyncio
import itertools
import json
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lepton_ai.serving import ServerConfig, Service, ledger
from lepton_ai.serving.answers import in_task
from lepton_ai.serving.http import Connection, Engine
from lepton_ai.serving.messages import EVENTS, Request, Response
from lepton_ai.serving.reader import MAX_CHUNKS, MAX_FIELDS, MAX_HEAD

GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def echo(request: Request) -> Response:
    """Tells what it understood."""
    told: dict[str, Any] = {
        "method": request.method,
        "path": request.path,
        "body": bytes(request.body).decode("latin-1"),
    }
    told |= {"fields": {name.decode(): value.decode("latin-1") for name, value in request.headers.items()}}
    return Response(200, json.dumps(told).encode())


Dialogue = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


Contexts = tuple[ssl.SSLContext, ssl.SSLContext]


def talk(
    dialogue: Dialogue,
    *,
    handler: Any = echo,
    service: Service | None = None,
    make_loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop,
    contexts: Contexts | None = None,
    **limits: Any,
) -> None:
    """A client's dialogue with an engine; `contexts` are TLS as the server has it, and as the client."""

    async def main() -> None:
        engine = Engine(in_task(handler), service or Service(config=ServerConfig(**limits)))
        theirs, ours = contexts or (None, None)
        server = await asyncio.get_running_loop().create_server(engine.protocol, "127.0.0.1", 0, ssl=theirs)
        host, port = server.sockets[0].getsockname()
        reader, writer = await asyncio.open_connection(host, port, ssl=ours)
        try:
            await asyncio.wait_for(dialogue(reader, writer), 20)
        finally:
            writer.close()
            server.close()
            await engine.finish(0)
            assert not engine.connections and engine.service.pending == 0

    with asyncio.Runner(loop_factory=make_loop) as runner:
        runner.run(main())


def ask(*parts: bytes, **options: Any) -> bytes:
    """All that comes back until the server closes."""
    answer = b""

    async def dialogue(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal answer
        for part in parts:
            writer.write(part)
            await asyncio.sleep(0)
        answer = await reader.read()

    talk(dialogue, **options)
    return answer


def bodies(answer: bytes) -> list[Any]:
    """The JSON bodies of answers that follow each other."""
    found = []
    while answer:
        head, _, rest = answer.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head)
        assert length and head.startswith(b"HTTP/1.1 ")
        found.append(json.loads(rest[: int(length[1])]))
        answer = rest[int(length[1]) :]
    return found


def last(request: bytes) -> bytes:
    return request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")


def test_a_request_is_understood_and_the_connection_kept() -> None:
    post = b"POST /a%20b?x=1 HTTP/1.1\r\nHost: localhost\r\nX-A: 1\r\nx-a: 2\r\nContent-Length: 4\r\n\r\nbody"
    first, second = bodies(ask(post, last(GET)))
    assert (first["method"], first["path"], first["body"]) == ("POST", "/a b", "body")
    assert first["fields"]["x-a"] == "1, 2" and second["path"] == "/"


def test_chunks_are_one_body() -> None:
    post = b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    assert bodies(ask(post, b"3\r\nabc\r\n", b"2\r\nde\r\n0\r\n\r\n"))[0]["body"] == "abcde"


def test_requests_that_follow_at_once_are_answered_in_order() -> None:
    several = b"".join(b"GET /%d HTTP/1.1\r\nHost: localhost\r\n\r\n" % number for number in range(30))
    paths = [each["path"] for each in bodies(ask(several + last(GET)))]
    assert paths == [*(f"/{number}" for number in range(30)), "/"]


def test_old_clients_get_one_answer() -> None:
    assert len(bodies(ask(b"GET / HTTP/1.0\r\n\r\n"))) == 1


def test_head_has_no_body() -> None:
    answer = ask(last(b"HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n"))
    assert answer.startswith(b"HTTP/1.1 200") and answer.endswith(b"\r\n\r\n") and b"content-length: " in answer


def test_a_client_that_asks_before_it_sends_is_told_to() -> None:
    async def dialogue(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(
            b"POST / HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 2\r\n"
            b"Connection: close\r\n\r\n"
        )
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"ok")
        assert bodies(await reader.read())[0]["body"] == "ok"

    talk(dialogue)


def test_an_upgrade_is_declined_by_answering() -> None:
    answer = ask(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
    assert len(bodies(answer)) == 1


@pytest.mark.parametrize(
    ("request_", "status", "text"),
    [
        (b"BROKEN\r\n\r\n", 400, "the request is not HTTP/1.1"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400, "the request is not HTTP/1.1"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 0x9\r\n\r\n", 400, "the request is not HTTP/1.1"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400, "the request is not"),
        (b"POST / HTTP/1.1\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "the request is not"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400, "the request is not HTTP/1.1"),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * MAX_HEAD + b"\r\n\r\n", 431, "headers are larger than 16384 bytes"),
        (b"GET /" + b"a" * MAX_HEAD + b" HTTP/1.1\r\n\r\n", 431, "headers are larger than 16384 bytes"),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 3 * MAX_HEAD, 431, "headers are larger than 16384 bytes"),
        (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * (MAX_FIELDS + 1) + b"\r\n", 431, "more than 100 headers"),
        (
            b"POST / HTTP/1.1\r\nContent-Length: 1001\r\n\r\n",
            413,
            "the body is larger than 1000 bytes. Send fewer rows",
        ),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n" + b"a" * 1001, 413, "larger than 1000 bytes"),
    ],
)
def test_refusals(request_: bytes, status: int, text: str) -> None:
    answer = ask(request_, max_body=1000)
    assert answer.startswith(b"HTTP/1.1 %d " % status) and b"connection: close" in answer
    (told,) = bodies(answer)
    assert text in told["error"] and set(told) == {"error"}


def test_chunks_are_counted() -> None:
    post = b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer = ask(post + b"1\r\na\r\n" * (MAX_CHUNKS + 1), body_seconds=60)
    assert answer.startswith(b"HTTP/1.1 413") and b"more than 65536 chunks" in answer


def test_a_refused_client_that_goes_on_sending_still_reads_why() -> None:
    post = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3000000\r\n\r\n"
    assert ask(post, b"a" * 3_000_000, max_body=1000).startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        (b"", b""),
        (b"GET / HTTP/1.1\r\nX: y", b"HTTP/1.1 408"),
        (b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc", b"HTTP/1.1 408"),
    ],
)
def test_slow_clients_are_cut_off(sent: bytes, answer: bytes) -> None:
    got = ask(sent, head_seconds=0.1, body_seconds=0.1)
    assert got.startswith(answer) and bool(got) == bool(answer)


def test_idle_connections_are_closed() -> None:
    assert len(bodies(ask(GET, idle_seconds=0.1))) == 1


def test_a_client_that_does_not_read_is_cut_off() -> None:
    service, answered = Service(config=ServerConfig(write_seconds=0.1)), asyncio.Event()

    async def large(request: Request) -> Response:
        answered.set()
        return Response(200, b"a" * 2**25)

    async def dialogue(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(GET)
        await answered.wait()
        while service.ledger.row("", "")[ledger.IN_FLIGHT]:
            await asyncio.sleep(0.01)
        writer.transport.resume_reading()  # type: ignore[attr-defined]
        with pytest.raises(ConnectionError):
            assert len(await reader.read()) < 2**25
            raise ConnectionResetError

    talk(dialogue, handler=large, service=service)


def test_connections_are_bounded() -> None:
    async def dialogue(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        other, leaving = await asyncio.open_connection(*writer.get_extra_info("peername"))
        told = await other.read()
        assert told.startswith(b"HTTP/1.1 503") and b"1 connections are open already" in told
        assert b"retry-after: 1" in told
        leaving.close()
        writer.write(GET)
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")

    talk(dialogue, max_connections=1)


def test_bytes_of_all_bodies_are_bounded_and_given_back() -> None:
    service = Service(config=ServerConfig(max_pending=10))
    post = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 11\r\n\r\n"
    answer = ask(post, b"a" * 11, service=service)
    assert answer.startswith(b"HTTP/1.1 503") and b"too many bytes" in answer and service.pending == 0


def test_a_client_that_leaves_cancels_its_request() -> None:
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def endless(request: Request) -> Response:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise
        raise AssertionError

    async def dialogue(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(GET)
        await begun.wait()
        writer.close()
        await cancelled.wait()

    talk(dialogue, handler=endless)


def test_a_handler_that_fails_tells_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async def broken(request: Request) -> Response:
        raise RuntimeError("secret")

    answer = ask(last(GET), handler=broken)
    assert answer.startswith(b"HTTP/1.1 500") and b"secret" not in answer and "secret" in caplog.text


def test_events_come_as_they_happen() -> None:
    async def events() -> AsyncIterator[bytes]:
        for number in range(3):
            yield b"data: %d\n\n" % number

    async def handler(request: Request) -> Response:
        return Response(200, b"", EVENTS, events=events())

    answer = ask(GET, handler=handler)
    assert b"content-type: text/event-stream" in answer and answer.endswith(b"data: 0\n\ndata: 1\n\ndata: 2\n\n")


def test_closing_ends_idle_connections_and_finishes_the_others() -> None:
    go = asyncio.Event()

    async def slow(request: Request) -> Response:
        await go.wait()
        return Response(200, b"{}")

    async def main() -> None:
        engine = Engine(in_task(slow), Service())
        server = await asyncio.get_running_loop().create_server(engine.protocol, "127.0.0.1", 0)
        address = server.sockets[0].getsockname()
        idle, idle_writer = await asyncio.open_connection(*address)
        busy, busy_writer = await asyncio.open_connection(*address)
        busy_writer.write(GET)
        while not any(connection._busy for connection in engine.connections):
            await asyncio.sleep(0.001)
        finishing = asyncio.ensure_future(engine.finish(10))
        assert await idle.read() == b""
        go.set()
        answer = await busy.read()
        assert answer.startswith(b"HTTP/1.1 200") and b"connection: close" in answer
        await finishing
        for writer in (idle_writer, busy_writer):
            writer.close()
        server.close()

    asyncio.run(asyncio.wait_for(main(), 20))


@given(
    cuts=st.lists(st.integers(0, 400), max_size=8),
    pieces=st.lists(
        st.sampled_from(
            [
                GET,
                b"\r\n",
                b"POST /x HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc",
                b"a: b\r\n",
                b"\0\xff",
                b"GET ",
                b"1\r\n",
            ]
        ),
        max_size=6,
    ),
)
@settings(max_examples=60, deadline=None)
def test_whatever_is_sent_is_answered_or_closed(cuts: list[int], pieces: list[bytes]) -> None:
    """Any bytes, cut anywhere: never an exception, and every answer is whole and no fault of the server."""

    async def main() -> bytes:
        engine = Engine(in_task(echo), Service())
        written = bytearray()
        connection = Connection(engine)
        connection.connection_made(_Wire(written, connection))  # type: ignore[arg-type]
        content = b"".join(pieces)
        ends = [0, *sorted(cut for cut in cuts if cut < len(content)), len(content)]
        for start, end in itertools.pairwise(ends):
            connection.data_received(content[start:end])
            await asyncio.sleep(0)
        for _ in range(20):
            await asyncio.sleep(0)
        connection.connection_lost(None)
        await asyncio.sleep(0)
        assert engine.service.pending == 0
        return bytes(written)

    written = asyncio.run(main())
    assert b" 500 " not in written
    bodies(re.sub(rb"HTTP/1.1 100 Continue\r\n\r\n", b"", written))


class _Wire:
    """A transport that keeps what is written."""

    def __init__(self, written: bytearray, connection: Connection) -> None:
        self._written, self._closing = written, False
        self._protocol: asyncio.BaseProtocol = connection

    def feed(self, data: bytes) -> None:
        while data:
            if isinstance(self._protocol, asyncio.BufferedProtocol):
                room = memoryview(self._protocol.get_buffer(-1))
                count = min(len(room), len(data))
                room[:count] = data[:count]
                self._protocol.buffer_updated(count)
                data = data[count:]
            else:
                assert isinstance(self._protocol, asyncio.Protocol)
                self._protocol.data_received(data)
                return

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def write(self, data: bytes) -> None:
        if not self._closing:
            self._written += data

    def get_extra_info(self, name: str) -> tuple[str, int] | None:
        return ("127.0.0.1", 1) if name == "peername" else None

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        self._closing = True

    abort = close

    def can_write_eof(self) -> bool:
        return False

    def pause_reading(self) -> None:
        pass

    resume_reading = pause_reading
