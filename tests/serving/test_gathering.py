"""Large bodies are understood as small ones are, however they are cut, and within the same bounds."""

import asyncio
import itertools
import ssl
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lepton_ai.bundle import LENGTH_HEADER, parse_request, render_request
from lepton_ai.serving import reader
from lepton_ai.serving.gathering import Gatherer, Gathering
from lepton_ai.serving.heads import Heads
from lepton_ai.serving.lifecycle import new_event_loop
from lepton_ai.serving.messages import Request, Response
from tests.contracts.certificates import certificate
from tests.serving.test_heads import Forgetful, answers
from tests.serving.test_http import Contexts, talk

LENGTH = b"Inference-Header-Content-Length: 3\r\n"


def post(size: int, field: bytes = b"") -> bytes:
    body = bytes(65 + index % 26 for index in range(size))
    return b"POST /x HTTP/1.1\r\n%bContent-Length: %d\r\n\r\n%b" % (field, size, body)


@given(
    cuts=st.lists(st.integers(0, 700), max_size=8),
    requests=st.lists(
        st.sampled_from(
            [
                post(0),
                post(3),
                post(40),
                post(40, LENGTH),
                post(40, LENGTH + b"Content-Encoding: gzip\r\n"),
                post(41, b"Connection: close\r\n"),
                post(42, b"Expect: 100-continue\r\n"),
                post(60, LENGTH.replace(b"3", b"9" * 17)),
                post(61, LENGTH.replace(b"3", b"9" * 5000)),
                post(9).replace(b"9", b"300"),
                b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1e\r\n%b\r\n0\r\n\r\n" % (b"a" * 30),
                b"GET / HTTP/1.1\r\n\r\n",
                b"\r\n\r\n" + post(40),
                b"x",
            ]
        ),
        max_size=6,
    ),
)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_they_are_read_as_without(monkeypatch: pytest.MonkeyPatch, cuts: list[int], requests: list[bytes]) -> None:
    content = b"".join(requests)
    ends = [0, *sorted(cut for cut in cuts if cut < len(content)), len(content)]
    pieces = [content[start:end] for start, end in itertools.pairwise(ends)]
    monkeypatch.setattr(reader, "LEAST", 5)
    gathered = answers(pieces, Heads())
    monkeypatch.setattr(reader, "LEAST", 10**9)
    assert gathered == answers(pieces, Heads()) == answers(pieces, Forgetful())


def test_what_nobody_has_said_is_not_known() -> None:
    heads = Heads()
    answers([b"\r\n\r\n" + post(200_000)[:1000]], heads)
    assert heads.find(b"\r\n\r\n" + b"GET / HTTP/1.1\r\n\r\n") is None


async def sum_up(request: Request) -> Response:
    """Tells what it was given, and whether a processor could read it as it lies."""
    if isinstance(request.body, bytes):
        return Response(200, b"bytes of %d" % sum(request.body))
    asked = parse_request(request.body, int(request.text(b"inference-header-content-length")))
    array = asked.inputs["x"]
    assert not array.flags.writeable and array.ctypes.data % 64 == 0
    return Response(200, b"array of %d" % array.sum())


async def read_answer(stream: asyncio.StreamReader) -> bytes:
    head = await stream.readuntil(b"\r\n\r\n")
    size = int(head.lower().partition(b"content-length: ")[2].split()[0])
    return await stream.readexactly(size)


LOOPS = pytest.mark.parametrize("make_loop", [asyncio.new_event_loop, new_event_loop], ids=["asyncio", "fastest"])


