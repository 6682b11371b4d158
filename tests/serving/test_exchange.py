"""Requests that are answered without a task: over real connections, with all that may come between."""

import asyncio
import gzip
import json
import re
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest

from lepton_ai.core import DataError
from lepton_ai.serving import App, RequestFinished, ServedModel, ServerConfig, ledger
from lepton_ai.serving.http import Engine
from lepton_ai.serving.line import Answer
from lepton_ai.serving.outbox import Outbox
from tests.contracts.slow import SlowRuntime

X = {"name": "x", "datatype": "FP32", "shape": [2, 3], "data": [1, 2, 3, 4, 5, 6]}
BODY = json.dumps({"inputs": [X]}).encode()
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def post(body: bytes = BODY, *fields: str) -> bytes:
    lines = ["POST /v2/models/slow/infer HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}", *fields]
    return "\r\n".join([*lines, "", ""]).encode() + body


class Stage:
    """A server for a model that computes when it is told to."""

    def __init__(self, **limits: Any) -> None:
        self.runtime = SlowRuntime()
        config = ServerConfig(**limits)
        self.model = ServedModel(self.runtime, name="slow", config=config)
        self.app = App([self.model], config)
        self.engine = Engine(self.app.begin, self.app.service)
        self.finished: list[RequestFinished] = []
        self.app.finished.subscribe(self.finished.append)
        self.opened: list[asyncio.StreamWriter] = []

    async def connect(self) -> Streams:
        reader, writer = await asyncio.open_connection(*self.address)
        self.opened.append(writer)
        return reader, writer

    async def crowd(self, count: int) -> list[Streams]:
        """So many requests: the first is being computed, the others wait."""
        streams = [await self.connect() for _ in range(count)]
        for index, (_, writer) in enumerate(streams):
            writer.write(post())
            if not index:
                await until(self.runtime.entered.is_set)
        await until(lambda: self.model.batcher.waiting == count - 1)
        return streams

    def play(self, scenario: Callable[["Stage"], Awaitable[None]]) -> None:
        async def main() -> None:
            server = await asyncio.get_running_loop().create_server(self.engine.protocol, "127.0.0.1", 0)
            self.address = server.sockets[0].getsockname()
            try:
                await asyncio.wait_for(scenario(self), 20)
            finally:
                self.runtime.go.set()
                for writer in self.opened:
                    writer.close()
                server.close()
                await self.engine.finish(0)
                await self.app.close()
            assert self.app.service.pending == 0 and not self.model.batcher.waiting
            assert self.model.counters[ledger.IN_FLIGHT] == 0, "nothing is in flight"

        asyncio.run(main())

    @property
    def statuses(self) -> list[int]:
        return [event.status for event in self.finished]


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.001)


async def answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    fields = dict(line.split(": ", 1) for line in lines[1:-2])
    return int(lines[0].split()[1]), fields, await reader.readexactly(int(fields["content-length"]))


def test_requests_of_one_connection_are_answered_in_order_whatever_they_are() -> None:
    async def scenario(stage: Stage) -> None:
        reader, writer = await stage.connect()
        get = b"GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n"
        parts = [post(), get, post(b"{"), post(), get * 3, post(BODY, "Connection: close")]
        writer.write(b"".join(parts))
        stage.runtime.go.set()
        statuses = [(await answer(reader))[0] for _ in range(8)]
        assert statuses == [200, 404, 400, 200, 404, 404, 404, 200] and await reader.read() == b""

    Stage().play(scenario)


def test_thousands_of_requests_at_once_do_not_nest() -> None:
    async def scenario(stage: Stage) -> None:
        reader, writer = await stage.connect()
        writer.write(post() + b"GET /v2 HTTP/1.1\r\n\r\n" * 3000)
        await until(stage.runtime.entered.is_set)
        stage.runtime.go.set()
        assert [(await answer(reader))[0] for _ in range(3001)] == [200] * 3001

    Stage().play(scenario)


def test_a_client_that_leaves_while_it_waits_is_not_computed() -> None:
    stage = Stage()

    async def scenario(stage: Stage) -> None:
        (first, writer), (_, leaving), (third, other) = [await stage.connect() for _ in range(3)]
        writer.write(post())
        await until(stage.runtime.entered.is_set)
        leaving.write(post() + post())
        other.write(post())
        await until(lambda: stage.model.batcher.waiting == 2 and len(stage.engine.connections) == 3)
        leaving.close()
        await until(lambda: stage.statuses == [499])
        stage.runtime.go.set()
        assert (await answer(first))[0] == (await answer(third))[0] == 200

    stage.play(scenario)
    assert stage.runtime.rows == 4 and sorted(stage.statuses) == [200, 200, 499]


