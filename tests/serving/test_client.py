"""Both clients: against a server of ours, and against one that misbehaves as it is told to."""

import asyncio
import datetime
import email.utils
import inspect
import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lepton_ai.core import ConfigError, LeptonError, NotFoundError, RequestError, ShapeError, UnavailableError
from lepton_ai.serving import AsyncClient, Client, LostError, Repository, Server, ServerConfig, ServerFaultError
from lepton_ai.serving.calls import Caller, Pause, asked_pause
from lepton_ai.serving.errors import ForbiddenError, LateError, TooManyRequestsError, UnauthorizedError
from tests.contracts import graphs
from tests.contracts.bundles import write_bundle
from tests.contracts.certificates import certificate
from tests.contracts.scripted import Say, Scripted, scripted

X = np.array([[1, 2, 3], [4, 5, 6]], "float32")
MODEL = "/v2/models/rows"
INFER = f"{MODEL}/infer"
METADATA = json.dumps(
    {
        "name": "rows",
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 3]}],
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1]}],
    }
).encode()
OTHER = METADATA.replace(b"[-1, 3]", b"[-1, 4]")
ANSWER = b'{"model_name":"rows","outputs":[{"name":"y","datatype":"FP32","shape":[1],"data":[5]}]}'
BUSY = Say(503, b'{"error": "too many wait"}')


