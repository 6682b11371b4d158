"""What clients of the protocol do and expect, found in `tritonclient` and in other servers' bugs, one by one."""

import asyncio
import gzip
import json
import struct
import zlib
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lepton_ai.bundle import LENGTH_HEADER, parse_response, render_request
from lepton_ai.runtime import OnnxRuntime
from lepton_ai.serving import Access, App, ServedModel, ServerConfig, Service
from tests.contracts import graphs
from tests.contracts.asgi import Client

X = {"name": "x", "datatype": "FP32", "shape": [2, 3], "data": [1, 2, 3, 4, 5, 6]}
INFER = "/v2/models/rows/infer"


@pytest.fixture
def service(tmp_path: Path) -> Service:
    models = []
    for name, graph in (
        ("rows", graphs.rows_graph()),
        ("text", graphs.text_graph()),
        ("half", graphs.half_graph()),
        ("brain", graphs.brain_graph()),
        ("log", graphs.logarithm_graph()),
    ):
        file = tmp_path / f"{name}.onnx"
        file.write_bytes(graph)
        labels = ("cat", "dog", "cow") if name == "rows" else ()
        models.append(ServedModel(OnnxRuntime(file, threads=1, spinning=False), name=name, labels=labels))
    return Service(models, config=ServerConfig(max_body=200_000))


def play(service: Service, scenario: Callable[[Client], Coroutine[Any, Any, None]]) -> None:
    app = App(service)

    async def run() -> None:
        try:
            await asyncio.wait_for(scenario(Client(app)), 30)
        finally:
            await app.close()

    asyncio.run(run())


def test_json_is_read_without_a_content_type_and_unknown_fields_are_let_be(service: Service) -> None:
    async def scenario(client: Client) -> None:
        reply = await client.post(INFER, {"inputs": [X], "later": {"kept": 1}})
        assert reply.status == 200 and reply.headers["content-type"] == "application/json"

    play(service, scenario)


def test_only_json_answers_have_no_length_header(service: Service) -> None:
    async def scenario(client: Client) -> None:
        assert (await client.post(INFER, {"inputs": [X]})).json_length is None
        binary = await client.post(INFER, {"inputs": [X], "parameters": {"binary_data_output": True}})
        assert binary.json_length is not None
        overruled = {"inputs": [X], "parameters": {"binary_data_output": True}}
        overruled["outputs"] = [{"name": "total", "parameters": {"binary_data": False}}]
        assert (await client.post(INFER, overruled)).json_length is None

    play(service, scenario)


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_compressed_there_and_back_with_lengths_of_what_was_not_compressed(service: Service, encoding: str) -> None:
    compress = gzip.compress if encoding == "gzip" else zlib.compress
    x = np.random.default_rng(0).normal(size=(1000, 3)).astype("float32")
    content, length = render_request({"x": x}, binary=True)
    headers = {"Content-Encoding": encoding, LENGTH_HEADER: str(length), "Accept-Encoding": encoding}

    async def scenario(client: Client) -> None:
        reply = await client.post(INFER, compress(content), headers)
        assert reply.headers["content-encoding"] == encoding and reply.headers["vary"] == "accept-encoding"
        body = gzip.decompress(reply.body) if encoding == "gzip" else zlib.decompress(reply.body)
        assert np.array_equal(parse_response(body, reply.json_length).outputs["double"], x * 2)
        bomb = await client.post(INFER, compress(b"[" * 10**7), {"Content-Encoding": encoding})
        assert bomb.status == 413 and "unpacks to more than 200000 bytes" in bomb.json["error"]

    play(service, scenario)


def test_bfloat16_and_half_travel_as_bits_and_never_as_json(service: Service) -> None:
    raw = np.array([0x3F80, 0xC000], "<u2").tobytes()  # 1 and -2 in bfloat16
    tensor = {"name": "x", "datatype": "BF16", "shape": [1, 2], "parameters": {"binary_data_size": 4}}
    text = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()

    async def scenario(client: Client) -> None:
        headers = {LENGTH_HEADER: str(len(text))}
        reply = await client.post("/v2/models/brain/infer", text + raw, headers)
        assert reply.status == 200, reply.body
        assert reply.body[reply.json_length :] == np.array([0x4000, 0xC080], "<u2").tobytes()
        in_json = {**tensor, "data": [1, 2]}
        del in_json["parameters"]
        for name, dtype in (("brain", "BF16"), ("half", "FP16")):
            refused = await client.post(f"/v2/models/{name}/infer", {"inputs": [{**in_json, "datatype": dtype}]})
            assert refused.status == 400 and f"{dtype} data cannot travel as JSON" in refused.json["error"]

    play(service, scenario)


