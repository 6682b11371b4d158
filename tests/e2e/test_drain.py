"""Servers that stop under load: whatever was sent is answered, by clients that number their requests."""

import http.client
import json
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.contracts import graphs
from tests.contracts.bundles import write_bundle
from tests.e2e.test_workers import Running


class Counting:
    """A client that asks for one number after the other until nobody listens any more."""

    def __init__(self, server: Running) -> None:
        self.server = server
        self.answered = 0
        self.wrong: list[Any] = []
        self.thread = threading.Thread(target=self.run)

    def run(self) -> None:
        while True:
            connection = self.server.connect()
            try:
                connection.connect()
            except OSError:
                return  # nobody listens: nothing was sent
            if not self.ask(connection):
                return

    def ask(self, connection: http.client.HTTPConnection) -> bool:
        """Go on until the server says that this was the connection's last answer."""
        body = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [self.answered, 0, 1]}]}
        try:
            while connection.sock is not None:
                body["inputs"][0]["data"] = [self.answered, 0, 1]
                connection.request("POST", "/v2/models/rows/infer", json.dumps(body))
                answer = connection.getresponse()
                told = json.loads(answer.read())
                if answer.status != 200 or told["outputs"][0]["data"] != [self.answered + 1.0]:
                    self.wrong.append((self.answered, answer.status, told))
                    return False
                self.answered += 1
        except (OSError, http.client.HTTPException) as error:
            self.wrong.append((self.answered, error))
            return False
        finally:
            connection.close()
        return True


@pytest.mark.parametrize("rounds", [2, pytest.param(100, marks=[pytest.mark.faults, pytest.mark.timeout(900)])])
@pytest.mark.parametrize("workers", [1, 2])
def test_what_was_sent_is_answered(tmp_path: Path, workers: int, rounds: int) -> None:
    path = write_bundle(tmp_path / "rows", name="rows", sign=graphs.ROWS, graphs={"fp32": graphs.rows_graph()})
    for _ in range(rounds):
        server = Running(str(path), "--grace", "0.3", "--workers", str(workers))
        try:
            clients = [Counting(server) for _ in range(4)]
            for client in clients:
                client.thread.start()
            while not all(client.answered > 20 for client in clients):
                assert not any(client.wrong for client in clients), [client.wrong for client in clients]
            server.child.send_signal(signal.SIGTERM)
            out, err = server.child.communicate(timeout=30)
            for client in clients:
                client.thread.join(30)
        finally:
            server.child.kill()
            server.child.communicate(timeout=30)
        assert (server.child.returncode, out, err) == (0, "", "")
        assert not any(client.wrong for client in clients), [client.wrong for client in clients]
