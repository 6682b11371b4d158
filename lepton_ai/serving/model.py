"""A model as the server holds it: signature, batcher, and the words of the protocol about both."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from lepton_ai.bundle import Body, Bundle, InferRequest, Signature, TensorSpec, check_name, render_response
from lepton_ai.core import unknown_name
from lepton_ai.runtime import (
    GOLDEN_TOLERANCE,
    Runtime,
    check_feed,
    choose_variant,
    open_model,
    replay_golden,
    warm_up,
)
from lepton_ai.serving.batcher import Batcher
from lepton_ai.serving.config import ServerConfig


class Reply(NamedTuple):
    """An answer's body and what it cost."""

    body: Body
    rows: int
    queue_seconds: float
    compute_seconds: float


class ServedModel:
    """One version of one model, ready to answer."""

    def __init__(
        self,
        runtime: Runtime,
        *,
        name: str,
        version: str = "1",
        platform: str = "onnxruntime_onnx",
        labels: tuple[str, ...] = (),
        config: ServerConfig | None = None,
    ) -> None:
        config = config or ServerConfig()
        self.name = check_name(name)
        self.version = version
        self.signature: Signature = runtime.signature
        self.batcher = Batcher(
            runtime, name=name, version=version, max_batch=config.max_batch, max_queue=config.max_queue
        )
        self.metadata: dict[str, Any] = {
            "name": name,
            "versions": [version],
            "platform": platform,
            "inputs": [_describe(spec) for spec in runtime.signature.inputs],
            "outputs": [_describe(spec) for spec in runtime.signature.outputs],
        }
        if labels:
            self.metadata["labels"] = labels
        self._outputs = [spec.name for spec in runtime.signature.outputs]

    @classmethod
    def load(
        cls, bundle: Bundle, *, name: str | None = None, variant: str | None = None, config: ServerConfig | None = None
    ) -> "ServedModel":
        """Load a verified bundle's graph, warm it up and replay its golden pairs.

        Raises: BundleError if it has no graph, or answers otherwise than its golden pairs say.
        """
        config = config or ServerConfig()
        graph = bundle.manifest.graphs[choose_variant(bundle, variant)]
        runtime = open_model(bundle, variant, threads=config.threads, spinning=False)
        tolerance = graph.parity.tolerance if graph.parity else GOLDEN_TOLERANCE
        warm_up(runtime)
        replay_golden(bundle, runtime, tolerance=tolerance)
        return cls(
            runtime,
            name=name or bundle.manifest.name,
            platform=f"{graph.runtime}_onnx",
            labels=bundle.manifest.labels,
            config=config,
        )

    async def answer(self, request: InferRequest, *, gone: Callable[[], bool] | None = None) -> Reply:
        """Check, compute and render.

        Raises: ShapeError, UnknownNameError, DataError, RequestError and its children.
        """
        check_feed(self.signature, request.inputs)
        wanted = request.outputs
        if wanted:
            for name in wanted:
                if name not in self._outputs:
                    raise unknown_name("output", name, self._outputs)
        answer = await self.batcher.infer(request.inputs, gone=gone)
        outputs = {name: answer.outputs[name] for name in wanted} if wanted else answer.outputs
        binary: Mapping[str, bool] | bool = wanted or request.binary
        body = render_response(self.name, outputs, model_version=self.version, id=request.id, binary=binary)
        return Reply(body, _rows(request), answer.queue_seconds, answer.compute_seconds)

    async def close(self) -> None:
        """Finish what waits and free the memory."""
        await self.batcher.close()


def _rows(request: InferRequest) -> int:
    array = next(iter(request.inputs.values()))
    return array.shape[0] if array.ndim else 1


def _describe(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "datatype": spec.dtype, "shape": spec.shape}