def test_an_empty_tensor_comes_back_empty(service: Service) -> None:
    content, length = render_request({"x": np.zeros((0, 3), "float32")}, binary=True)

    async def scenario(client: Client) -> None:
        reply = await client.post(INFER, content, {LENGTH_HEADER: str(length)})
        told = json.loads(reply.body[: reply.json_length])["outputs"][0]
        assert told["shape"] == [0, 1] and told["parameters"]["binary_data_size"] == 0

    play(service, scenario)


def test_bytes_are_counted_element_by_element(service: Service) -> None:
    def request(raw: bytes, shape: list[int]) -> tuple[bytes, dict[str, str]]:
        tensor = {"name": "text", "datatype": "BYTES", "shape": shape, "parameters": {"binary_data_size": len(raw)}}
        text = json.dumps({"inputs": [tensor]}).encode()
        return text + raw, {LENGTH_HEADER: str(len(text))}

    async def scenario(client: Client) -> None:
        good = struct.pack("<I", 2) + b"ab" + struct.pack("<I", 0)
        reply = await client.post("/v2/models/text/infer", *request(good, [2, 1]))
        assert reply.json["outputs"][0]["data"] == ["ab", ""]
        for raw, shape in (
            (struct.pack("<I", 2**32 - 1) + b"ab", [1, 1]),
            (struct.pack("<I", 2) + b"ab", [2, 1]),
            (good + b"x", [2, 1]),
            (b"", [2**40, 2**40]),
            (b"", [-1, 1]),
        ):
            refused = await client.post("/v2/models/text/infer", *request(raw, shape))
            assert refused.status == 400 and refused.json["error"]

    play(service, scenario)


def test_classification(service: Service) -> None:
    wanted = [{"name": "double", "parameters": {"classification": 2}}, {"name": "total"}]

    async def scenario(client: Client) -> None:
        reply = await client.post(INFER, {"inputs": [X], "outputs": wanted})
        double, total = reply.json["outputs"]
        assert (double["datatype"], double["shape"]) == ("BYTES", [2, 2]) and total["data"] == [6, 15]
        assert double["data"] == ["6.000000:2:cow", "4.000000:1:dog", "12.000000:2:cow", "10.000000:1:dog"]
        many = [{"name": "double", "parameters": {"classification": 99}}]
        assert (await client.post(INFER, {"inputs": [X], "outputs": many})).json["outputs"][0]["shape"] == [2, 3]

    play(service, scenario)


def test_numbers_that_json_cannot_hold_are_exact_in_binary_and_refused_in_json(service: Service) -> None:
    inputs = [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [-1, 0]}]

    async def scenario(client: Client) -> None:
        refused = await client.post("/v2/models/log/infer", {"inputs": inputs})
        assert refused.status == 400 and "NaN or infinity" in refused.json["error"]
        exact = {"inputs": inputs, "parameters": {"binary_data_output": True}}
        reply = await client.post("/v2/models/log/infer", exact)
        nan, infinite = parse_response(reply.body, reply.json_length).outputs["y"][0]
        assert np.isnan(nan) and infinite == -np.inf

    play(service, scenario)


def test_paths_may_be_quoted_and_carry_queries_but_names_are_plain(service: Service) -> None:
    async def scenario(client: Client) -> None:
        for path in ("/v2/models/rows/", "/v2/models//infer", "/v2/models/rows/versions//infer", "/v2/", "//v2"):
            for method in ("GET", "POST"):
                reply = await client.call(method, path)
                assert reply is not None and reply.status in (404, 405) and set(reply.json) == {"error"}
        for name in ("a b", "..", "x" * 200, "\x00", "rows;x=1"):
            reply = await client.call("POST", f"/v2/models/{name}/infer", b"{}")
            assert reply is not None and reply.status == 404 and len(reply.json["error"]) < 300

    play(service, scenario)


def test_a_deadline_is_a_parameter_or_a_header(service: Service) -> None:
    async def scenario(client: Client) -> None:
        good = {"inputs": [X], "parameters": {"timeout": 10_000_000, "priority": 1}}
        assert (await client.post(INFER, good, {"Lepton-Timeout-Ms": "5000"})).status == 200
        for wrong in ("0", "-1", "x", "1.5"):
            reply = await client.post(INFER, {"inputs": [X]}, {"Lepton-Timeout-Ms": wrong})
            assert reply.status == 400 and "Lepton-Timeout-Ms" in reply.json["error"]

    play(service, scenario)


