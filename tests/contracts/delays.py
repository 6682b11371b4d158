"""A server of known delays, which keeps the moments of each request by its number."""

import asyncio
import contextlib
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from lepton_ai.serving.bench_target import Body, Target, raw_target

LENGTH = re.compile(rb"Content-Length: (\d+)")
NUMBER = re.compile(rb"\d{12}")


class Delays:
    """Answers request `n` after `delay(n)` seconds with `status(n)` and `number(n)`; a status of -1 hangs up instead.
    With a `header` it hangs up after each answer.
    """

    def __init__(self) -> None:
        self.delay: Callable[[int], float] = lambda _: 0.0
        self.status: Callable[[int], int] = lambda _: 200
        self.number: Callable[[int], int] = lambda n: n
        self.header = b""
        self.came: dict[int, float] = {}
        self.answered: dict[int, float] = {}
        self.transports: list[asyncio.Transport] = []
        self.port = 0

    @property
    def connections(self) -> int:
        return len(self.transports)

    def target(self, body: bytes = b'{"id":"') -> Target:
        return raw_target(f"http://127.0.0.1:{self.port}/x", [Body(body, b'"}')], numbered=True)

    def answer(self, transport: asyncio.Transport, number: int) -> None:
        status, body = self.status(number), b'{"id":"%012d"}' % self.number(number)
        if status > 0:
            self.answered[number] = time.perf_counter()
            head = b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n%s\r\n" % (status, len(body), self.header)
            transport.write(head + body)
        if status < 0 or self.header:
            transport.close()


class Conversation(asyncio.Protocol):
    """One connection; its client waits for each answer before it asks again."""

    def __init__(self, server: Delays) -> None:
        self.server, self.received = server, bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.server.transports.append(transport)

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, end, body = self.received.partition(b"\r\n\r\n")
        found = LENGTH.search(head)
        if not end or found is None or len(body) < int(found[1]):
            return
        number = int(NUMBER.findall(body[-20:])[-1])
        self.received.clear()
        self.server.came[number] = time.perf_counter()
        loop = asyncio.get_running_loop()
        loop.call_later(self.server.delay(number), self.server.answer, self.transport, number)


@contextlib.contextmanager
def delays() -> Iterator[Delays]:
    """One on a free port of this machine."""
    made, started, ended = Delays(), threading.Event(), asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        listener = socket.create_server(("127.0.0.1", 0), backlog=100)
        listener.setblocking(False)
        accepting: list[asyncio.Task[Any]] = []

        def accept() -> None:
            with contextlib.suppress(BlockingIOError):
                taken, _ = listener.accept()
                accepting.append(loop.create_task(loop.connect_accepted_socket(lambda: Conversation(made), taken)))

        loop.add_reader(listener, accept)
        made.port = listener.getsockname()[1]
        loops.append(loop)
        started.set()
        await ended.wait()
        loop.remove_reader(listener)
        listener.close()
        await asyncio.gather(*accepting)  # every connection that was taken has its transport now, and is closed by it
        for transport in made.transports:
            transport.abort()
        while any(transport.get_extra_info("socket").fileno() >= 0 for transport in made.transports):
            await asyncio.sleep(0.005)

    thread = threading.Thread(target=asyncio.run, args=(main(),))
    thread.start()
    assert started.wait(20)
    try:
        yield made
    finally:
        loops[0].call_soon_threadsafe(ended.set)
        thread.join(20)
