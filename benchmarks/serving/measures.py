"""One measurement of one server: what wrk gets out of it, and how long users wait at a rate."""

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from benchmarks.serving.servers import CLIENT_CORE, SERVER_CORE, ServerProcess
from benchmarks.training.environments import BENCHMARKS
from lepton_ai.serving.bench_drive import Driver, arrivals
from lepton_ai.serving.bench_result import summarize
from lepton_ai.serving.bench_target import Body, raw_target

CONNECTIONS = 64
FEATURES = 30
PICTURE = (3, 224, 224)
WARM_SECONDS, WARM_TURNS = 2.0, 5
TIMEOUT = 10  # seconds, after which wrk counts an error
_RATE = re.compile(r"Requests/sec:\s+([\d.]+)")
_HALF = re.compile(r"50%\s+([\d.]+)(us|ms|s)")
_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}
_BAD = re.compile(r"Non-2xx or 3xx responses: (\d+)|Socket errors: (.*)")


class BadAnswersError(Exception):
    """A server that does not answer as it should cannot be measured."""


class Request(NamedTuple):
    """What all ask again and again."""

    body: bytes
    headers: dict[str, str]


class Pressed(NamedTuple):
    """What a server answers to clients that ask again as soon as they are answered, and the median of their waits."""

    per_second: float
    p50: float


def row_request(form: str) -> Request:
    """The same row of 30 numbers, as JSON, in the words of the protocol or of a plain handler."""
    row = [round(float(each), 6) for each in np.random.default_rng(0).standard_normal(FEATURES)]
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, FEATURES], "data": row}
    content = {"x": [row]} if form == "plain" else {"inputs": [tensor]}
    return Request(json.dumps(content).encode(), {"Content-Type": "application/json"})


def picture() -> bytes:
    """A picture as floats."""
    return np.random.default_rng(0).standard_normal(PICTURE, np.float32).tobytes()


def picture_request() -> Request:
    """A picture by the protocol's binary extension."""
    content = picture()
    parameters = {"binary_data_size": len(content)}
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, *PICTURE], "parameters": parameters}
    head = json.dumps({"inputs": [tensor]}).encode()
    headers = {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(len(head))}
    return Request(head + content, headers)


def press(server: ServerProcess, request: Request, seconds: float, connections: int = CONNECTIONS) -> Pressed:
    """All that a server can do for so many connections, each of which asks again as soon as it is answered; by wrk.

    Raises: BadAnswersError.
    """
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / "body").write_bytes(request.body)
        script = Path(place) / "request.lua"
        lines = ["wrk.method = 'POST'", f"wrk.body = io.open('{place}/body', 'rb'):read('*a')"]
        lines += [f"wrk.headers['{name}'] = '{value}'" for name, value in request.headers.items()]
        script.write_text("\n".join(lines))

        def ask(length: float) -> str:
            clients = [f"-c{connections}", "-t1", f"-d{length:g}s", f"--timeout={TIMEOUT}s", "--latency"]
            command = ["taskset", "-c", str(CLIENT_CORE), "wrk", *clients, "-s", str(script), server.url + server.path]
            return subprocess.run(command, capture_output=True, text=True, check=True).stdout

        for _ in range(WARM_TURNS):  # some answer errors at first, after they said that they are ready
            if _BAD.search(ask(WARM_SECONDS)) is None:
                break
        said = ask(seconds)
        bad = _BAD.search(said)
        if bad is not None:
            raise BadAnswersError(f"{server.name}: {bad[0]}")
    rate, half = _RATE.search(said), _HALF.search(said)
    assert rate is not None and half is not None, said
    return Pressed(float(rate[1]), float(half[1]) * _UNITS[half[2]])


def waits(server: ServerProcess, request: Request, rate: float, seconds: float) -> dict[str, Any]:
    """Latencies at a rate, from when requests were due, by Lepton's own generator on the other core."""
    target = raw_target(server.url + server.path, [Body(request.body)], headers=request.headers)
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {CLIENT_CORE})
    driver = Driver(target, connections=CONNECTIONS)
    try:
        record = driver.scheduled(arrivals(rate, WARM_SECONDS + seconds))
    finally:
        driver.close()
        os.sched_setaffinity(0, before)
    run = summarize(record, rate=rate, warmup=WARM_SECONDS, seconds=seconds)
    found: dict[str, Any] = msgspec.to_builtins(run)
    return {name: found[name] for name in ("rate", "throughput", "latency", "errors", "lag", "held")}


def bare(graph: Path, content: bytes, seconds: float) -> Pressed:
    """What the session alone does, on the server's core."""
    command = ["taskset", "-c", str(SERVER_CORE), sys.executable, "-m", "benchmarks.serving.bare_loop"]
    command += [str(graph), str(seconds)]
    said = subprocess.run(command, input=content, capture_output=True, cwd=BENCHMARKS.parent, check=True).stdout
    return Pressed(**json.loads(said))
