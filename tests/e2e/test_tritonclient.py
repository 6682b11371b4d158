"""NVIDIA's client, unchanged, against the server: HTTP and gRPC, each sync and on an event loop."""

import asyncio
import queue
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from lepton_ai.runtime import OnnxRuntime
from lepton_ai.serving import GrpcFront, ServedModel, Server
from tests.contracts import graphs
from tests.contracts.slow import SlowRuntime

triton_http = pytest.importorskip("tritonclient.http", exc_type=ImportError)
triton_http_aio = pytest.importorskip("tritonclient.http.aio", exc_type=ImportError)
triton_grpc = pytest.importorskip("tritonclient.grpc", exc_type=ImportError)
triton_grpc_aio = pytest.importorskip("tritonclient.grpc.aio", exc_type=ImportError)
json_format = pytest.importorskip("google.protobuf.json_format")
Refusal = pytest.importorskip("tritonclient.utils").InferenceServerException

A = np.arange(8, dtype="int32").reshape(2, 4)
X = np.array([[1, 2, 3], [4, 5, 6]], "float32")
SCORES = np.array([[0.1, 0.2, 0.7], [0.5, 0.4, 0.1]], "float32")


class Served(NamedTuple):
    http: str
    grpc: str
    slow: SlowRuntime


class Awaited:
    """One of its clients on an event loop, awaited for its caller."""

    def __init__(self, make: Any, address: str) -> None:
        self._runner = asyncio.Runner()
        self._client = self._runner.run(self._make(make, address))

    async def _make(self, make: Any, address: str) -> Any:
        return make(address)

    def __getattr__(self, name: str) -> Any:
        async def call(*arguments: Any, **options: Any) -> Any:
            return await getattr(self._client, name)(*arguments, **options)

        return lambda *arguments, **options: self._runner.run(call(*arguments, **options))

    def close(self) -> None:
        self._runner.run(self._client.close())
        self._runner.close()


class Asking(NamedTuple):
    """A client, and the module that its tensors come from."""

    client: Any
    tensors: Any

    def tensor(self, name: str, array: Any, datatype: str) -> Any:
        made = self.tensors.InferInput(name, list(array.shape), datatype)
        made.set_data_from_numpy(array)
        return made

    def json(self, answer: Any) -> Any:
        """What a question about a model is answered, as JSON has it."""
        if isinstance(answer, dict):
            return answer
        return json_format.MessageToDict(answer, preserving_proto_field_name=True)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder, slow, front = tmp_path_factory.mktemp("triton"), SlowRuntime(), GrpcFront(0)

    def model(name: str, content: bytes, sign: Any, **options: Any) -> ServedModel:
        path: Path = folder / f"{name}.onnx"
        path.write_bytes(content)
        return ServedModel(OnnxRuntime(path, signature=sign, threads=1, spinning=False), name=name, **options)

    models = [
        model("simple", graphs.sum_difference_graph(), graphs.SUM_DIFFERENCE),
        model("rows", graphs.rows_graph(), graphs.ROWS, labels=("cat", "dog", "cow")),
        model("text", graphs.text_graph(), graphs.TEXT),
        model("brain", graphs.brain_graph(), graphs.BRAIN),
        model("half", graphs.half_graph(), graphs.HALF),
        ServedModel(slow, name="slow"),
    ]
    with Server(models, port=0, fronts=[front]) as server:
        yield Served(server.url.removeprefix("http://"), front.address, slow)
        slow.go.set()


@pytest.fixture(params=["http", "http.aio", "grpc", "grpc.aio"])
def asking(request: pytest.FixtureRequest, served: Served) -> Iterator[Asking]:
    address = served.http if "http" in request.param else served.grpc
    tensors = triton_http if "http" in request.param else triton_grpc
    if request.param.endswith("aio"):
        module = triton_http_aio if "http" in request.param else triton_grpc_aio
        made: Any = Awaited(module.InferenceServerClient, address)
    else:
        made = tensors.InferenceServerClient(address)
    yield Asking(made, tensors)
    made.close()


def test_health(asking: Asking) -> None:
    client = asking.client
    assert client.is_server_live() and client.is_server_ready()
    assert client.is_model_ready("rows") and client.is_model_ready("rows", "1") and not client.is_model_ready("none")


