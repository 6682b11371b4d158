"""The gRPC face, asked by grpcio itself with our own messages: health, management, token, limits, stopping."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lepton_ai.core import ConfigError
from lepton_ai.runtime import OnnxRuntime
from lepton_ai.serving import GrpcFront, Repository, Security, ServedModel, Server, ServerConfig, Service, Tls
from lepton_ai.serving.grpc_calls import Calls
from lepton_ai.serving.grpc_messages import HEALTH, SERVICE, messages
from tests.contracts import graphs
from tests.contracts.bundles import write_bundle
from tests.contracts.certificates import certificate
from tests.contracts.slow import SlowRuntime

grpc = pytest.importorskip("grpc")

X = np.array([[1, 2, 3]], "float32")
TOKEN = "a-token-of-sixteen"


class Asker:
    """Calls by their names."""

    def __init__(self, address: str, credentials: Any = None) -> None:
        self.channel = (
            grpc.secure_channel(address, credentials) if credentials is not None else grpc.insecure_channel(address)
        )

    def __call__(
        self, method: str, *, service: str = SERVICE, token: str = "", timeout: float = 20, **fields: Any
    ) -> Any:
        known = messages()
        kind = "ModelInferRequest" if method == "ModelInfer" else f"{method}Request"
        answer = known[kind.replace("Check", "HealthCheck").replace("Request", "Response")].FromString
        call = self.channel.unary_unary(f"/{service}/{method}", lambda each: each.SerializeToString(), answer)
        metadata = (("authorization", f"Bearer {token}"),) if token else ()
        request = fields.pop("request", None) or known[kind.replace("Check", "HealthCheck")](**fields)
        return call(request, timeout=timeout, metadata=metadata)

    def watch(self, service: str = "") -> Iterator[int]:
        """The states that the health service tells, as they come."""
        known = messages()
        call = self.channel.unary_stream(
            f"/{HEALTH}/Watch", lambda each: each.SerializeToString(), known["HealthCheckResponse"].FromString
        )
        return (each.status for each in call(known["HealthCheckRequest"](service=service), timeout=20))

    def infer(self, array: Any = X, **options: Any) -> Any:
        return self("ModelInfer", request=infer_request(array), **options)


def infer_request(array: Any = X) -> Any:
    request = messages()["ModelInferRequest"](model_name="rows", raw_input_contents=[array.tobytes()])
    request.inputs.add(name="x", datatype="FP32", shape=array.shape)
    return request


def refused(code: str, said: str, call: Any, *arguments: Any, **options: Any) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        call(*arguments, **options)
    assert caught.value.code().name == code
    assert said in caught.value.details()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("grpc")
    (made / "rows.onnx").write_bytes(graphs.rows_graph())
    variants = {"fp32": graphs.rows_graph()}
    write_bundle(made / "models" / "rows", name="rows", sign=graphs.ROWS, graphs=variants)
    return made


def rows(folder: Path) -> ServedModel:
    runtime = OnnxRuntime(folder / "rows.onnx", signature=graphs.ROWS, threads=1, spinning=False)
    return ServedModel(runtime, name="rows")


@pytest.fixture(scope="module")
def ask(folder: Path) -> Iterator[Asker]:
    front = GrpcFront(0)
    with Server([rows(folder)], port=0, fronts=[front], config=ServerConfig(max_body=100_000)):
        asker = Asker(front.address)
        yield asker
        asker.channel.close()


def test_calls_are_part_of_a_trace(ask: Asker) -> None:
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    known, seen = messages(), []
    answer = known["ModelInferResponse"].FromString
    call = ask.channel.unary_unary(f"/{SERVICE}/ModelInfer", lambda each: each.SerializeToString(), answer)
    for metadata in ((("traceparent", parent),), (("traceparent", "00-0"),), ()):
        _, done = call.with_call(infer_request(), timeout=20, metadata=metadata)
        seen.append(dict(done.trailing_metadata()).get("traceresponse"))
    first, *others = seen
    assert str(first).startswith("00-0af7651916cd43dd8448eb211c80319c-") and first != parent and others == [None, None]


def test_an_answer(ask: Asker) -> None:
    found = ask.infer()
    assert [each.name for each in found.outputs] == ["total", "double"]
    assert np.frombuffer(found.raw_output_contents[1], "float32").tolist() == [2, 4, 6]


def test_health_and_metadata(ask: Asker) -> None:
    assert ask("Check", service=HEALTH).status == 1
    assert ask("Check", service=HEALTH, request=messages()["HealthCheckRequest"](service=SERVICE)).status == 1
    other = messages()["HealthCheckRequest"](service="x")
    refused("NOT_FOUND", "no service 'x'", ask, "Check", service=HEALTH, request=other)
    assert ask("ServerLive").live and ask("ServerReady").ready and ask("ServerMetadata").name == "lepton"
    assert ask("ModelReady", name="rows").ready and not ask("ModelReady", name="row").ready
    assert ask("ModelMetadata", name="rows").inputs[0].shape == [-1, 3]
    assert ask("ModelConfig", name="rows").config.input[0].dims == [3]
    assert ask("ModelStatistics").model_stats[0].name == "rows"
    refused("NOT_FOUND", "unknown model 'row'. Did you mean 'rows'?", ask, "ModelMetadata", name="row")


def test_models_are_managed_elsewhere(ask: Asker) -> None:
    for method, fields in (("RepositoryIndex", {}), ("RepositoryModelLoad", {"model_name": "rows"})):
        refused("PERMISSION_DENIED", "on the management address", ask, method, **fields)
    refused("PERMISSION_DENIED", "on the management address", ask, "RepositoryModelUnload", model_name="rows")


def test_limits(ask: Asker) -> None:
    refused("RESOURCE_EXHAUSTED", "larger than max", ask.infer, np.zeros((20_000, 3), "float32"))
    refused("INVALID_ARGUMENT", "got shape [1, 2]", ask.infer, X[:, :2].copy())
    assert ask.infer().outputs


def test_the_management_front_loads_and_unloads(folder: Path) -> None:
    front = GrpcFront(0, management=True)
    with Server(repository=Repository(folder / "models"), port=0, fronts=[front]):
        ask = Asker(front.address)
        before = [(each.name, each.state) for each in ask("RepositoryIndex").models]
        assert [name for name, _ in before] == ["rows"]
        ask("RepositoryModelLoad", model_name="rows")
        assert ask("RepositoryIndex", ready=True).models[0].state == "READY" and ask.infer().outputs
        ask("RepositoryModelUnload", model_name="rows")
        refused("NOT_FOUND", "is not loaded", ask.infer)
        refused("NOT_FOUND", "row", ask, "RepositoryModelLoad", model_name="row")
        ask.channel.close()


def test_a_token_is_needed_but_for_health(folder: Path) -> None:
    front = GrpcFront(0)
    with Server([rows(folder)], port=0, fronts=[front], security=Security(token=TOKEN)):
        ask = Asker(front.address)
        assert ask("Check", service=HEALTH).status == 1
        for method in ("ServerLive", "ServerMetadata", "ModelStatistics"):
            refused("UNAUTHENTICATED", "a token is needed", ask, method)
        refused("UNAUTHENTICATED", "a token is needed", ask.infer)
        refused("UNAUTHENTICATED", "a token is needed", ask.infer, token=TOKEN + "x")
        assert ask.infer(token=TOKEN).outputs
        stream = ask.channel.stream_stream(f"/{SERVICE}/ModelStreamInfer", lambda each: each.SerializeToString())
        refused("UNAUTHENTICATED", "a token is needed", list, stream(iter([infer_request()]), timeout=20))
        ask.channel.close()


def test_a_client_s_own_limit(folder: Path) -> None:
    front = GrpcFront(0)
    config = ServerConfig(client_rate=0.001, client_burst=2)
    with Server([rows(folder)], port=0, fronts=[front], config=config):
        ask = Asker(front.address)
        ask.infer()
        ask.infer()
        refused("RESOURCE_EXHAUSTED", "more than 0.001 requests a second", ask.infer)
        ask.channel.close()


def test_encryption(folder: Path, tmp_path: Path) -> None:
    chain, key = certificate(tmp_path)
    tls = Tls(certificate=str(chain), key=str(key))
    front = GrpcFront(0, tls=tls)
    with Server([rows(folder)], port=0, fronts=[front]):
        ask = Asker(front.address, grpc.ssl_channel_credentials(chain.read_bytes()))
        assert ask.infer().outputs
        ask.channel.close()
    with pytest.raises(ConfigError, match="cannot use"):
        GrpcFront(0, tls=Tls(certificate=str(key), key=str(key)))


def test_a_taken_port_is_said(folder: Path) -> None:
    front = GrpcFront(0)
    with Server([rows(folder)], port=0, fronts=[front]):
        second = Server([rows(folder)], port=0, fronts=[GrpcFront(front.port)])
        with pytest.raises(ConfigError, match="cannot listen on .*Choose another port, or 0 for a free one."), second:
            pass


def test_what_waits_too_long_is_late_and_what_was_begun_is_finished() -> None:
    runtime, front = SlowRuntime(), GrpcFront(0)
    answers: list[Any] = []
    with Server([ServedModel(runtime, name="rows")], port=0, fronts=[front]) as server:
        ask = Asker(front.address)
        first = threading.Thread(target=lambda: answers.append(ask.infer()))
        first.start()
        assert runtime.entered.wait(20)
        refused("DEADLINE_EXCEEDED", "", ask.infer, timeout=0.2)
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        runtime.go.set()
        first.join(20)
        stopping.join(20)
        ask.channel.close()
    assert len(answers) == 1 and runtime.rows == 1  # the late one was never computed


def test_who_watches_hears_of_what_changes_while_he_is_told() -> None:
    async def main() -> list[int]:
        service = Service()
        told = Calls(service, grpc.StatusCode, management=False).watch(messages()["HealthCheckRequest"](), None)
        first = await anext(told)
        service.ready = False
        return [first.status, *[each.status async for each in told]]

    assert asyncio.run(main()) == [1, 2]


def test_who_watches_hears_when_the_server_stops(folder: Path) -> None:
    front = GrpcFront(0)
    with Server([rows(folder)], port=0, fronts=[front]) as server:
        ask = Asker(front.address)
        known, unknown = ask.watch(SERVICE), ask.watch("x")
        assert (next(known), next(unknown)) == (1, 3)
        server.stop()
        assert (list(known), list(unknown)) == ([2], [])
        ask.channel.close()