def test_time_is_broken_down_on_demand_and_traces_are_continued(service: Service) -> None:
    traces: list[str] = []
    service.finished.subscribe(lambda event: traces.append(event.trace))
    trace = "0af7651916cd43dd8448eb211c80319c"

    async def scenario(client: Client) -> None:
        headers = {"Lepton-Timing": "1", "traceparent": f"00-{trace}-b7ad6b7169203331-01"}
        reply = await client.post(INFER, {"inputs": [X], "id": "7"}, headers)
        parts = dict(part.split(";dur=") for part in reply.headers["server-timing"].split(", "))
        assert list(parts) == ["queue", "compute", "other", "total"]
        assert float(parts["total"]) >= float(parts["compute"]) > 0
        version, found, span, flags = reply.headers["traceresponse"].split("-")
        assert (version, found, flags) == ("00", trace, "01") and span != "b7ad6b7169203331" and len(span) == 16
        for wrong in ("00-x-y-01", f"00-{'0' * 32}-b7ad6b7169203331-01", ""):
            reply = await client.post(INFER, {"inputs": [X]}, {"traceparent": wrong})
            assert reply.status == 200 and "traceresponse" not in reply.headers
        assert "server-timing" not in (await client.post(INFER, {"inputs": [X]})).headers

    play(service, scenario)
    assert traces == [trace, "", "", "", ""]


def test_every_way_in_asks_for_the_token_but_the_health_checks(service: Service) -> None:
    service.access = Access("a-token-of-some-length")
    paths = ["/", "/openapi.json", "/v2", "/v2/models", "/v2/models/stats", INFER, "/v2/models/rows/versions/1/infer"]
    paths += [f"/v2/models/rows{verb}" for verb in ("", "/ready", "/config", "/stats", "/versions/1")]
    paths += ["/nothing", "/v2/repository/index", "/v2/health/../models", "/v2/models/none/infer"]

    async def scenario(client: Client) -> None:
        for path in paths:
            for method in ("GET", "POST", "PUT", "DELETE", "OPTIONS"):
                reply = await client.call(method, path, b"{}")
                assert reply is not None and reply.status == 401, f"{method} {path}"
                assert reply.headers["www-authenticate"] == "Bearer"
        for path in ("/v2/health/live", "/v2/health/ready"):
            assert (await client.get(path)).status == 200
        allowed = {"Authorization": "Bearer a-token-of-some-length"}
        assert (await client.post(INFER, {"inputs": [X]}, allowed)).status == 200

    play(service, scenario)


def test_other_pages_and_other_names_are_refused(service: Service) -> None:
    async def scenario(client: Client) -> None:
        for headers in ({"Host": "evil.example"}, {"Host": "localhost", "Origin": "http://evil.example"},
                        {"Host": "localhost:8080", "Origin": "null"}):  # fmt: skip
            reply = await client.post(INFER, {"inputs": [X]}, headers)
            assert reply.status == 403 and "access-control-allow-origin" not in reply.headers
        own = {"Host": "localhost:8080", "Origin": "http://localhost:8080"}
        assert (await client.post(INFER, {"inputs": [X]}, own)).status == 200

    play(service, scenario)


def test_a_client_over_its_limits_is_told_when_to_come_again(service: Service) -> None:
    service.config = ServerConfig(client_rate=0.5, client_burst=1)
    service.admission = type(service.admission)(service.config)

    async def scenario(client: Client) -> None:
        assert (await client.post(INFER, {"inputs": [X]})).status == 200
        reply = await client.post(INFER, {"inputs": [X]})
        assert reply.status == 429 and int(reply.headers["retry-after"]) >= 2

    play(service, scenario)


def test_pages_may_not_be_framed_nor_load_anything(service: Service) -> None:
    async def scenario(client: Client) -> None:
        reply = await client.get("/")
        assert reply.headers["x-frame-options"] == "DENY" and reply.headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'none'" in reply.headers["content-security-policy"]
        page = reply.body.decode()
        assert "default-src &#39;none&#39;" in page or "default-src 'none'" in page
        assert "/v2/models/rows/versions/1/infer" in page and "unsafe" not in page

    play(service, scenario)


def test_the_document_describes_every_way_in(service: Service) -> None:
    async def scenario(client: Client) -> None:
        document = (await client.get("/openapi.json")).json
        assert document["openapi"].startswith("3.1") and "security" not in document
        for path, item in document["paths"].items():
            real = path.replace("{model}", "rows").replace("{version}", "1")
            if "get" in item:
                assert (await client.get(real)).status == 200, path
            else:
                example = item["post"]["requestBody"]["content"]["application/json"]["examples"]["rows"]["value"]
                assert (await client.post(real, example)).status == 200, path

    play(service, scenario)