def test_what_it_tells_of_itself_and_its_models(asking: Asking) -> None:
    client = asking.client
    server = asking.json(client.get_server_metadata())
    assert server["name"] == "lepton" and "binary_tensor_data" in server["extensions"]
    metadata = asking.json(client.get_model_metadata("simple"))
    assert [each["name"] for each in metadata["inputs"]] == ["a", "b"] and metadata["versions"] == ["1"]
    assert [int(size) for size in metadata["outputs"][0]["shape"]] == [-1, 4]
    config = asking.json(client.get_model_config("simple"))
    config = config.get("config", config)
    assert config["max_batch_size"] == 64 and config["input"][0]["data_type"] == "TYPE_INT32"
    assert [int(size) for size in config["input"][0]["dims"]] == [4]


def test_statistics(asking: Asking) -> None:
    def count() -> int:
        found = asking.json(asking.client.get_inference_statistics("simple"))["model_stats"][0]
        return int(found["inference_stats"]["success"].get("count", 0))

    before = count()
    asking.client.infer("simple", [asking.tensor("a", A, "INT32"), asking.tensor("b", A, "INT32")])
    assert count() == before + 1
    every = asking.json(asking.client.get_inference_statistics())["model_stats"]
    assert {each["name"] for each in every} >= {"simple", "rows", "text", "half"}


@pytest.mark.parametrize("compression", [None, "gzip", "deflate"])
def test_infer(asking: Asking, compression: str | None) -> None:
    options: dict[str, Any] = {}
    if compression and asking.tensors is triton_http:
        options = {"request_compression_algorithm": compression, "response_compression_algorithm": compression}
    elif compression:
        options = {"compression_algorithm": compression}
    inputs = [asking.tensor("a", A, "INT32"), asking.tensor("b", A * 2, "INT32")]
    found = asking.client.infer("simple", inputs, request_id="17", **options)
    assert np.array_equal(found.as_numpy("sum"), A * 3) and np.array_equal(found.as_numpy("difference"), -A)
    wanted = [asking.tensors.InferRequestedOutput("difference")]
    found = asking.client.infer("simple", inputs, outputs=wanted, model_version="1", priority=1, timeout=10_000_000)
    assert np.array_equal(found.as_numpy("difference"), -A) and found.as_numpy("sum") is None


def test_texts(asking: Asking) -> None:
    texts = np.array([["é"], [""], ["two words"]], dtype=object)
    found = asking.client.infer("text", [asking.tensor("text", texts, "BYTES")])
    assert [element.decode() for element in found.as_numpy("echo")[:, 0]] == texts[:, 0].tolist()


def test_half_precision(asking: Asking) -> None:
    x = np.array([[0.5, -2]], "float16")
    found = asking.client.infer("half", [asking.tensor("x", x, "FP16")]).as_numpy("y")
    assert found.dtype == np.float16 and np.array_equal(found, x * 2)


def test_bfloat16(asking: Asking) -> None:
    x = np.array([[0.5, -2]], "float32").astype(pytest.importorskip("ml_dtypes").bfloat16)
    found = asking.client.infer("brain", [asking.tensor("x", x, "BF16")]).as_numpy("y")
    assert found.dtype == x.dtype and np.array_equal(found, x * 2)


def test_classes(asking: Asking) -> None:
    wanted = [asking.tensors.InferRequestedOutput("double", class_count=2)]
    found = asking.client.infer("rows", [asking.tensor("x", SCORES, "FP32")], outputs=wanted).as_numpy("double")
    assert [each.decode().split(":")[1:] for each in found[0]] == [["2", "cow"], ["1", "dog"]]


@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")  # said of its own client, by aiohttp
def test_empty_and_large(asking: Asking) -> None:
    found = asking.client.infer("rows", [asking.tensor("x", X[:0], "FP32")])
    assert found.as_numpy("double").shape == (0, 3)
    many = np.random.default_rng(0).normal(size=(200_000, 3)).astype("float32")
    assert np.array_equal(asking.client.infer("rows", [asking.tensor("x", many, "FP32")]).as_numpy("double"), many * 2)


@pytest.mark.parametrize(
    ("model", "array", "said"),
    [
        ("none", X, "unknown model 'none'"),
        ("rows", X[:, :2].copy(), "got shape [2, 2], expected [-1, 3]"),
        ("rows", X.astype("int64"), "got INT64, expected FP32"),
    ],
)
def test_mistakes_are_explained(asking: Asking, model: str, array: Any, said: str) -> None:
    datatype = "INT64" if array.dtype == np.int64 else "FP32"
    with pytest.raises(Refusal) as caught:
        asking.client.infer(model, [asking.tensor("x", array, datatype)])
    assert said in caught.value.message()
    assert caught.value.status() in ("400", "404", "StatusCode.INVALID_ARGUMENT", "StatusCode.NOT_FOUND")


