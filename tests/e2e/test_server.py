"""The server as a process of its own, asked by a client library that is not ours."""

import http.client
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.contracts import graphs
from tests.contracts.bundles import write_bundle
from tests.contracts.command import run_process

tritonclient = pytest.importorskip("tritonclient.http")

FORBIDDEN = ("torch", "scipy", "sklearn", "pandas", "keras", "sqlalchemy", "onnx", "starlette", "fastapi")
CODE = f"""
import sys
from lepton_ai.serving import serve
serve(sys.argv[1], port=0)
print("loaded:", [name for name in {FORBIDDEN!r} if name in sys.modules], flush=True)
"""
MEMORY_LIMIT = 120 * 2**20
X = np.array([[1, 2, 3], [4, 5, 6]], "float32")
GOLDEN = (({"x": X}, {"total": X.sum(axis=1, keepdims=True), "double": X * 2}),)


class Process:
    """A serving process and where it answers."""

    def __init__(self, child: "subprocess.Popen[str]", ready: str) -> None:
        self.child, self.ready = child, ready
        self.address = ready.rpartition("http://")[2]
        host, _, port = self.address.partition(":")
        self.host, self.port = host, int(port)

    def memory(self) -> int:
        status = Path(f"/proc/{self.child.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) * 1024

    def terminate(self) -> tuple[int, str, str]:
        self.child.send_signal(signal.SIGTERM)
        out, err = self.child.communicate(timeout=30)
        return self.child.returncode, out, err


def read_line(child: "subprocess.Popen[str]", seconds: float) -> str:
    """The first line of its output, or whatever it said instead before it ended."""
    assert child.stdout is not None and child.stderr is not None
    if not select.select([child.stdout], [], [], seconds)[0]:
        raise AssertionError(f"no ready line within {seconds} s")
    return child.stdout.readline().rstrip("\n") or child.stderr.read()


@contextmanager
def serving(path: Path) -> Iterator[Process]:
    child = subprocess.Popen(
        [sys.executable, "-c", CODE, str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        yield Process(child, read_line(child, 60))
    finally:
        if child.poll() is None:
            child.kill()
        child.communicate(timeout=30)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bundles")


@pytest.fixture(scope="module")
def rows(folder: Path) -> Path:
    variants = {"fp32": graphs.rows_graph()}
    return write_bundle(folder / "rows", name="rows", sign=graphs.ROWS, graphs=variants, golden=GOLDEN)


@pytest.fixture(scope="module")
def process(rows: Path) -> Iterator[Process]:
    with serving(rows) as started:
        yield started


@pytest.fixture
def client(process: Process) -> Iterator[Any]:
    made = tritonclient.InferenceServerClient(process.address)
    yield made
    made.close()


def tensor(name: str, array: Any, datatype: str, *, binary: bool = True, shape: list[int] | None = None) -> Any:
    made = tritonclient.InferInput(name, shape or list(array.shape), datatype)
    made.set_data_from_numpy(array, binary_data=binary)
    return made


def test_the_ready_line_names_model_and_address(process: Process) -> None:
    assert process.ready == f"lepton: serving rows at http://127.0.0.1:{process.port}"


def test_health_and_metadata(client: Any) -> None:
    assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("rows")
    assert client.is_model_ready("rows", "1") and not client.is_model_ready("other")
    assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
    metadata = client.get_model_metadata("rows")
    assert metadata["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 3]}]
    assert [output["name"] for output in metadata["outputs"]] == ["total", "double"]


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False])
def test_infer(client: Any, binary_in: bool, binary_out: bool) -> None:
    outputs = [tritonclient.InferRequestedOutput(name, binary_data=binary_out) for name in ("double", "total")]
    result = client.infer("rows", [tensor("x", X, "FP32", binary=binary_in)], outputs=outputs, request_id="17")
    assert result.get_response()["id"] == "17"
    assert np.array_equal(result.as_numpy("double"), X * 2) and result.as_numpy("double").dtype == np.float32
    assert np.array_equal(result.as_numpy("total"), [[6], [15]])


def test_infer_with_all_outputs_by_default(client: Any) -> None:
    result = client.infer("rows", [tensor("x", X[:0], "FP32")])
    assert result.as_numpy("double").shape == (0, 3)
    answers = [client.async_infer("rows", [tensor("x", X + number, "FP32")]) for number in range(20)]
    for number, answer in enumerate(answers):
        assert np.array_equal(answer.get_result().as_numpy("double"), (X + number) * 2)


@pytest.mark.parametrize("binary", [True, False])
def test_large_tensors(client: Any, binary: bool) -> None:
    many = np.random.default_rng(0).normal(size=(50_000, 3)).astype("float32")
    outputs = [tritonclient.InferRequestedOutput("double", binary_data=binary)]
    for _ in range(2):  # the second follows on the same connection
        result = client.infer("rows", [tensor("x", many, "FP32", binary=binary)], outputs=outputs)
        assert np.array_equal(result.as_numpy("double"), many * 2)


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize(
    ("name", "array", "datatype", "message"),
    [
        ("z", X, "FP32", "unknown input 'z'. Known: x."),
        ("x", X.astype("int64"), "INT64", "input 'x': got INT64, expected FP32"),
        ("x", X[:, :2].copy(), "FP32", "input 'x': got shape [2, 2], expected [-1, 3] (-1 is any size)"),
        ("x", X[0], "FP32", "input 'x': got shape [3], expected [-1, 3]"),
    ],
)
def test_mistakes_are_explained(client: Any, name: str, array: Any, datatype: str, message: str, binary: bool) -> None:
    with pytest.raises(tritonclient.InferenceServerException) as caught:
        client.infer("rows", [tensor(name, array, datatype, binary=binary)])
    assert message in caught.value.message() and "400" in caught.value.status()


def test_unknown_models_are_explained(client: Any) -> None:
    with pytest.raises(tritonclient.InferenceServerException, match="unknown model 'row'. Did you mean 'rows'?"):
        client.infer("row", [tensor("x", X, "FP32")])
    with pytest.raises(tritonclient.InferenceServerException, match="has no version '9'"):
        client.get_model_metadata("rows", "9")


def test_the_process_is_light(process: Process, client: Any) -> None:
    client.infer("rows", [tensor("x", np.ones((1000, 3), "float32"), "FP32")])
    assert process.memory() < MEMORY_LIMIT
    maps = Path(f"/proc/{process.child.pid}/maps").read_text()
    assert "libtorch" not in maps and "/scipy/" not in maps


def test_texts(folder: Path) -> None:
    path = write_bundle(folder / "text", name="text", sign=graphs.TEXT, graphs={"fp32": graphs.text_graph()})
    with serving(path) as process:
        client = tritonclient.InferenceServerClient(process.address)
        texts = np.array([["é"], [""], ["two words"]], dtype=object)
        for binary in (True, False):
            result = client.infer("text", [tensor("text", texts, "BYTES", binary=binary)])
            assert [[element.decode()] for element in result.as_numpy("echo")[:, 0]] == texts.tolist()
        client.close()
        code, out, err = process.terminate()
    assert (code, out, err) == (0, "loaded: []\n", "")


def test_it_starts_fast_and_stops_clean(rows: Path) -> None:
    started = time.perf_counter()
    with serving(rows) as process:
        seconds = time.perf_counter() - started
        assert process.terminate()[0] == 0
    assert seconds < 5, f"started in {seconds:.2f} s"


def test_a_request_that_was_begun_is_finished(rows: Path) -> None:
    body = json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [1, 2, 3]}]}).encode()
    head = b"POST /v2/models/rows/infer HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body)
    with serving(rows) as process, socket.create_connection((process.host, process.port), timeout=30) as connection:
        connection.sendall(head + body[:20])
        probe = http.client.HTTPConnection(process.host, process.port, timeout=30)
        probe.request("GET", "/v2/health/ready")  # once it is answered, the head before it was read too
        assert probe.getresponse().read() == b'{"ready":true}'
        probe.close()
        os.kill(process.child.pid, signal.SIGTERM)
        with pytest.raises(OSError):
            while True:
                socket.create_connection((process.host, process.port), timeout=30).close()
        assert process.child.poll() is None
        connection.sendall(body[20:])
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert answer.status == 200 and json.loads(answer.read())["outputs"][0]["data"] == [6.0]
        assert process.child.wait(timeout=30) == 0


