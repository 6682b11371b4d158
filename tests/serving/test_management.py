"""The management address: control, metrics, the live page, and the life of a server, in threads and over sockets."""

import asyncio
import http.client
import json
import re
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from lepton_ai.core import ConfigError, RequestError, UnavailableError
from lepton_ai.serving import Repository, Security, Server, ServerConfig, Tls, control
from lepton_ai.serving.management import Management
from lepton_ai.serving.messages import Request, Response
from tests.contracts import graphs
from tests.contracts.browser import BROWSER, used
from tests.contracts.bundles import write_bundle

BODY = json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [1, 2, 3]}]})
TOKEN = "a-token-of-some-length"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for version in (1, 2):
        (tmp_path / "models" / "rows").mkdir(parents=True, exist_ok=True)
        variants = {"fp32": graphs.rows_graph()}
        write_bundle(tmp_path / "models" / "rows" / str(version), name="rows", sign=graphs.ROWS, graphs=variants)
    return tmp_path / "models"


@pytest.fixture
def server(folder: Path) -> Iterator[Server]:
    with Server.open(repository=folder, port=0, management=0) as started:
        yield started


def ask(url: str | None, method: str, path: str, body: str | None = None, **headers: str) -> tuple[int, bytes]:
    assert url is not None
    connection = http.client.HTTPConnection(url.rpartition("/")[2], timeout=20)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_versions_come_and_go(server: Server) -> None:
    at = server.management_url or ""
    states = json.loads(ask(at, "POST", "/v2/repository/index")[1])
    assert [(each["version"], each["state"]) for each in states] == [("1", "UNAVAILABLE"), ("2", "READY")]
    control.load("rows", "1", at=at)
    assert len(json.loads(ask(at, "POST", "/v2/repository/index", '{"ready": true}')[1])) == 2
    assert ask(server.url, "POST", "/v2/models/rows/versions/1/infer", BODY)[0] == 200
    control.unload("rows", "2", at=at)
    assert json.loads(ask(server.url, "POST", "/v2/models/rows/infer", BODY)[1])["model_version"] == "1"
    control.unload("rows", at=at)
    assert ask(server.url, "GET", "/v2/models/rows/ready")[0] == 404
    control.load("rows", at=at)
    assert json.loads(ask(server.url, "POST", "/v2/models/rows/infer", BODY)[1])["model_version"] == "2"


def test_mistakes_are_explained(server: Server, folder: Path) -> None:
    at = server.management_url or ""
    with pytest.raises(RequestError, match="unknown model 'rws'. Did you mean 'rows'?"):
        control.load("rws", at=at)
    with pytest.raises(RequestError, match="has no version '7' in the repository. Known: 1, 2"):
        control.load("rows", "7", at=at)
    (folder / "rows" / "1" / "variants" / "fp32" / "model.onnx").write_bytes(b"broken")
    with pytest.raises(RequestError, match="truncated or changed"):
        control.load("rows", "1", at=at)
    with pytest.raises(ConfigError, match="expected a number"):
        control.load("rows", "new", at=at)
    with pytest.raises(ConfigError, match="expected the management address"):
        control.drain(at="file:///etc")
    with pytest.raises(UnavailableError, match="nobody answers at http://127.0.0.1:1"):
        control.drain(at="http://127.0.0.1:1")


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/v2/repository/index", "", 405),
        ("POST", "/metrics", "", 405),
        ("POST", "/v2/repository/models/rows/load", "{", 400),
        ("POST", "/v2/repository/models/rows/load", '{"parameters": {"config": "{}"}}', 400),
        ("POST", "/v2/repository/models/rows/load", '{"parameters": {"file:1/model.onnx": "AAAA"}}', 400),
        ("POST", "/v2/repository/models/../load", "", 404),
        ("POST", "/v2/repository/models/rows/versions/../load", "", 404),
        ("POST", "/v2/repository/index", "x" * 100_000, 400),
        ("POST", "/v2/models/rows/infer", BODY, 404),
        ("GET", "/nothing", "", 404),
    ],
)
def test_refusals(server: Server, method: str, path: str, body: str, status: int) -> None:
    found, content = ask(server.management_url, method, path, body)
    assert found == status and list(json.loads(content)) == ["error"]


