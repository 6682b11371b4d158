"""The HTTP face, called in the process."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lepton_ai.bundle import parse_response, render_request
from lepton_ai.runtime import OnnxRuntime
from lepton_ai.serving import App, RequestFinished, ServedModel, ServerConfig
from tests.contracts import graphs
from tests.contracts.asgi import Client
from tests.contracts.slow import SlowRuntime

INFER = "/v2/models/{}/infer"
X = {"name": "x", "datatype": "FP32", "shape": [2, 3], "data": [1, 2, 3, 4, 5, 6]}


def model(folder: Path, name: str, graph: bytes, **options: Any) -> ServedModel:
    file = folder / f"{name}.onnx"
    file.write_bytes(graph)
    return ServedModel(OnnxRuntime(file, threads=1, spinning=False), name=name, **options)


def play(app: App, scenario: Callable[[Client], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        try:
            await asyncio.wait_for(scenario(Client(app)), 30)
        finally:
            await app.close()

    asyncio.run(run())


@pytest.fixture
def app(tmp_path: Path) -> App:
    makers = {
        "rows": graphs.rows_graph,
        "text": graphs.text_graph,
        "lookup": graphs.lookup_graph,
        "half": graphs.half_graph,
        "log": graphs.logarithm_graph,
        "sums": graphs.sum_difference_graph,
        "fixed": graphs.fixed_graph,
    }
    return App([model(tmp_path, name, make()) for name, make in makers.items()], ServerConfig(max_body=100_000))


def test_pages(tmp_path: Path) -> None:
    app = App([model(tmp_path, "rows", graphs.rows_graph(), labels=("a", "b"))])

    async def scenario(client: Client) -> None:
        pages = {
            "/v2/health/live": {"live": True},
            "/v2/health/ready": {"ready": True},
            "/v2/models": {"models": ["rows"]},
            "/v2/models/rows/ready": {"name": "rows", "ready": True},
            "/v2/models/rows/versions/1/ready": {"name": "rows", "ready": True},
        }
        for path, expected in pages.items():
            reply = await client.get(path)
            assert (reply.status, reply.json) == (200, expected)
            assert reply.headers["content-type"] == "application/json"
        server = (await client.get("/v2")).json
        assert server["name"] == "lepton" and "binary_tensor_data" in server["extensions"] and server["version"]
        for path in ("/v2/models/rows", "/v2/models/rows/versions/1"):
            assert (await client.get(path)).json == {
                "name": "rows",
                "versions": ["1"],
                "platform": "onnxruntime_onnx",
                "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 3]}],
                "outputs": [
                    {"name": "total", "datatype": "FP32", "shape": [-1, 1]},
                    {"name": "double", "datatype": "FP32", "shape": [-1, 3]},
                ],
                "labels": ["a", "b"],
            }

    play(app, scenario)


def test_infer_in_json(app: App) -> None:
    async def scenario(client: Client) -> None:
        reply = await client.post("/v2/models/rows/versions/1/infer", {"id": "42", "inputs": [X]})
        assert reply.json == {
            "model_name": "rows",
            "model_version": "1",
            "id": "42",
            "outputs": [
                {"name": "total", "datatype": "FP32", "shape": [2, 1], "data": [6.0, 15.0]},
                {"name": "double", "datatype": "FP32", "shape": [2, 3], "data": [2.0, 4.0, 6.0, 8.0, 10.0, 12.0]},
            ],
        }
        assert reply.status == 200 and reply.json_length is None

    play(app, scenario)


def test_outputs_may_be_chosen_one_by_one_and_in_binary(app: App) -> None:
    async def scenario(client: Client) -> None:
        wanted = [{"name": "double", "parameters": {"binary_data": True}}, {"name": "total"}]
        reply = await client.post(INFER.format("rows"), {"inputs": [X], "outputs": wanted})
        assert reply.headers["content-type"] == "application/octet-stream" and reply.json_length is not None
        answer = parse_response(reply.body, reply.json_length)
        assert list(answer.outputs) == ["double", "total"]
        assert len(reply.body) - reply.json_length == 24 and answer.outputs["total"].tolist() == [[6], [15]]
        only = await client.post(INFER.format("rows"), {"inputs": [X], "outputs": [{"name": "total"}]})
        assert [output["name"] for output in only.json["outputs"]] == ["total"]

    play(app, scenario)


def test_infer_in_binary(app: App) -> None:
    async def scenario(client: Client) -> None:
        x = np.array([[1, -1]], "float16")
        content, length = render_request({"x": x}, binary=True)
        reply = await client.post(INFER.format("half"), content, {"Inference-Header-Content-Length": str(length)})
        assert parse_response(reply.body, reply.json_length).outputs["y"].tolist() == [[2, -2]]
        chunks = [content[:10], content[10:50], b"", content[50:]]
        again = await client.post(INFER.format("half"), chunks, {"Inference-Header-Content-Length": str(length)})
        assert again.body == reply.body

    play(app, scenario)


def test_raw_body(app: App) -> None:
    async def scenario(client: Client) -> None:
        raw = np.arange(6, dtype="<f4").tobytes()
        reply = await client.post(INFER.format("rows"), raw, {"Inference-Header-Content-Length": "0"})
        assert parse_response(reply.body, reply.json_length).outputs["total"].tolist() == [[3], [12]]
        text = await client.post(INFER.format("text"), b"any text", {"Inference-Header-Content-Length": "0"})
        assert parse_response(text.body, text.json_length).outputs["echo"].tolist() == [[b"any text"]]

    play(app, scenario)


def test_texts(app: App) -> None:
    async def scenario(client: Client) -> None:
        text = {"name": "text", "datatype": "BYTES", "shape": [2, 1], "data": ["é", ""]}
        reply = await client.post(INFER.format("text"), {"inputs": [text]})
        assert reply.json["outputs"][0] == {**text, "name": "echo"}

    play(app, scenario)


def request(**changes: Any) -> dict[str, Any]:
    return {"inputs": [{**X, **changes}]}


NAN = {"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [-1, 1]}
HALF = {"name": "x", "datatype": "FP16", "shape": [1, 2], "data": [1, 1]}


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status", "text"),
    [
        ("GET", "/no", b"", {}, 404, "nothing is here: '/no'. The addresses begin with /v2."),
        ("GET", "/v2/models/rws", b"", {}, 404, "unknown model 'rws'. Did you mean 'rows'?"),
        ("POST", "/v2/models/../../etc/infer", b"", {}, 404, "nothing is here"),
        ("POST", "/v2/models/../infer", b"", {}, 404, "unknown model '..'"),
        ("POST", "/v2/repository/index", b"", {}, 403, "models are loaded and listed on the management address"),
        ("GET", "/v2/models/rows/versions/7", b"", {}, 404, "model 'rows' has no version '7'. Known: 1."),
        ("GET", "/v2/models/rows/nothing", b"", {}, 404, "nothing is here"),
        ("GET", "/v2/models/rows/infer", b"", {}, 405, "GET is not allowed here, POST is"),
        ("POST", "/v2/models/rows", b"", {}, 405, "POST is not allowed here, GET is"),
        ("HEAD", "/v2", b"", {}, 405, "HEAD is not allowed here"),
        ("POST", "rows", b"{", {}, 400, "body: not valid JSON"),
        ("POST", "rows", b"", {}, 400, "body: not valid JSON"),
        ("POST", "rows", request(name="z"), {}, 400, "unknown input 'z'. Known: x."),
        ("POST", "rows", request(datatype="FP64"), {}, 400, "input 'x': got FP64, expected FP32."),
        ("POST", "rows", request(shape=[3, 2]), {}, 400, "got shape [3, 2], expected [-1, 3] (-1 is any size)"),
        ("POST", "rows", request(shape=[6]), {}, 400, "got shape [6], expected [-1, 3]"),
        ("POST", "rows", request(shape=[2, 4]), {}, 400, "got '6 elements', expected 8 for shape [2, 4]"),
        ("POST", "rows", {"inputs": [X], "outputs": [{"name": "totl"}]}, {}, 400, "unknown output 'totl'. Did"),
        ("POST", "sums", {"inputs": [{**X, "name": "a"}]}, {}, 400, "missing input 'b'"),
        ("POST", "lookup", {"inputs": [{"name": "index", "datatype": "INT64", "shape": [1], "data": [9]}]}, {}, 400,
         "the model cannot compute these inputs"),
        ("POST", "log", {"inputs": [NAN]}, {}, 400, "output 'y': the answer holds NaN or infinity, which JSON cannot"),
        ("POST", "half", {"inputs": [HALF]}, {}, 400, "input 'x': FP16 data cannot travel as JSON"),
        ("POST", "rows", request(), {"Content-Encoding": "br"}, 415, "Content-Encoding 'br' is not supported"),
        ("POST", "rows", request(), {"Inference-Header-Content-Length": "+9"}, 400, "'+9', expected a number, once"),
        ("POST", "rows", request(), {"Inference-Header-Content-Length": "9999"}, 400, "at most the body's length"),
        ("POST", "rows", b"{" + b" " * 100_000, {}, 413, "the body is larger than 100000 bytes. Send fewer rows"),
        ("POST", "rows", [b" " * 60_000, b" " * 60_000], {}, 413, "the body is larger than 100000 bytes"),
        ("POST", "rows", b"", {"Content-Length": "999999999999"}, 413, "the body is larger than 100000 bytes"),
    ],
)  # fmt: skip
def test_refusals(app: App, method: str, path: str, body: Any, headers: dict[str, str], status: int, text: str) -> None:
    content = json.dumps(body).encode() if isinstance(body, dict) else body

    async def scenario(client: Client) -> None:
        reply = await client.call(method, path if path.startswith("/") else INFER.format(path), content, headers)
        assert reply is not None and reply.status == status
        assert text in reply.json["error"] and set(reply.json) == {"error"}
        if status == 405:
            assert reply.headers["allow"] in ("GET", "POST")
        if status == 413:
            assert reply.headers["connection"] == "close"

    play(app, scenario)


def test_what_json_cannot_carry_goes_in_binary(app: App) -> None:
    async def scenario(client: Client) -> None:
        body = {"inputs": [NAN], "parameters": {"binary_data_output": True}}
        reply = await client.post(INFER.format("log"), body)
        assert np.isnan(parse_response(reply.body, reply.json_length).outputs["y"][0, 0])

    play(app, scenario)


def test_many_at_once_each_gets_its_own(app: App) -> None:
    async def scenario(client: Client) -> None:
        async def one(number: int) -> None:
            good = number % 5
            body = {"inputs": [{"name": "index", "datatype": "INT64", "shape": [1], "data": [0 if good else 9]}]}
            body["inputs"][0]["data"] = [number % 3 if good else 9]
            reply = await client.post(INFER.format("lookup"), body)
            if good:
                assert reply.json["outputs"][0]["data"] == [2.0 * (number % 3), 2.0 * (number % 3) + 1]
            else:
                assert reply.status == 400

        await asyncio.gather(*(one(number) for number in range(60)))

    play(app, scenario)


def test_events(app: App) -> None:
    finished: list[RequestFinished] = []
    app.finished.subscribe(finished.append)

    async def scenario(client: Client) -> None:
        await client.post(INFER.format("rows"), {"inputs": [X]})
        await client.post(INFER.format("rows"), {"inputs": []})

    play(app, scenario)
    good, bad = finished
    assert (good.model, good.version, good.status, good.rows) == ("rows", "1", 200, 2)
    assert good.seconds >= good.queue_seconds + good.compute_seconds > 0
    assert (bad.status, bad.rows, bad.compute_seconds) == (400, 0, 0)


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.001)


def test_clients_that_leave_are_not_computed_and_full_queues_say_so() -> None:
    runtime = SlowRuntime()
    served = ServedModel(runtime, name="slow", config=ServerConfig(max_queue=2))
    app = App([served])
    finished: list[RequestFinished] = []
    app.finished.subscribe(finished.append)
    content = json.dumps({"inputs": [X]}).encode()

    async def scenario(client: Client) -> None:
        leave = asyncio.Event()
        running = asyncio.ensure_future(client.call("POST", INFER.format("slow"), content))
        await until(runtime.entered.is_set)
        gone = asyncio.ensure_future(client.call("POST", INFER.format("slow"), content, disconnect=leave))
        kept = asyncio.ensure_future(client.call("POST", INFER.format("slow"), content))
        await until(lambda: served.batcher.waiting == 2)
        refused = await client.call("POST", INFER.format("slow"), content)
        assert refused is not None and refused.status == 503 and refused.headers["retry-after"] == "1"
        assert refused.json["error"] == "2 requests wait already. Try again in a moment."
        leave.set()
        await asyncio.sleep(0)
        runtime.go.set()
        assert await gone is None
        for task in (running, kept):
            reply = await task
            assert reply is not None and reply.status == 200

    play(app, scenario)
    assert runtime.rows == 4 and sorted(event.status for event in finished) == [200, 200, 499, 503]


def test_bytes_that_wait_are_bounded() -> None:
    runtime = SlowRuntime()
    content = json.dumps({"inputs": [X]}).encode()
    headers = {"Content-Length": str(len(content))}
    app = App([ServedModel(runtime, name="slow")], ServerConfig(max_body=1000, max_pending=2 * len(content)))

    async def scenario(client: Client) -> None:
        first, second = (
            asyncio.ensure_future(client.call("POST", INFER.format("slow"), content, headers)) for _ in range(2)
        )
        await until(runtime.entered.is_set)
        for lengths in (headers, {}):
            refused = await client.call("POST", INFER.format("slow"), content, lengths)
            assert refused is not None and refused.status == 503
            assert refused.json["error"] == "too many bytes of requests wait already. Try again in a moment."
        runtime.go.set()
        for reply in (await first, await second, await client.call("POST", INFER.format("slow"), content, headers)):
            assert reply is not None and reply.status == 200

    play(app, scenario)


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (RuntimeError("secret path /home/x"), 500, "internal error; the server's log has the details"),
        (MemoryError(), 503, "not enough memory for this request"),
    ],
)
def test_our_own_faults_tell_nothing(
    error: Exception, status: int, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    runtime = SlowRuntime()
    runtime.error = error
    runtime.go.set()

    async def scenario(client: Client) -> None:
        reply = await client.post(INFER.format("slow"), {"inputs": [X]})
        assert (reply.status, reply.json["error"]) == (status, text)

    play(App([ServedModel(runtime, name="slow")]), scenario)
    assert ("secret path" in caplog.text) == (status == 500)


def test_cancelled_requests_are_told_that_the_server_stops() -> None:
    runtime = SlowRuntime()
    app = App([ServedModel(runtime, name="slow")])
    content = json.dumps({"inputs": [X]}).encode()

    async def scenario(client: Client) -> None:
        task = asyncio.ensure_future(client.call("POST", INFER.format("slow"), content))
        await until(runtime.entered.is_set)
        task.cancel()
        reply = await task
        assert reply is not None and (reply.status, reply.json["error"]) == (503, "the server is stopping")
        runtime.go.set()

    play(app, scenario)


def test_a_body_that_never_ends_is_given_up(tmp_path: Path) -> None:
    app = App([model(tmp_path, "rows", graphs.rows_graph())], ServerConfig(body_seconds=0.05))
    sent: list[dict[str, Any]] = []

    async def run() -> None:
        first = True

        async def receive() -> dict[str, Any]:
            nonlocal first
            if not first:
                await asyncio.Event().wait()
            first = False
            return {"type": "http.request", "body": b"{", "more_body": True}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await app({"type": "http", "method": "POST", "path": INFER.format("rows"), "headers": []}, receive, send)
        await app.close()

    asyncio.run(run())
    assert sent[0]["status"] == 408 and b"not complete after 0.05 s" in sent[1]["body"]


def test_not_ready_is_503_with_an_error(app: App) -> None:
    async def scenario(client: Client) -> None:
        app.service.ready = False
        reply = await client.get("/v2/health/ready")
        assert reply.status == 503 and reply.json == {"ready": False, "error": "the server is stopping"}
        assert (await client.get("/v2/health/live")).status == 200

    play(app, scenario)


def test_declared_bytes_take_no_room_from_others() -> None:
    runtime = SlowRuntime()
    runtime.go.set()
    content = json.dumps({"inputs": [X]}).encode()
    app = App([ServedModel(runtime, name="slow")], ServerConfig(max_body=1000, max_pending=1000))

    async def scenario(client: Client) -> None:
        async def stall() -> dict[str, Any]:
            await asyncio.Event().wait()
            raise AssertionError

        def slow() -> Callable[[], Coroutine[Any, Any, dict[str, Any]]]:
            first = iter([{"type": "http.request", "body": b"{", "more_body": True}])

            async def receive() -> dict[str, Any]:
                for message in first:
                    return message
                return await stall()

            return receive

        async def send(message: dict[str, Any]) -> None:
            pass

        scope = {
            "type": "http",
            "method": "POST",
            "path": INFER.format("slow"),
            "headers": [(b"content-length", b"1000")],
        }
        waiting = [asyncio.ensure_future(app(dict(scope), slow(), send)) for _ in range(17)]
        await asyncio.sleep(0)
        reply = await client.call("POST", INFER.format("slow"), content)
        assert reply is not None and reply.status == 200 and app.service.pending == 17
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        assert app.service.pending == 0
        too_large = await client.call("POST", INFER.format("slow"), [b"x" * 900, b"x" * 900, b"x"])
        assert too_large is not None and too_large.status == 413 and app.service.pending == 0

    play(app, scenario)


@pytest.mark.parametrize("digits", [13, 5000])
def test_a_length_that_nobody_needs_is_refused_unread(digits: int) -> None:
    async def main() -> int:
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            raise AssertionError

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "method": "POST",
            "path": INFER.format("x"),
            "headers": [(b"content-length", b"9" * digits)],
        }
        await App([])(scope, receive, send)
        return int(sent[0]["status"])

    assert asyncio.run(main()) == 413
