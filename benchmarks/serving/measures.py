"""One measurement of one server: what wrk gets out of it, and how long users wait at a rate."""

import json
import os
import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from benchmarks.serving.servers import CLIENT_CORE, ServerProcess
from lepton_ai.serving.bench_drive import Driver, arrivals
from lepton_ai.serving.bench_result import summarize
from lepton_ai.serving.bench_target import Body, raw_target

CONNECTIONS = 64
FEATURES = 30
WARM_SECONDS = 2.0
_RATE = re.compile(r"Requests/sec:\s+([\d.]+)")
_BAD = re.compile(r"Non-2xx or 3xx responses: (\d+)|Socket errors: (.*)")


class BadAnswersError(Exception):
    """A server that does not answer as it should cannot be measured."""


def body(form: str) -> bytes:
    """The same row of 30 numbers, as JSON, in the words of the protocol or of a plain handler."""
    row = [round(float(each), 6) for each in np.random.default_rng(0).standard_normal(FEATURES)]
    if form == "plain":
        return json.dumps({"x": [row]}).encode()
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, FEATURES], "data": row}
    return json.dumps({"inputs": [tensor]}).encode()


def most(server: ServerProcess, seconds: float) -> float:
    """Requests a second over 64 connections, each of which asks again as soon as it is answered; by wrk.

    Raises: BadAnswersError.
    """
    script = f"wrk.method = 'POST'\nwrk.body = {json.dumps(body(server.peer.form).decode())}\n"
    script += "wrk.headers['Content-Type'] = 'application/json'\n"
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write(script)
        file.flush()
        found = 0.0
        for length in (WARM_SECONDS, seconds):
            command = [
                "taskset",
                "-c",
                str(CLIENT_CORE),
                "wrk",
                "-t1",
                f"-c{CONNECTIONS}",
                f"-d{length:g}s",
                "-s",
                file.name,
                server.url + server.peer.path,
            ]
            said = subprocess.run(
                command,
                capture_output=True,
                text=True,
                check=True,
            ).stdout
            bad = _BAD.search(said)
            if bad is not None:
                raise BadAnswersError(f"{server.name}: {bad[0]}")
            rate = _RATE.search(said)
            assert rate is not None, said
            found = float(rate[1])
    return found


def waits(server: ServerProcess, rate: float, seconds: float) -> dict[str, Any]:
    """Latencies at a rate, from when requests were due, by Lepton's own generator on the other core."""
    target = raw_target(
        server.url + server.peer.path, [Body(body(server.peer.form))], headers={"Content-Type": "application/json"}
    )
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


def write_model(folder: Path) -> None:
    """The MLP 30-256-256-2 as a bundle, and as the file that other servers load."""
    from tests.contracts.bundles import write_bundle
    from tests.contracts.graphs import mlp_graph

    content, sign = mlp_graph((FEATURES, 256, 256, 2))
    (folder / "mlp.onnx").write_bytes(content)
    write_bundle(folder / "mlp.lepton", name="mlp", sign=sign, graphs={"fp32": content})