def test_what_users_may_not_do(asking: Asking) -> None:
    for verb in (lambda: asking.client.load_model("rows"), asking.client.get_model_repository_index):
        with pytest.raises(Refusal, match="management address"):
            verb()
    tensor = asking.tensors.InferInput("x", [1, 3], "FP32")
    tensor.set_shared_memory("region", 12)
    with pytest.raises(Refusal, match="shared_memory_region"):
        asking.client.infer("rows", [tensor])


def test_many_at_once(served: Served) -> None:
    async def main() -> None:
        for module, tensors, address in (
            (triton_http_aio, triton_http, served.http),
            (triton_grpc_aio, triton_grpc, served.grpc),
        ):
            client = module.InferenceServerClient(address)
            asking = Asking(client, tensors)
            calls = (client.infer("rows", [asking.tensor("x", X + number, "FP32")]) for number in range(50))
            for number, found in enumerate(await asyncio.gather(*calls)):
                assert np.array_equal(found.as_numpy("double"), (X + number) * 2)
            await client.close()

    asyncio.run(main())


# -- gRPC alone --------------------------------------------------------------------------------------------------------


@pytest.fixture
def grpc(served: Served) -> Iterator[Asking]:
    made = triton_grpc.InferenceServerClient(served.grpc)
    yield Asking(made, triton_grpc)
    made.close()


def test_streams_answer_in_order_and_outlive_mistakes(grpc: Asking) -> None:
    came: queue.Queue[tuple[Any, Any]] = queue.Queue()
    grpc.client.start_stream(lambda result, error: came.put((result, error)))
    for number in range(100):
        array = X[:, :2].copy() if number == 50 else X + number
        grpc.client.async_stream_infer("rows", [grpc.tensor("x", array, "FP32")], request_id=str(number))
    for number in range(100):
        result, error = came.get(timeout=20)
        if number == 50:
            assert result is None and "got shape [2, 2]" in error.message()
        else:
            assert error is None and result.get_response().id == str(number)
            assert np.array_equal(result.as_numpy("double"), (X + number) * 2)
    inputs = [grpc.tensor("x", X, "FP32")]
    grpc.client.async_stream_infer("rows", inputs, enable_empty_final_response=True)
    assert came.get(timeout=20)[0].get_response().parameters["triton_final_response"].bool_param
    grpc.client.stop_stream()


def test_a_strict_stream_ends_with_the_status(grpc: Asking) -> None:
    came: queue.Queue[tuple[Any, Any]] = queue.Queue()
    grpc.client.start_stream(lambda result, error: came.put((result, error)), headers={"triton_grpc_error": "true"})
    grpc.client.async_stream_infer("none", [grpc.tensor("x", X, "FP32")])
    _, error = came.get(timeout=20)
    assert error.status() == "StatusCode.NOT_FOUND" and "unknown model" in error.message()
    grpc.client.stop_stream()


def test_cancelled_and_late_calls_are_not_computed(grpc: Asking, served: Served) -> None:
    came: queue.Queue[tuple[Any, Any]] = queue.Queue()

    def ask(**options: Any) -> Any:
        inputs = [grpc.tensor("x", X, "FP32")]
        return grpc.client.async_infer("slow", inputs, lambda result, error: came.put((result, error)), **options)

    ask()
    assert served.slow.entered.wait(20)
    ask().cancel()
    _, error = came.get(timeout=20)
    assert error.status() == "StatusCode.CANCELLED"
    ask(client_timeout=0.2)
    _, error = came.get(timeout=20)
    assert error.status() == "StatusCode.DEADLINE_EXCEEDED"
    stream = threading.Event()
    grpc.client.start_stream(lambda result, error: stream.set())
    grpc.client.async_stream_infer("slow", [grpc.tensor("x", X, "FP32")])
    grpc.client.stop_stream(cancel_requests=True)
    served.slow.go.set()
    result, error = came.get(timeout=20)
    assert error is None and np.array_equal(result.as_numpy("double"), X * 2)
    assert served.slow.rows == 2  # of the first alone
