"""A server that is asked for long by clients of all kinds, and in the end holds no more than at the start."""

import http.client
import random
import socket
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contracts import graphs
from tests.contracts.bundles import write_bundle
from tests.e2e.test_workers import Running

LOAD = 0.8  # of what the clients could ask for
GROWTH = 6 * 2**20  # bytes, which allocators keep
HEAD = b"POST /v2/models/rows/infer HTTP/1.1\r\nHost: localhost\r\nContent-Length: 90\r\n\r\n"


class Crowd:
    """Clients in threads, each of which does one thing again and again until `ending` is set."""

    def __init__(self, server: Running) -> None:
        self.server, self.ending = server, threading.Event()
        self.host, _, port = server.url.removeprefix("http://").partition(":")
        self.port = int(port)
        self.answered, self.wrong, self.odd = 0, list[Any](), 0
        kinds: list[Callable[[random.Random], None]] = [self.cancels, self.sends_garbage, self.dawdles, self.breaks_off]
        self.threads = [threading.Thread(target=self.counts)]
        self.threads += [threading.Thread(target=self.again, args=(kind,)) for kind in kinds]
        for thread in self.threads:
            thread.start()

    def counts(self) -> None:
        """Asks for numbers, and sees to it that each answer is that of its question."""
        connection = self.server.connect()
        number = 0
        try:
            while not self.ending.is_set():
                began = time.perf_counter()
                status, told = self.server.ask(number, connection)
                if status != 200 or told["outputs"][0]["data"] != [number + 1.0]:
                    self.wrong.append((number, status, told))
                number, self.answered = (number + 1) % 2**20, self.answered + 1
                time.sleep((time.perf_counter() - began) * (1 / LOAD - 1))
        except (OSError, http.client.HTTPException) as error:
            self.wrong.append((number, error))
        finally:
            connection.close()

    def again(self, kind: Callable[[random.Random], None]) -> None:
        draw = random.Random(0)
        while not self.ending.is_set():
            try:
                kind(draw)
            except OSError:
                pass  # the server may end what is none of its business
            self.odd += 1
            self.ending.wait(0.02)

    def cancels(self, draw: random.Random) -> None:
        """Asks, and is gone before or after the answer."""
        with socket.create_connection((self.host, self.port), timeout=10) as client:
            body = b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1,3],"data":[1,2,3]}]}'
            client.sendall(HEAD.replace(b"90", str(len(body)).encode()) + body[: draw.randrange(len(body) + 1)])
            time.sleep(draw.choice([0, 0.002]))

    def sends_garbage(self, draw: random.Random) -> None:
        """What is no HTTP, or no request."""
        with socket.create_connection((self.host, self.port), timeout=10) as client:
            client.sendall(draw.choice([draw.randbytes(200), HEAD + draw.randbytes(90), b"GET / HTTP/9.9\r\n\r\n"]))
            client.settimeout(0.2)
            client.recv(1000)

    def dawdles(self, draw: random.Random) -> None:
        """A byte now and then."""
        with socket.create_connection((self.host, self.port), timeout=10) as client:
            for byte in HEAD[: draw.randrange(60)]:
                client.sendall(bytes([byte]))
                if self.ending.wait(0.01):
                    return

    def breaks_off(self, draw: random.Random) -> None:
        """Announces a large body, and sends a part of it, or all, which is nothing."""
        with socket.create_connection((self.host, self.port), timeout=10) as client:
            client.sendall(HEAD.replace(b"90", b"300000"))
            client.sendall(bytes(min(300_000, draw.randrange(400_000))))
            client.settimeout(0.2)
            client.recv(1000)

    def go(self) -> None:
        self.ending.set()
        for thread in self.threads:
            thread.join(30)


def held(pid: int) -> tuple[int, int, int]:
    """Bytes in memory, descriptors, threads."""
    status = Path(f"/proc/{pid}/status").read_text()
    fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    return int(fields["VmRSS"].split()[0]) * 1024, len(list(Path(f"/proc/{pid}/fd").iterdir())), int(fields["Threads"])


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Running]:
    path = write_bundle(tmp_path / "rows", name="rows", sign=graphs.ROWS, graphs={"fp32": graphs.rows_graph()})
    running = Running(str(path))
    try:
        yield running
    finally:
        running.child.kill()
        running.child.communicate(timeout=30)


@pytest.mark.parametrize("seconds", [6, pytest.param(1800, marks=[pytest.mark.faults, pytest.mark.timeout(2400)])])
def test_nothing_is_left_behind(server: Running, seconds: float) -> None:
    server.ask(0)
    time.sleep(0.5)
    _, idle, _ = held(server.child.pid)
    crowd, memory, threads = Crowd(server), list[int](), list[int]()
    try:
        ending = time.monotonic() + seconds
        while time.monotonic() < ending and not crowd.wrong:
            time.sleep(seconds / 60)
            size, _, count = held(server.child.pid)
            memory.append(size)
            threads.append(count)
    finally:
        crowd.go()
    assert not crowd.wrong and crowd.answered > 20 * seconds and crowd.odd > 5 * seconds
    # The second third of the time beside the last one: caches and buffers have grown by then.
    parts = memory[len(memory) // 3 : 2 * len(memory) // 3], memory[2 * len(memory) // 3 :]
    assert statistics.median(parts[1]) - statistics.median(parts[0]) < GROWTH
    assert max(threads[len(threads) // 2 :]) <= max(threads[: len(threads) // 2])
    deadline = time.monotonic() + 30
    while held(server.child.pid)[1] > idle and time.monotonic() < deadline:
        time.sleep(0.1)
    assert held(server.child.pid)[1] <= idle
    assert not server.metric("lepton_in_flight_requests") and not server.metric("lepton_waiting_requests")
    print(f"{crowd.answered} answered, {crowd.odd} odd; memory {memory[len(memory) // 3]} to {memory[-1]} bytes")