def test_what_cannot_be_served_ends_with_its_reason(folder: Path) -> None:
    path = write_bundle(folder / "saved", name="saved")
    command = [sys.executable, "-c", CODE, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1 and not done.stdout
    assert "lepton_ai.export(model, " in done.stderr


# -- texts -------------------------------------------------------------------------------------------------------


def test_a_model_of_strings_is_trained_exported_served_and_asked(tmp_path: Path) -> None:
    import lepton_ai
    from tests.models.test_front import TEXTS, reviews

    model = reviews()
    model.fit(TEXTS, np.arange(len(TEXTS)) % 2, verbose=0)
    lepton_ai.export(model, tmp_path / "reviews.lepton")
    asked = ["a GOOD film!", "我爱 film", "", "zebra"]
    wanted = model.predict(asked)
    (tmp_path / "asked.txt").write_text("\n".join(asked), encoding="utf-8")
    lines = run_process("predict", tmp_path / "reviews.lepton", tmp_path / "asked.txt", "--json").out.splitlines()
    np.testing.assert_allclose([json.loads(line)["output"] for line in lines], wanted, atol=1e-6)
    with serving(tmp_path / "reviews.lepton") as process:
        client = tritonclient.InferenceServerClient(process.address)
        assert client.get_model_metadata("reviews")["inputs"] == [
            {"name": "review", "datatype": "BYTES", "shape": [-1]}
        ]
        for binary in (True, False):
            given = tritonclient.InferInput("review", [len(asked)], "BYTES")
            given.set_data_from_numpy(np.array(asked, dtype=object), binary_data=binary)
            answer = client.infer("reviews", [given]).as_numpy("output")
            np.testing.assert_allclose(answer, wanted, atol=1e-6)
        bad = tritonclient.InferInput("review", [2], "BYTES")
        bad.set_data_from_numpy(np.array([b"good", b"\xff\xfe"], dtype=object), binary_data=True)
        with pytest.raises(tritonclient.InferenceServerException, match="element 1 is not UTF-8 text"):
            client.infer("reviews", [bad])
        np.testing.assert_allclose(client.infer("reviews", [given]).as_numpy("output"), wanted, atol=1e-6)
        client.close()
        code, out, _ = process.terminate()
    assert code == 0 and "loaded: []" in out
