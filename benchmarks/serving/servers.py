"""The servers' processes: each in its environment, on one core."""

import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import NamedTuple

from benchmarks.training.environments import BENCHMARKS, environment

SERVER_CORE, CLIENT_CORE = 0, 1
_START_SECONDS = 60.0


class Peer(NamedTuple):
    """`family` is its environment (benchmarks/peers/FAMILY.txt), "" ours; `path` takes requests in `form`."""

    family: str
    command: tuple[str, ...]
    path: str
    health: str
    form: str  # "protocol" or "plain"


MODEL = "mlp"
PEERS = {
    "lepton": Peer(
        "",
        ("-m", "lepton_ai", "serve", "{bundle}", "--port", "{port}", "--management", "0", "--threads", "1"),
        f"/v2/models/{MODEL}/infer",
        "/v2/health/ready",
        "protocol",
    ),
    "empty": Peer("uvicorn", ("-m", "benchmarks.serving.empty_server", "{port}"), "/infer", "/", "protocol"),
    "fastapi": Peer(
        "fastapi", ("-m", "benchmarks.serving.fastapi_server", "{port}", "{graph}"), "/predict", "/health", "plain"
    ),
    "litserve": Peer(
        "litserve",
        ("-m", "benchmarks.serving.litserve_server", "{port}", "{graph}", "1", "0"),
        "/predict",
        "/health",
        "plain",
    ),
}


class NoServerError(Exception):
    """What it said last."""


class ServerProcess:
    """A peer that answers at `url` until `close`."""

    def __init__(self, name: str, folder: Path, *, options: tuple[str, ...] = ()) -> None:
        self.name, self.peer = name, PEERS[name]
        python = Path(sys.executable) if not self.peer.family else environment(self.peer.family)
        port = _free_port()
        places = {"port": port, "bundle": folder / f"{MODEL}.lepton", "graph": folder / f"{MODEL}.onnx"}
        # Options of a sweep take the place of the last ones.
        words = self.peer.command[: len(self.peer.command) - len(options)] + options
        command = ["taskset", "-c", str(SERVER_CORE), str(python), *(word.format(**places) for word in words)]
        self.url = f"http://127.0.0.1:{port}"
        self._said = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115
        self._process = subprocess.Popen(
            command,
            cwd=BENCHMARKS.parent,
            stdout=self._said,
            stderr=self._said,
            env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(BENCHMARKS.parent)},
            start_new_session=True,
        )
        try:
            self._await()
        except BaseException:
            self.close()
            raise

    def _await(self) -> None:
        """Until it answers.

        Raises: NoServerError with the last that it said.
        """
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                with urllib.request.urlopen(self.url + self.peer.health, timeout=5):
                    return
            except urllib.error.HTTPError:
                return
            except OSError:
                time.sleep(0.05)
        self._said.seek(0)
        raise NoServerError(f"{self.name}: " + " | ".join(self._said.read().strip().splitlines()[-3:]))

    def close(self) -> None:
        """End it and its workers."""
        try:
            os.killpg(self._process.pid, 9)
        except ProcessLookupError:
            pass
        self._process.wait()
        self._said.close()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as held:
        return int(held.getsockname()[1])
