"""Several processes that are one server: one port, counters added up, a dead one replaced, versions swapped."""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lepton_ai.core import RequestError
from lepton_ai.serving import control
from tests.contracts import graphs
from tests.contracts.bundles import write_bundle


class Running:
    """`lepton serve` with its two lines."""

    def __init__(self, *options: str) -> None:
        command = [sys.executable, "-m", "lepton_ai", "serve", "--port", "0", "--management", "0", *options]
        self.child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self.child.stdout is not None and self.child.stderr is not None
        self.ready = self.child.stdout.readline().strip() or self.child.stderr.read()
        self.managed = self.child.stdout.readline().strip()
        self.url = (re.search(r"http://\S+", self.ready) or [""])[0]
        self.at = self.managed.rpartition(" ")[2]

    def ask(self, number: float, connection: http.client.HTTPConnection | None = None) -> tuple[int, Any]:
        body = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [number, 0, 1]}]}
        used = connection or self.connect()
        used.request("POST", "/v2/models/rows/infer", json.dumps(body))
        answer = used.getresponse()
        told = json.loads(answer.read())
        if connection is None:
            used.close()
        return answer.status, told

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self.url.removeprefix("http://"), timeout=30)

    def metric(self, name: str) -> float:
        connection = http.client.HTTPConnection(self.at.removeprefix("http://"), timeout=30)
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        connection.close()
        return sum(
            float(value) for value in re.findall(rf"^{re.escape(name)}(?:{{[^}}]*}})? (\S+)$", text, re.MULTILINE)
        )

    def workers(self) -> list[int]:
        return [
            int(each) for each in Path(f"/proc/{self.child.pid}/task/{self.child.pid}/children").read_text().split()
        ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "rows").mkdir()
    for version in (1, 2):
        variants = {"fp32": graphs.rows_graph()}
        write_bundle(tmp_path / "rows" / str(version), name="rows", sign=graphs.ROWS, graphs=variants)
    return tmp_path


@pytest.fixture
def server(folder: Path) -> Iterator[Running]:
    running = Running("--repository", str(folder), "--workers", "2")
    try:
        yield running
    finally:
        running.child.kill()
        running.child.communicate(timeout=30)


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_they_share_a_port_and_their_counters_add_up(server: Running) -> None:
    assert re.fullmatch(r"lepton: serving rows at http://127\.0\.0\.1:\d+", server.ready)
    assert len(server.workers()) == 2
    for number in range(40):
        status, told = server.ask(number)
        assert status == 200 and told["outputs"][0]["data"] == [number + 1.0] and told["model_version"] == "2"
    assert server.metric("nv_inference_request_success") == 40 and server.metric("lepton_workers") == 2
    server.child.send_signal(signal.SIGTERM)
    out, err = server.child.communicate(timeout=30)
    assert (server.child.returncode, out, err) == (0, "", "")


def test_one_that_dies_is_replaced_while_the_other_answers(server: Running) -> None:
    control.load("rows", "1", at=server.at)
    server.ask(1)
    before = server.metric("nv_inference_request_success")
    killed = server.workers()[0]
    os.kill(killed, signal.SIGKILL)
    lost = 0
    for number in range(30):
        try:
            status, told = server.ask(number)
        except (OSError, http.client.HTTPException):
            lost += 1
        else:
            assert status == 200 and told["outputs"][0]["data"] == [number + 1.0]
    assert lost <= 1, "only what the dead one had taken may be lost"
    until(lambda: server.metric("lepton_workers") == 2)
    assert killed not in server.workers() and server.metric("lepton_worker_restarts_total") == 1
    assert server.metric("nv_inference_request_success") == before + 30 - lost
    states = {(each["version"], each["state"]) for each in index(server)}
    assert states == {("1", "READY"), ("2", "READY")}


def test_one_that_is_asked_to_end_leaves_the_port_to_the_others(server: Running) -> None:
    asked = server.workers()[0]
    os.kill(asked, signal.SIGTERM)
    until(lambda: asked not in server.workers() and len(server.workers()) == 2)
    for number in range(20):
        status, told = server.ask(number)
        assert status == 200 and told["outputs"][0]["data"] == [number + 1.0]


def test_a_signal_to_all_processes_ends_them_in_order(server: Running) -> None:
    lost: list[Exception] = []

    def ask_on() -> None:
        while not lost:
            try:
                assert server.ask(1)[0] in (200, 503)
            except ConnectionRefusedError:
                return
            except Exception as error:
                lost.append(error)

    client = threading.Thread(target=ask_on)
    client.start()
    for each in [*server.workers(), server.child.pid]:
        os.kill(each, signal.SIGTERM)
    assert server.child.wait(30) == 0
    client.join(30)
    assert not lost


def test_versions_change_in_all_of_them_and_no_request_is_lost(server: Running) -> None:
    wrong: list[Any] = []
    counts: list[int] = []
    stop = threading.Event()

    def client(first: int) -> None:
        connection = server.connect()
        number = first
        while not stop.is_set():
            status, told = server.ask(number, connection)
            if status != 200 or told["outputs"][0]["data"] != [number + 1.0]:
                wrong.append((number, status, told))
            number += 4
        counts.append((number - first) // 4)
        connection.close()

    threads = [threading.Thread(target=client, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(5):
            control.load("rows", "1", at=server.at)
            control.unload("rows", "2", at=server.at)
            control.load("rows", "2", at=server.at)
            control.unload("rows", "1", at=server.at)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not wrong and server.metric("nv_inference_request_success") == sum(counts) > 20
    assert server.metric("nv_inference_request_failure") == 0


def test_what_one_cannot_load_none_answers_with(server: Running, folder: Path) -> None:
    (folder / "rows" / "1" / "variants" / "fp32" / "model.onnx").write_bytes(b"broken")
    with pytest.raises(RequestError, match="truncated or changed"):
        control.load("rows", "1", at=server.at)
    with pytest.raises(RequestError, match="has no version '9'"):
        control.load("rows", "9", at=server.at)
    (failed,) = (each for each in index(server) if each["version"] == "1")
    assert failed["state"] == "UNAVAILABLE" and "truncated" in failed["reason"]
    assert server.ask(1)[1]["model_version"] == "2"


def test_drain_ends_all(server: Running) -> None:
    workers = server.workers()
    control.drain(at=server.at)
    assert server.child.wait(30) == 0
    assert not any(Path(f"/proc/{each}").exists() for each in workers)


def test_workers_end_with_their_supervisor(server: Running) -> None:
    workers = server.workers()
    server.child.kill()
    server.child.wait(30)
    until(lambda: not any(_lives(each) for each in workers))


def test_what_cannot_be_served_ends_with_its_reason(tmp_path: Path) -> None:
    path = write_bundle(tmp_path / "saved", name="saved")
    running = Running(str(path), "--workers", "2")
    assert running.child.wait(30) == 1 and "lepton_ai.export(model, " in running.ready
    assert "Traceback" not in running.ready
    running.child.communicate()


def index(server: Running) -> list[dict[str, str]]:
    connection = http.client.HTTPConnection(server.at.removeprefix("http://"), timeout=30)
    connection.request("POST", "/v2/repository/index")
    told: list[dict[str, str]] = json.loads(connection.getresponse().read())
    connection.close()
    return told


def _lives(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().split()[2] != "Z"
    except OSError:
        return False