def test_other_pages_cannot_command(server: Server) -> None:
    for headers in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}):
        assert ask(server.management_url, "POST", "/v2/repository/models/rows/unload", **headers)[0] == 403
    assert ask(server.url, "POST", "/v2/models/rows/infer", BODY)[0] == 200
    assert ask(server.url, "POST", "/v2/repository/models/rows/unload")[0] == 403


def test_commands_need_the_token(folder: Path) -> None:
    security = Security(token=TOKEN)
    with Server.open(repository=folder, port=0, management=0, security=security) as server:
        at = server.management_url or ""
        with pytest.raises(RequestError, match="a token is needed"):
            control.unload("rows", at=at)
        assert ask(at, "POST", "/drain")[0] == 401
        control.unload("rows", at=at, token=TOKEN)
        assert ask(at, "GET", "/metrics")[0] == 200


def test_metrics_count_what_was_asked(server: Server) -> None:
    for body in (BODY, BODY, "{"):
        ask(server.url, "POST", "/v2/models/rows/infer", body)
    text = ask(server.management_url, "GET", "/metrics")[1].decode()
    assert 'lepton_requests_total{model="rows",version="2",outcome="ok"} 2' in text
    assert 'lepton_requests_total{model="rows",version="2",outcome="invalid"} 1' in text
    assert 'lepton_in_flight_requests{model="rows",version="2"} 0' in text


def test_the_stream_tells_what_happened(server: Server) -> None:
    connection = http.client.HTTPConnection((server.management_url or "").rpartition("/")[2], timeout=20)
    connection.request("GET", "/events")
    answer = connection.getresponse()
    assert answer.getheader("content-type") == "text/event-stream"
    for _ in range(5):
        ask(server.url, "POST", "/v2/models/rows/infer", BODY)
    answered = 0
    while answered < 5:
        line = answer.readline().decode()
        if line.startswith("data: "):
            tick = json.loads(line[6:])
            answered = next(each["answered"] for each in tick["models"] if each["version"] == "2")
    assert tick["ready"] is True and tick["workers"] == 1 and {"rate", "p99", "waiting"} <= tick["total"].keys()
    connection.close()


def test_drain_ends_the_server(folder: Path) -> None:
    server = Server.open(repository=folder, port=0, management=0)
    ready = threading.Event()
    thread = threading.Thread(target=server.run, kwargs={"announce": lambda line: ready.set()})
    thread.start()
    assert ready.wait(20)
    control.drain(at=server.management_url or "")
    thread.join(20)
    assert not thread.is_alive()


def test_in_the_time_of_grace_it_is_not_ready_but_answers(folder: Path) -> None:
    config = ServerConfig(grace_seconds=30)
    with Server.open(repository=folder, port=0, management=0, config=config) as server:
        control.drain(at=server.management_url or "")
        assert ask(server.url, "GET", "/v2/health/ready")[0] == 503
        assert ask(server.management_url, "GET", "/v2/health/ready")[0] == 503
        assert ask(server.url, "GET", "/v2/health/live")[0] == 200
        assert ask(server.url, "POST", "/v2/models/rows/infer", BODY)[0] == 200


def test_a_repository_may_be_empty(tmp_path: Path) -> None:
    with Server(repository=Repository(tmp_path), port=0, management=0) as server:
        assert json.loads(ask(server.url, "GET", "/v2/models")[1]) == {"models": []}
        assert ask(server.url, "GET", "/")[0] == 200


