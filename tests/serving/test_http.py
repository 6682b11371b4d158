"""The HTTP protocol, fed by hand."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from lepton_ai.serving.http import MAX_HEAD, JsonHttpProtocol


class Transport:
    """Remembers what was written."""

    def __init__(self) -> None:
        self.written, self.closed = b"", False

    def write(self, data: bytes) -> None:
        self.written += data

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def get_extra_info(self, name: str) -> Any:
        return None

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


def converse(*parts: bytes) -> tuple[Transport, list[int]]:
    """Feed the parts to a protocol before an application that counts each body; the transport and the counts."""
    counts: list[int] = []

    async def app(scope: Any, receive: Callable[[], Any], send: Callable[[Any], Any]) -> None:
        counts.append(0)
        more = True
        while more:
            message = await receive()
            counts[-1] += len(message["body"])
            more = message["more_body"]
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    async def run() -> Transport:
        config = uvicorn.Config(app, http=JsonHttpProtocol, log_config=None, lifespan="off", interface="asgi3")
        protocol = JsonHttpProtocol(config=config, server_state=ServerState(), app_state={})
        transport = Transport()
        protocol.connection_made(transport)  # type: ignore[arg-type]
        for part in parts:
            if not transport.closed:
                protocol.data_received(part)
            for _ in range(5):
                await asyncio.sleep(0)
        closed = transport.closed
        protocol.connection_lost(None)
        transport.closed = closed  # by the protocol itself, not by the end of the test
        return transport

    return asyncio.run(run()), counts


def post(size: int) -> bytes:
    return b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size


def test_large_bodies_are_no_heads() -> None:
    transport, counts = converse(post(500_000) + b"x" * 200_000, b"x" * 200_000, b"x" * 100_000, post(3), b"abc")
    assert counts == [500_000, 3] and transport.written.count(b"HTTP/1.1 200 OK") == 2 and not transport.closed


def test_a_head_may_follow_a_body_in_the_same_bytes() -> None:
    transport, counts = converse(post(200_000), b"x" * 200_000 + post(1)[:20], post(1)[20:] + b"y")
    assert counts == [200_000, 1] and transport.written.count(b"200 OK") == 2


def test_endless_heads_are_cut_off() -> None:
    parts = [b"GET / HTTP/1.1\r\nX: ", *[b"y" * 8192] * 9]
    transport, counts = converse(*parts)
    assert transport.written.startswith(b"HTTP/1.1 431 ") and transport.closed and not counts
    assert json.loads(transport.written.partition(b"\r\n\r\n")[2]) == {
        "error": f"the request's headers are larger than {MAX_HEAD} bytes"
    }
    assert converse(*parts[:6], b"\r\n\r\n")[0].written.startswith(b"HTTP/1.1 200")


def test_what_is_not_http_is_answered_in_json() -> None:
    transport, _ = converse(b"\x16\x03\x01 hello\r\n\r\n")
    assert transport.written.startswith(b"HTTP/1.1 400 ") and transport.closed
    assert json.loads(transport.written.partition(b"\r\n\r\n")[2])["error"] == "Invalid HTTP request received."


def test_large_heads_in_one_piece_are_refused() -> None:
    large = b"GET / HTTP/1.1\r\nX: " + b"y" * 200_000
    for parts in (
        (large + b"\r\n\r\n",),
        (large,),
        (post(3) + b"abc", large),
        (post(3) + b"abc" + large + b"\r\n\r\n",),
    ):
        transport, _ = converse(*parts)
        assert b"HTTP/1.1 431 " in transport.written and transport.closed


def test_pipelined_requests_are_not_one_head() -> None:
    small = post(3) + b"abc"
    transport, counts = converse(
        post(3)[:9], post(3)[9:] + b"abc" + post(100_000) + b"x" * 100_000 + small[:9], small[9:]
    )
    assert counts == [3, 100_000, 3] and not transport.closed