@LOOPS
@pytest.mark.parametrize("secret", [False, True], ids=["open", "tls"])
def test_they_stay_where_they_were_received(
    make_loop: Callable[[], asyncio.AbstractEventLoop], secret: bool, tmp_path: Path
) -> None:
    array = np.arange(200_000, dtype=np.int32)
    large, small = render_request({"x": array}, binary=True), b"\1" * 100_000
    fields = b"%b: %d\r\n" % (LENGTH_HEADER.encode(), large.header_length or 0)
    head = b"POST / HTTP/1.1\r\n%bContent-Length: %d\r\n\r\n"

    async def dialogue(stream: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(3):  # the second time the head is known
            writer.write(head % (fields, len(large.content)))
            await asyncio.sleep(0.02)
            for start in range(0, len(large.content), 300_000):
                writer.write(large.content[start : start + 300_000])
                await asyncio.sleep(0.01)
            assert await read_answer(stream) == b"array of %d" % array.sum()
        together = head % (fields, len(large.content)) + large.content + head % (b"", len(small)) + small
        writer.write(together + head % (b"", 2) + b"\1\2")
        told = [await read_answer(stream) for _ in range(3)]
        assert told == [b"array of %d" % array.sum(), b"bytes of 100000", b"bytes of 3"]

    talk(dialogue, handler=sum_up, make_loop=make_loop, contexts=contexts(tmp_path) if secret else None)


def contexts(folder: Path) -> Contexts:
    authority, key = certificate(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority, key)
    return context, ssl.create_default_context(cafile=str(authority))


@LOOPS
@pytest.mark.parametrize(
    ("limits", "sent", "status"),
    [
        ({"body_seconds": 0.1}, 90_000, b"408"),
        ({"max_pending": 80_000}, 200_000, b"503"),
        ({"max_body": 150_000}, 200_000, b"413"),
    ],
)
def test_their_bounds(
    make_loop: Callable[[], asyncio.AbstractEventLoop], limits: dict[str, Any], sent: int, status: bytes
) -> None:
    async def dialogue(stream: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"POST / HTTP/1.1\r\nContent-Length: 200000\r\n\r\n")
        for _ in range(0, sent, 10_000):
            writer.write(bytes(10_000))
            await asyncio.sleep(0)
        assert (await stream.readline()).split()[1] == status

    talk(dialogue, handler=sum_up, make_loop=make_loop, **limits)


@LOOPS
def test_whoever_leaves_in_the_middle_leaves_nothing(make_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def dialogue(stream: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"POST / HTTP/1.1\r\nContent-Length: 200000\r\n\r\n" + bytes(100_000))
        await asyncio.sleep(0.05)
        writer.write_eof()
        assert await stream.read() == b""

    talk(dialogue, handler=sum_up, make_loop=make_loop)


@LOOPS
@pytest.mark.parametrize("secret", [False, True], ids=["open", "tls"])
@pytest.mark.parametrize("kind", ["bytes", "in place", "chunks"])
def test_what_was_answered_is_not_kept(
    make_loop: Callable[[], asyncio.AbstractEventLoop], secret: bool, kind: str, tmp_path: Path
) -> None:
    size = 8_000_000
    start = b"POST / HTTP/1.1\r\n"
    if kind == "chunks":
        request = start + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (size, bytes(size))
    elif kind == "bytes":
        request = start + b"Content-Length: %d\r\n\r\n%b" % (size, bytes(size))
    else:
        body, length = render_request({"x": np.zeros(size // 4, np.int32)}, binary=True)
        fields = (LENGTH_HEADER.encode(), length or 0, len(body), body)
        request = start + b"%b: %d\r\nContent-Length: %d\r\n\r\n%b" % fields

    async def dialogue(stream: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            writer.write(request)
            await writer.drain()
            await stream.readuntil(b"\r\n\r\n")
            await asyncio.sleep(0.05)
            assert tracemalloc.get_traced_memory()[0] - before < size / 4
        finally:
            tracemalloc.stop()

    talk(dialogue, handler=sum_up, make_loop=make_loop, contexts=contexts(tmp_path) if secret else None)


def test_an_event_loop_that_goes_on_with_the_same_protocol() -> None:
    """As Windows' does within one read."""

    class Owner(Gatherer):
        def __init__(self) -> None:
            self.body, self.rest = b"", b""

        def gathered(self, count: int) -> None:
            if gathering.complete:
                self.body = bytes(gathering.body)
                gathering.end()

        def data_received(self, data: bytes) -> None:
            self.rest += data

    owner = Owner()
    gathering = Gathering(owner, b"ab", 5)
    data = b"cdefgh" * 100
    while data:
        room = gathering.get_buffer(len(data))
        count = min(len(room), len(data))
        room[:count] = data[:count]
        gathering.buffer_updated(count)
        data = data[count:]
    assert owner.body == b"abcde" and owner.rest == b"fgh" + b"cdefgh" * 99