@pytest.fixture
def tls(tmp_path: Path) -> Tls:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    names = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    try:
        subprocess.run([*command.split(), *names, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("needs openssl to make a certificate")
    return Tls(certificate=str(certificate), key=str(key))


def test_encrypted(folder: Path, tls: Tls) -> None:
    import ssl

    context = ssl.create_default_context(cafile=tls.certificate)
    with Server.open(repository=folder, port=0, security=Security(tls=tls)) as server:
        assert server.url.startswith("https://")
        connection = http.client.HTTPSConnection("127.0.0.1", server.port, timeout=20, context=context)
        connection.request("POST", "/v2/models/rows/infer", BODY)
        assert connection.getresponse().status == 200
        connection.close()
        old = ssl.create_default_context(cafile=tls.certificate)
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        old.set_ciphers("ALL:@SECLEVEL=0")
        for each in (context, old):
            again = http.client.HTTPSConnection("127.0.0.1", server.port, timeout=20, context=each)
            again.request("GET", "/v2/health/live")
            assert again.getresponse().status == 200
            again.close()


def test_clients_without_a_certificate_are_turned_away(folder: Path, tls: Tls) -> None:
    import ssl

    security = Security(tls=Tls(certificate=tls.certificate, key=tls.key, client_ca=tls.certificate))
    security.check("0.0.0.0")
    with Server.open(repository=folder, port=0, security=security) as server:
        context = ssl.create_default_context(cafile=tls.certificate)
        connection = http.client.HTTPSConnection("127.0.0.1", server.port, timeout=20, context=context)
        with pytest.raises((ssl.SSLError, OSError)):
            connection.request("GET", "/v2/health/live")
            connection.getresponse()
        connection.close()
        context.load_cert_chain(tls.certificate, tls.key)
        connection = http.client.HTTPSConnection("127.0.0.1", server.port, timeout=20, context=context)
        connection.request("GET", "/v2/health/live")
        assert connection.getresponse().status == 200
        connection.close()


def test_certificates_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot use a.pem, b.pem .*Give PEM files"):
        Tls(certificate=str(tmp_path / "a.pem"), key=str(tmp_path / "b.pem")).context()


@pytest.mark.browser
@pytest.mark.skipif(BROWSER is None, reason="needs a Chromium")
def test_the_live_page_draws_in_a_browser(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Management.handle

    async def handle(self: Management, request: Request) -> Response:
        """The page as it is, but for a picture that takes three seconds: the browser tells what it has after that."""
        if request.path == "/slow":
            await asyncio.sleep(3.2)
            return Response(404, b"{}")
        answer = await real(self, request)
        if request.path != "/":
            return answer
        content = answer.content.replace(b"img-src data:", b"img-src 'self'").replace(b"</h1>", b"</h1><img src=/slow>")
        return msgspec.structs.replace(answer, content=content)

    monkeypatch.setattr(Management, "handle", handle)
    stop = threading.Event()

    def load() -> None:
        while not stop.wait(0.005):
            ask(shown.url, "POST", "/v2/models/rows/infer", BODY)

    options = "--headless --no-sandbox --disable-gpu --disable-background-networking --no-first-run --dump-dom"
    with Server.open(repository=folder, port=0, management=0) as shown:
        thread = threading.Thread(target=load)
        thread.start()
        command = [str(BROWSER), *options.split(), f"--user-data-dir={tmp_path}/profile", shown.management_url or ""]
        try:
            page = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
        finally:
            stop.set()
            thread.join()
    assert re.search(r'id="state"[^>]*>Ready\.<', page), page[:3000]
    assert page.count("<polyline") == 6 and re.search(r'points="[\d.]+,[\d.]+', page)
    assert "<td>rows</td><td>2</td><td>READY</td>" in page
    rate = re.search(r'data-total="rate"[^>]*>([\d,.]+)<', page)
    assert rate and float(rate[1].replace(",", "")) > 1


@pytest.mark.browser
@pytest.mark.skipif(BROWSER is None, reason="needs a Chromium")
def test_the_form_asks_the_model_in_a_browser(server: Server, tmp_path: Path) -> None:
    click = """
        const form = document.querySelector("form[data-path$='/rows/versions/2/infer']");
        const said = form.querySelector("pre");
        form.querySelector("textarea").value = WHAT;
        form.querySelector("button").click();
        while (said.textContent === "" || said.textContent === "…") await new Promise((go) => setTimeout(go, 20));
        return said.textContent;
    """
    first, _, rest = used(f"{server.url}/", click.replace("WHAT", json.dumps(BODY)), tmp_path).partition("\n")
    assert first.startswith("200  ") and "compute;dur=" in first
    assert json.loads(rest)["outputs"][0]["data"] == [6.0]
    assert used(f"{server.url}/", click.replace("WHAT", "'{'"), tmp_path).startswith('400\n{"error":')
