"""The server on a real socket, in a thread of this process."""

import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lepton_ai.core import BundleError, ConfigError
from lepton_ai.serving import RequestFinished, Security, ServedModel, Server, ServerConfig
from lepton_ai.serving.ledger import IN_FLIGHT
from tests.contracts import graphs
from tests.contracts.bundles import write_bundle
from tests.contracts.slow import SlowRuntime

X = np.array([[1, 2, 3]], "float32")
GOLDEN = (({"x": X}, {"total": np.array([[6]], "float32"), "double": X * 2}),)
BODY = json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [1, 2, 3]}]})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    variants = {"fp32": graphs.rows_graph()}
    return write_bundle(tmp_path / "rows.lepton", name="rows", sign=graphs.ROWS, graphs=variants, golden=GOLDEN)


@pytest.fixture
def server(path: Path) -> Iterator[Server]:
    with Server.open(path, port=0, config=ServerConfig(max_body=50_000, threads=1)) as started:
        yield started


def ask(server: Server, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    connection = http.client.HTTPConnection(server.host, server.port, timeout=20)
    try:
        connection.request(method, path, body)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def raw_request(model: str) -> bytes:
    head = f"POST /v2/models/{model}/infer HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(BODY)}\r\n\r\n"
    return (head + BODY).encode()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def exchange(server: Server, *parts: bytes) -> bytes:
    """Raw bytes there, and all that comes back until the server closes."""
    with socket.create_connection((server.host, server.port), timeout=20) as connection:
        for part in parts:
            connection.sendall(part)
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
        return received


def test_answers_on_the_port_it_took(server: Server) -> None:
    assert server.url == f"http://127.0.0.1:{server.port}" and server.port > 0
    assert ask(server, "GET", "/v2/health/ready") == (200, {"ready": True})
    status, answer = ask(server, "POST", "/v2/models/rows/infer", BODY)
    assert status == 200 and answer["outputs"][0]["data"] == [6.0]


def test_oversized_bodies_get_their_error(server: Server) -> None:
    for size in (50_001, 190_000):
        status, answer = ask(server, "POST", "/v2/models/rows/infer", b" " * size)
        assert status == 413 and "larger than 50000 bytes" in answer["error"]
    head = b"POST /v2/models/rows/infer HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\n\r\n"
    assert exchange(server, head).startswith(b"HTTP/1.1 413")


def test_broken_http_is_answered_in_json(server: Server) -> None:
    answer = exchange(server, b"BROKEN\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400") and json.loads(answer.partition(b"\r\n\r\n")[2])["error"]


def test_many_connections_at_once(server: Server) -> None:
    finished: list[RequestFinished] = []
    server.app.finished.subscribe(finished.append)
    wrong: list[Any] = []

    def work(number: int) -> None:
        values = [number, 0, 1]
        body = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 3], "data": values}]}
        for _ in range(10):
            status, answer = ask(server, "POST", "/v2/models/rows/infer", json.dumps(body))
            if status != 200 or answer["outputs"][0]["data"] != [number + 1.0]:
                wrong.append((number, status, answer))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong and len(finished) == 80


def test_stop_closes_the_port(path: Path) -> None:
    with Server.open(path, port=0) as server:
        pass
    with pytest.raises(ConnectionError):
        socket.create_connection((server.host, server.port), timeout=5)


def test_a_taken_port_is_said_before_anything_is_loaded(server: Server, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot listen on .*Choose another port, or 0 for a free one."):
        Server.open(tmp_path / "not there", port=server.port)


def test_other_hosts_are_refused_without_consent(path: Path) -> None:
    with pytest.raises(
        ConfigError,
        match=r"got '0.0.0.0', expected a loopback address.*or insecure=True .--insecure",
    ):
        Server.open(path, host="0.0.0.0", port=0)
    with Server.open(path, host="0.0.0.0", port=0, security=Security(insecure=True), name="other") as server:
        assert ask(server, "GET", "/v2/models")[1] == {"models": ["other"]}


def test_a_bundle_that_answers_otherwise_is_not_served(tmp_path: Path) -> None:
    golden = (({"x": X}, {"total": np.array([[7]], "float32")}),)
    variants = {"fp32": graphs.rows_graph()}
    path = write_bundle(tmp_path / "b", name="rows", sign=graphs.ROWS, graphs=variants, golden=golden)
    with pytest.raises(BundleError, match="golden pair 0, output 'total': differs by 0.143 from the stored answer"):
        Server.open(path, port=0)


def test_a_bundle_without_graphs_is_not_served(tmp_path: Path) -> None:
    path = write_bundle(tmp_path / "b", name="rows", sign=graphs.ROWS)
    with pytest.raises(BundleError, match=r"Add one: lepton_ai.export\(model, "):
        Server.open(path, port=0)


def test_a_client_that_hangs_up_is_not_computed() -> None:
    runtime = SlowRuntime()
    model = ServedModel(runtime, name="slow")
    request = raw_request("slow")
    with Server([model], port=0) as server:
        finished: list[RequestFinished] = []
        server.app.finished.subscribe(finished.append)
        first, second, third = (socket.create_connection((server.host, server.port), timeout=20) for _ in range(3))
        first.sendall(request)
        assert runtime.entered.wait(20)
        second.sendall(request)
        third.sendall(request)
        wait_until(lambda: model.batcher.waiting == 2)
        second.close()
        ask(server, "GET", "/v2")  # the server has looked at its sockets since
        runtime.go.set()
        assert b"200 OK" in first.recv(1000) and b"200 OK" in third.recv(1000)
        first.close()
        third.close()
        wait_until(lambda: len(finished) == 3)
        assert sorted(event.status for event in finished) == [200, 200, 499] and runtime.rows == 2


def test_what_takes_too_long_to_stop_is_told_so() -> None:
    runtime = SlowRuntime()
    server = Server([ServedModel(runtime, name="slow")], port=0, config=ServerConfig(stop_seconds=1))
    with server, socket.create_connection((server.host, server.port), timeout=20) as connection:
        connection.sendall(raw_request("slow"))
        assert runtime.entered.wait(20)
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        answer = connection.recv(10_000)
        runtime.go.set()
        stopping.join(20)
    assert answer.startswith(b"HTTP/1.1 503") and b"the server is stopping" in answer


def test_heads_that_do_not_end_are_cut_off(path: Path) -> None:
    with Server.open(path, port=0, config=ServerConfig(head_seconds=0.2, idle_seconds=0.2)) as server:
        assert exchange(server) == b""
        answer = exchange(server, b"GET /v2 HTTP/1.1\r\nX: y")
        assert answer.startswith(b"HTTP/1.1 408") and b"not complete after 0.2 s" in answer
        answer = exchange(server, b"GET /v2 HTTP/1.1\r\nHost: localhost\r\n\r\n", b"\r\n")
        assert answer.startswith(b"HTTP/1.1 200") and answer.count(b"HTTP/1.1") == 1


def test_connections_are_bounded(path: Path) -> None:
    with Server.open(path, port=0, config=ServerConfig(max_connections=2)) as server:
        held = [socket.create_connection((server.host, server.port), timeout=20) for _ in range(2)]
        answer = exchange(server)
        assert answer.startswith(b"HTTP/1.1 503") and b"2 connections are open already" in answer
        for each in held:
            each.close()
        wait_until(lambda: not server.service.rows()[("", "")][IN_FLIGHT])
        assert ask(server, "GET", "/v2/health/live")[0] == 200