def test_deadlines_pass_while_a_request_waits() -> None:
    async def scenario(stage: Stage) -> None:
        (_, writer), (reader, late) = [await stage.connect() for _ in range(2)]
        writer.write(post())
        await until(stage.runtime.entered.is_set)
        late.write(post(BODY, "Lepton-Timeout-Ms: 30"))
        status, _, content = await answer(reader)
        assert status == 504 and b"the deadline passed" in content
        stage.runtime.go.set()
        late.write(post(BODY, "Lepton-Timeout-Ms: 20000", "Lepton-Timing: 1"))
        status, fields, _ = await answer(reader)
        assert status == 200 and "compute;dur=" in fields["server-timing"]

    Stage().play(scenario)


def test_what_waits_is_finished_when_the_server_stops() -> None:
    async def scenario(stage: Stage) -> None:
        streams = await stage.crowd(5)
        finishing = asyncio.ensure_future(stage.engine.finish(10))
        await asyncio.sleep(0.02)
        stage.runtime.go.set()
        for reader, _ in streams:
            status, fields, _ = await answer(reader)
            assert (status, fields["connection"]) == (200, "close") and await reader.read() == b""
        await finishing

    Stage().play(scenario)


def test_what_takes_too_long_is_told_that_the_server_stops() -> None:
    async def scenario(stage: Stage) -> None:
        streams = await stage.crowd(3)
        await stage.engine.finish(0.05)
        for reader, _ in streams:
            status, _, content = await answer(reader)
            assert status == 503 and json.loads(content) == {"error": "the server is stopping"}
            assert await reader.read() == b""
        assert stage.statuses == [499] * 3

    Stage().play(scenario)


def test_an_answer_that_is_not_taken_keeps_nobody_from_his(caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        def done(self) -> bool:
            return False

        def set_result(self, result: Answer, /) -> None:
            raise RuntimeError("broken")

        def set_exception(self, exception: BaseException, /) -> None:
            raise RuntimeError("broken")

        def add_done_callback(self, callback: Callable[[Any], object], /) -> None:
            pass

    async def scenario(stage: Stage) -> None:
        reader, writer = await stage.connect()
        stage.runtime.go.set()
        feed = {"x": np.ones((2, 3), np.float32)}
        stage.model.batcher.submit(feed, Broken())
        writer.write(post())
        assert (await answer(reader))[0] == 200
        stage.runtime.error = DataError("bad")
        stage.model.batcher.submit(feed, Broken())
        writer.write(post())
        assert (await answer(reader))[0] == 400

    Stage().play(scenario)
    assert caplog.text.count("an answer was not taken") == 2


@pytest.mark.parametrize("size", [2, 40_000])
def test_bodies_come_and_go_packed(size: int) -> None:
    """The large ones by way of a thread."""
    data = [float(number % 97) for number in range(3 * size)]
    body = json.dumps({"inputs": [X | {"shape": [size, 3], "data": data}]}).encode()

    async def scenario(stage: Stage) -> None:
        reader, writer = await stage.connect()
        stage.runtime.go.set()
        writer.write(post(gzip.compress(body), "Content-Encoding: gzip", "Accept-Encoding: gzip"))
        status, fields, content = await answer(reader)
        assert status == 200 and ("content-encoding" in fields) == (size > 2)
        text = gzip.decompress(content) if size > 2 else content
        assert json.loads(text)["outputs"][0]["shape"][0] == size
        writer.write(post(b"broken" * size * 10, "Content-Encoding: gzip"))
        assert (await answer(reader))[0] == 400
        assert stage.statuses == [200, 400]

    Stage().play(scenario)


def test_each_client_has_its_limit_back_after_any_end() -> None:
    async def scenario(stage: Stage) -> None:
        (reader, writer), (other, second) = [await stage.connect() for _ in range(2)]
        writer.write(post())
        await until(stage.runtime.entered.is_set)
        second.write(post())
        assert (await answer(other))[0] == 429
        stage.runtime.go.set()
        assert (await answer(reader))[0] == 200
        for body in (b"{", BODY, b"{", BODY):
            second.write(post(body))
            assert (await answer(other))[0] == (200 if body == BODY else 400)

    Stage(client_requests=1).play(scenario)


def test_the_outbox_keeps_the_order() -> None:
    sent: list[bytes] = []

    class Wire:
        def write(self, content: bytes) -> None:
            sent.append(content)

    outbox, wire = Outbox(), Wire()
    outbox.write(wire, b"1")  # type: ignore[arg-type]
    with outbox:
        outbox.write(wire, b"2")  # type: ignore[arg-type]
        with outbox:
            outbox.write(wire, b"3")  # type: ignore[arg-type]
        assert sent == [b"1"]
        outbox.flush()
        assert sent == [b"1", b"2", b"3"]
        outbox.write(wire, b"4")  # type: ignore[arg-type]
    assert re.fullmatch(b"1234", b"".join(sent))
