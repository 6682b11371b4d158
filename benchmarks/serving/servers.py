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
_START_SECONDS = 120.0
_END_SECONDS = 10.0


class Peer(NamedTuple):
    """`family` is its environment (benchmarks/peers/FAMILY.txt), "" ours; `path` takes requests in `form`.

    Words in braces in `command` and `variables` are filled in, those with numbers by one of the settings in `sweep`.
    """

    family: str
    command: tuple[str, ...]
    path: str
    health: str
    form: str  # "protocol" or "plain"
    sweep: tuple[tuple[str, ...], ...] = ((),)
    variables: tuple[tuple[str, str], ...] = ()


# The largest batch, and the seconds to wait for one to fill.
BATCHES = (("1", "0"), ("16", "0.001"), ("64", "0.001"), ("64", "0.005"))
PEERS = {
    "lepton": Peer(
        "",
        ("-m", "lepton_ai", "serve", "{bundle}", "--port", "{port}", "--management", "0", "--threads", "1"),
        "/v2/models/{model}/infer",
        "/v2/health/ready",
        "protocol",
    ),
    "empty": Peer("uvicorn", ("-m", "benchmarks.serving.empty_server", "{port}"), "/infer", "/", "protocol"),
    "fastapi": Peer(
        "fastapi",
        ("-m", "benchmarks.serving.fastapi_server", "{port}", "{graph}"),
        "/{0}",
        "/health",
        "plain",
        (("predict",), ("predict_in_thread",)),
    ),
    "litserve": Peer(
        "litserve",
        ("-m", "benchmarks.serving.litserve_server", "{port}", "{graph}", "{0}", "{1}"),
        "/predict",
        "/health",
        "plain",
        BATCHES,
    ),
    "bentoml": Peer(
        "bentoml",
        ("-m", "bentoml", "serve", "benchmarks.serving.bentoml_server:Mlp", "--host", "127.0.0.1", "--port", "{port}"),
        "/predict",
        "/livez",
        "plain",
        (("1", "1"), ("64", "10"), ("64", "100")),
        (("MODEL", "{graph}"), ("MAX_BATCH", "{0}"), ("BATCH_MILLISECONDS", "{1}")),
    ),
    "mlserver": Peer(
        "mlserver",
        ("-m", "benchmarks.serving.mlserver_server", "{port}", "{graph}", "{0}", "{1}"),
        "/v2/models/mlp/infer",
        "/v2/models/mlp/ready",
        "protocol",
        BATCHES,
    ),
    "ray-serve": Peer(
        "ray-serve",
        ("-m", "benchmarks.serving.ray_serve_server", "{port}", "{graph}", "{0}", "{1}"),
        "/predict",
        "/-/healthz",
        "plain",
        BATCHES,
    ),
}


class NoServerError(Exception):
    """What it said last."""


class ServerProcess:
    """A peer that answers at `url` until `close`."""

    def __init__(self, name: str, folder: Path, setting: tuple[str, ...] | None = None, *, model: str = "mlp") -> None:
        self.name, self.peer = name, PEERS[name]
        python = Path(sys.executable) if not self.peer.family else environment(self.peer.family)
        port, setting = free_port(), self.peer.sweep[0] if setting is None else setting
        places = {"port": port, "bundle": folder / f"{model}.lepton", "graph": folder / f"{model}.onnx", "model": model}

        def fill(word: str) -> str:
            return word.format(*setting, **places)

        command = ["taskset", "-c", str(SERVER_CORE), str(python), *map(fill, self.peer.command)]
        variables = {name: fill(value) for name, value in self.peer.variables}
        self.url = f"http://127.0.0.1:{port}"
        self.path = fill(self.peer.path)
        self._said = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115
        self._process = subprocess.Popen(
            command,
            cwd=BENCHMARKS.parent,
            stdout=self._said,
            stderr=self._said,
            env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(BENCHMARKS.parent)} | variables,
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
        """End it and its workers: those in sessions of their own end only with a server that is asked to."""
        self._process.terminate()
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            pass
        try:
            os.killpg(self._process.pid, 9)
        except ProcessLookupError:
            pass
        self._process.wait()
        self._said.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as held:
        return int(held.getsockname()[1])
