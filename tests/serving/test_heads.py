"""Heads that are known: requests are read as without them, whatever comes, however it is cut."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lepton_ai.serving import Service
from lepton_ai.serving.heads import Heads
from lepton_ai.serving.http import Connection, Engine
from lepton_ai.serving.messages import Reply, Request, Response
from tests.serving.test_http import _Wire

GET = b"GET /a%20b HTTP/1.1\r\nHost: localhost\r\n\r\n"
POST = b"POST /x HTTP/1.1\r\nContent-Length: 3\r\n\r\n"


def begin(request: Request, reply: Reply) -> None:
    """Tells what it understood."""
    reply(Response(200, repr((request.method, request.path, request.headers, bytes(request.body))).encode()))


class Forgetful(Heads):
    def learn(self, data: bytes, seen: int, method: str, path: str, headers: dict[bytes, bytes]) -> None:
        pass


def answers(pieces: list[bytes], heads: Heads) -> bytes:
    async def main() -> bytes:
        engine = Engine(begin, Service())
        engine.heads = heads
        written = bytearray()
        connection = Connection(engine)
        wire = _Wire(written, connection)
        connection.connection_made(wire)  # type: ignore[arg-type]
        for piece in pieces:
            wire.feed(piece)
        connection.connection_lost(None)
        assert engine.service.pending == 0
        return bytes(written)

    return asyncio.run(main())


@given(
    st.lists(
        st.sampled_from(
            [
                GET,
                POST,
                POST + b"abc",
                b"abc",
                POST + b"abcd",
                b"\r\n",
                b"\r\n" + GET,
                GET + GET,
                GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"),
                POST.replace(b"3", b"7") + b"\r\n\r\nabc",
                b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                b"GET / HTTP/1.0\r\n\r\n",
                b"GET / HTTP/1.1\nHost: x\n\n",
            ]
        ),
        max_size=8,
    )
)
@settings(max_examples=300, deadline=None)
def test_requests_are_read_as_without(pieces: list[bytes]) -> None:
    assert answers(pieces, Heads()) == answers(pieces, Forgetful())


def test_what_is_known() -> None:
    heads = Heads()
    answers([GET, POST + b"abc"], heads)
    for data, body in ((GET, 0), (POST + b"xyz", 3)):
        known = heads.find(data)
        assert known is not None and known.whole - known.size == body
    begun = heads.find(POST + b"ab")
    assert begun is not None and begun.whole == len(POST) + 3
    assert heads.find(GET + b"x") is None and heads.find(b"") is None
    assert known is not None and (known.method, known.path, known.headers) == ("POST", "/x", {b"content-length": b"3"})


@pytest.mark.parametrize("field", [b"Authorization: Bearer x", b"Cookie: a", b"Expect: x", b"Connection: close"])
def test_what_is_not_kept(field: bytes) -> None:
    heads = Heads()
    data = GET.replace(b"\r\n\r\n", b"\r\n" + field + b"\r\n\r\n")
    answers([data], heads)
    assert heads.find(data) is None


def test_it_does_not_grow() -> None:
    heads = Heads()
    for number in range(1000):
        heads.learn(b"GET /%d HTTP/1.1\r\n\r\n" % number, 0, "GET", "", {})
    assert len(heads._known) <= 256
    heads.learn(b"GET / HTTP/1.1\r\nX: " + b"a" * 3000 + b"\r\n\r\n", 0, "GET", "", {})
    assert len(heads._known) <= 256 and all(len(head) < 2048 for head in heads._known)