class Awaited:
    """An `AsyncClient` that is awaited for its caller."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._runner = asyncio.Runner()
        self._client = AsyncClient(*arguments, **options)

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            async def main() -> Any:
                return await getattr(self._client, name)(*arguments, **options)

            return self._runner.run(main())

        return call

    def __enter__(self) -> "Awaited":
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.run(self._client.close())
        self._runner.close()


@pytest.fixture(params=[Client, Awaited], ids=["sync", "async"])
def kind(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    variants = {"fp32": graphs.rows_graph()}
    path = write_bundle(tmp_path_factory.mktemp("client") / "rows", name="rows", sign=graphs.ROWS, graphs=variants)
    with Server.open(path, port=0, config=ServerConfig(threads=1)) as started:
        yield started


@pytest.fixture
def client(kind: Any, server: Server) -> Iterator[Any]:
    with kind(server.url) as made:
        yield made


@pytest.fixture
def script() -> Iterator[Scripted]:
    with scripted() as made:
        made.on(MODEL, Say(body=METADATA))
        yield made


# -- against a server of ours --------------------------------------------------------------------------------------


@pytest.mark.parametrize("binary", [True, False])
def test_infer(client: Any, binary: bool) -> None:
    answer = client.infer("rows", x=X, binary=binary, id="17")
    assert list(answer) == ["total", "double"]
    assert np.array_equal(answer["double"], X * 2) and answer["double"].dtype == np.float32
    assert (answer.model, answer.version, answer.id) == ("rows", "1", "17")
    answer["double"] += 1  # whoever asked may write to it
    assert np.array_equal(client.infer("rows", {"x": X.tolist()}, version=1, outputs=["total"])["total"], [[6], [15]])


def test_large_tensors(client: Any) -> None:
    many = np.random.default_rng(0).normal(size=(500_000, 3)).astype("float32")
    assert np.array_equal(client.infer("rows", x=many)["double"], many * 2)


def test_what_a_server_tells(client: Any) -> None:
    assert client.live() and client.ready() and client.ready("rows") and client.ready("rows", 1)
    assert not client.ready("row")
    found = client.metadata("rows")
    assert found.signature == graphs.ROWS and found.name == "rows" and found.versions == ("1",)
    assert client.server()["name"] == "lepton"
    with pytest.raises(NotFoundError, match="unknown model 'row'. Did you mean 'rows'?"):
        client.infer("row", x=X)
    with pytest.raises(NotFoundError, match="has no version '9'"):
        client.metadata("rows", 9)


def test_threads_share_a_client(server: Server) -> None:
    with Client(server.url, connections=2) as client, ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda number: client.infer("rows", x=X + number)["double"], range(100)))
    for number, each in enumerate(found):
        assert np.array_equal(each, (X + number) * 2)


def test_many_calls_at_once_on_a_loop(server: Server) -> None:
    async def main() -> None:
        async with AsyncClient(server.url) as client:
            found = await asyncio.gather(*(client.infer("rows", x=X + number) for number in range(200)))
        for number, each in enumerate(found):
            assert np.array_equal(each["double"], (X + number) * 2)

    asyncio.run(main())


def test_models_are_loaded_and_unloaded(kind: Any, tmp_path: Path) -> None:
    for version in ("1", "2"):
        variants = {"fp32": graphs.rows_graph()}
        write_bundle(tmp_path / "rows" / version, name="rows", sign=graphs.ROWS, graphs=variants)
    server = Server(repository=Repository(tmp_path), port=0, management=0)
    with server, kind(server.management_url) as manager, kind(server.url) as client:
        assert {each["state"] for each in manager.index()} == {"UNAVAILABLE"}
        manager.load("rows", 1)
        manager.load("rows")
        assert [each["version"] for each in manager.index(ready=True)] == ["1", "2"]
        assert client.infer("rows", x=X).version == "2" and client.infer("rows", x=X, version=1).version == "1"
        assert [each["version"] for each in client.statistics("rows")] == ["1", "2"]
        assert client.config("rows")["max_batch_size"] == 64
        manager.unload("rows")
        assert not client.ready("rows")
        with pytest.raises(NotFoundError, match="is not loaded"):
            client.infer("rows", x=X)


# -- nothing is sent that the server would refuse --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({"x": X.astype("float64")}, "input 'x': got FP64, expected FP32. Convert it"),
        ({"x": X[0]}, "got shape .3., expected .-1, 3.*wrap a single example in a batch of one"),
        ({"X": X}, "unknown input 'X'. Did you mean 'x'?"),
        ({}, "missing input 'x'"),
    ],
)
def test_mistakes_are_found_before_anything_is_sent(
    kind: Any, script: Scripted, inputs: dict[str, Any], said: str
) -> None:
    with kind(script.url) as client, pytest.raises(LeptonError, match=said):
        client.infer("rows", **inputs)
    assert [asked.path for asked in script.asked] == [MODEL]
    with kind(script.url) as client, pytest.raises(LeptonError, match="unknown output 'z'. Known: y."):
        client.infer("rows", x=X, outputs=["z"])
    assert {asked.method for asked in script.asked} == {"GET"}


def test_a_model_that_was_replaced_is_looked_at_again(kind: Any, script: Scripted) -> None:
    script.on(MODEL, Say(body=METADATA), Say(body=OTHER))
    script.on(INFER, Say(body=ANSWER))
    with kind(script.url) as client:
        client.infer("rows", x=X)
        client.infer("rows", x=np.ones((2, 4), "float32"))
        with pytest.raises(ShapeError, match="expected .-1, 4."):
            client.infer("rows", x=X)
    assert [asked.path for asked in script.asked] == [MODEL, INFER, MODEL, INFER, MODEL]


# -- what is sent ---------------------------------------------------------------------------------------------------


def test_what_is_sent(kind: Any, script: Scripted) -> None:
    script.on(INFER, Say(body=ANSWER))
    with kind(script.url, token="secret") as client:
        client.infer("rows", x=X, priority=1, timeout=30, id="a", top=2)
        client.infer("rows", x=X, binary=False)
    _, first, second = script.asked
    assert all(asked.headers["authorization"] == "Bearer secret" for asked in script.asked)
    length = int(first.headers["inference-header-content-length"])
    said = json.loads(first.body[:length])
    assert first.body[length:] == X.tobytes() and said["id"] == "a"
    assert said["outputs"] == [{"name": "y", "parameters": {"classification": 2}}]
    assert said["parameters"]["binary_data_output"] is True and said["parameters"]["priority"] == 1
    assert 0 < said["parameters"]["timeout"] <= 30e6
    assert "inference-header-content-length" not in second.headers
    assert json.loads(second.body)["inputs"][0]["data"] == [1, 2, 3, 4, 5, 6]
    assert len({asked.connection for asked in script.asked}) == 1  # one connection carried all


def test_names_are_quoted_and_prefixes_kept(kind: Any, script: Scripted) -> None:
    script.on("/behind/a/proxy/v2/models/a%2Fb%20c", Say(body=METADATA))
    with kind(f"{script.url}/behind/a/proxy/") as client:
        assert client.metadata("a/b c").name == "rows"


def test_control(kind: Any, script: Scripted) -> None:
    script.on("/v2/repository/models/rows/versions/3/load", Say(body=b""))
    script.on("/v2/repository/models/rows/unload", Say(400, b'{"error": "is not loaded"}'))
    script.on("/v2/repository/index", Say(body=b'[{"name": "rows", "version": "3", "state": "READY", "reason": ""}]'))
    script.on("/v2/models/stats", Say(body=b'{"model_stats": [{"name": "rows"}]}'))
    script.on(f"{MODEL}/config", Say(body=b'{"max_batch_size": 8}'))
    with kind(script.url) as client:
        client.load("rows", 3)
        with pytest.raises(RequestError, match="^is not loaded$"):
            client.unload("rows")
        assert client.index(ready=True)[0]["version"] == "3"
        assert client.statistics()[0]["name"] == "rows" and client.config("rows")["max_batch_size"] == 8
    assert json.loads(script.asked[2].body) == {"ready": True}


# -- trying again ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "trouble",
    [BUSY, Say(429, b'{"error": "slower"}'), Say(502, b"<html>"), Say(hang_up=True)],
    ids=["busy", "429", "proxy", "hung up"],
)
def test_what_passes_is_tried_again(kind: Any, script: Scripted, trouble: Say) -> None:
    script.on(INFER, trouble, trouble, Say(body=ANSWER))
    with kind(script.url) as client:
        assert client.infer("rows", x=X)["y"].tolist() == [5]
    asked = [each for each in script.asked if each.path == INFER]
    assert len(asked) == 3


def test_it_gives_up_after_so_many_attempts(kind: Any, script: Scripted) -> None:
    script.on(INFER, BUSY)
    with kind(script.url, retries=1) as client, pytest.raises(UnavailableError, match="^too many wait$"):
        client.infer("rows", x=X)
    assert len(script.asked) == 3
    script.on(INFER, Say(429, b'{"error": "over your limit. Try again in 4 s."}', {"Retry-After": "4"}))
    with kind(script.url, retries=0) as client, pytest.raises(TooManyRequestsError, match="limit. Try again in 4 s.$"):
        client.infer("rows", x=X)


def test_a_pause_that_the_deadline_forbids_is_not_made(kind: Any, script: Scripted) -> None:
    script.on(INFER, Say(503, b'{"error": "too many wait"}', {"Retry-After": "3600"}))
    with kind(script.url) as client, pytest.raises(UnavailableError, match="^too many wait$"):
        client.infer("rows", x=X, timeout=60)


def test_loading_is_not_asked_for_twice_once_it_may_have_begun(kind: Any, script: Scripted) -> None:
    script.on("/v2/repository/models/rows/load", Say(hang_up=True))
    with kind(script.url) as client, pytest.raises(LostError, match="closed the connection without an answer"):
        client.load("rows")
    assert len(script.asked) == 1


def test_pauses_double_and_heed_the_server() -> None:
    caller = Caller("http://h", token=None, timeout=100, retries=9, binary=True)
    talk = caller.metadata("m")
    next(talk)
    pauses = []
    for _ in range(9):
        step = talk.throw(LostError("gone"))
        assert isinstance(step, Pause)
        pauses.append(step.seconds)
        next(talk)
    with pytest.raises(LostError):
        talk.throw(LostError("gone"))
    for turn, seconds in enumerate(pauses):
        span = min(5.0, 0.05 * 2**turn)
        assert span / 2 <= seconds <= span
    later = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=30)
    assert 25 < (asked_pause(email.utils.format_datetime(later)) or 0) <= 30
    assert asked_pause("-1") is None and asked_pause("9" * 400) is None


# -- what goes wrong ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("say", "error", "said"),
    [
        (Say(400, b'{"error": "input \'x\' is odd"}'), RequestError, "^input 'x' is odd$"),
        (Say(401, b'{"error": "no token"}'), UnauthorizedError, "^no token$"),
        (Say(403, b'{"error": "not here"}'), ForbiddenError, "^not here$"),
        (Say(504, b'{"error": "late"}'), LateError, "^late$"),
        (Say(500, b'{"error": "internal error"}'), ServerFaultError, "^internal error$"),
        (Say(418, b"<html>"), RequestError, "^the server answered 418, without a reason$"),
        (Say(200, b"<html>"), ServerFaultError, f"{INFER}: the answer cannot be read .body: not valid JSON"),
        (Say(302, b"", {"Location": "/elsewhere"}), RequestError, "the server answered 302"),
        (Say(200, ANSWER, {"Inference-Header-Content-Length": "999"}), ServerFaultError, "the answer cannot be read"),
    ],
)
def test_refusals_become_errors_of_ours(
    kind: Any, script: Scripted, say: Say, error: type[Exception], said: str
) -> None:
    script.on(INFER, say)
    with kind(script.url) as client, pytest.raises(error, match=said):
        client.infer("rows", x=X)


def test_metadata_that_is_none(kind: Any, script: Scripted) -> None:
    script.on(MODEL, Say(body=b'{"name": "rows"}'))
    with kind(script.url) as client, pytest.raises(ServerFaultError, match="is not what the protocol says .*inputs"):
        client.metadata("rows")


def test_an_answer_that_does_not_come_ends_with_the_deadline(kind: Any, script: Scripted) -> None:
    never = threading.Event()
    script.on(INFER, Say(body=ANSWER, after=never))
    with kind(script.url) as client:
        with pytest.raises(LateError, match=f"{INFER}: no answer after 0.\\d+ s"):
            client.infer("rows", x=X, timeout=0.3)
        with pytest.raises(LateError):
            client.infer("rows", x=X, timeout=0)
    never.set()


def test_nobody_there(kind: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    with kind(f"http://127.0.0.1:{port}", retries=1) as client:
        assert not client.live() and not client.ready("rows")
        with pytest.raises(LostError, match="cannot be reached. Is the server running there?") as caught:
            client.infer("rows", x=X)
    assert not caught.value.sent and isinstance(caught.value, UnavailableError)


def test_a_cancelled_call_hangs_up(script: Scripted) -> None:
    never = threading.Event()
    script.on(INFER, Say(body=ANSWER, after=never), Say(body=ANSWER))

    async def main() -> None:
        async with AsyncClient(script.url) as client:
            call = asyncio.ensure_future(client.infer("rows", x=X))
            while len(script.asked) < 2:
                await asyncio.sleep(0.005)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            assert (await client.infer("rows", x=X))["y"].tolist() == [5]

    asyncio.run(main())
    never.set()
    assert len({asked.connection for asked in script.asked if asked.path == INFER}) == 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"url": "127.0.0.1:8080"}, 'Client.url: got .*expected an address such as "http://127.0.0.1:8080"'),
        ({"url": "ftp://x"}, "Client.url"),
        ({"url": "http://user:word@x"}, "Client.url"),
        ({"timeout": 0}, "timeout above 0"),
        ({"token": "two words"}, "Client.token: a token is printable ASCII without spaces"),
        ({"token": "a\r\nX-Evil: 1"}, "Client.token"),
        ({"url": "https://x", "tls": "/nowhere.pem"}, "Client.tls: /nowhere.pem holds no certificates"),
    ],
)
def test_settings_that_cannot_be(kind: Any, options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        kind(**{"url": "http://x", **options})
    assert "two words" not in str(caught.value)


def test_both_clients_have_the_same_methods() -> None:
    for name, method in inspect.getmembers(Client, inspect.isfunction):
        if not name.startswith("_"):
            parameters = inspect.signature(method).parameters
            assert list(parameters) == list(inspect.signature(getattr(AsyncClient, name)).parameters)
    assert list(inspect.signature(Client).parameters) == list(inspect.signature(AsyncClient).parameters)


# -- TLS --------------------------------------------------------------------------------------------------------------


def test_https_needs_an_authority(kind: Any, tmp_path: Path) -> None:
    authority, key = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority, key)
    with scripted(context) as script:
        script.on("/v2/health/live", Say())
        for tls in (authority, str(authority), ssl.create_default_context(cafile=str(authority))):
            with kind(script.url, tls=tls) as client:
                assert client.live()
        with kind(script.url) as client:
            started = time.monotonic()
            with pytest.raises(RequestError, match=r'is not to be trusted .*Name its authority: tls="authority.pem"'):
                client.metadata("rows")
            assert time.monotonic() - started < 20
