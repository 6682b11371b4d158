"""A model as the server holds it: signature, batcher, and the words of the protocol about both."""

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from lepton_ai.bundle import Array, Bundle, InferRequest, Signature, TensorSpec, check_name
from lepton_ai.core import this_machine, unknown_name
from lepton_ai.runtime import (
    GOLDEN_TOLERANCE,
    Runtime,
    check_feed,
    check_memory,
    choose_variant,
    open_model,
    replay_golden,
    time_rows,
    warm_up,
)
from lepton_ai.serving import ledger
from lepton_ai.serving.batcher import Batcher
from lepton_ai.serving.classes import classify
from lepton_ai.serving.config import ServerConfig
from lepton_ai.serving.events import BatchRan
from lepton_ai.serving.line import Answer, Promise

_TYPES = {"BYTES": "TYPE_STRING"}
_MOST_SIZES = 256  # so many sizes of batches are told apart in the statistics
_NANOSECONDS = 1e9
_WORTH_TIMING = 0.001  # seconds of a single row beyond which a full batch is slow for certain
_PATIENCE = 0.1  # seconds of a single row beyond which nothing more is timed
_MERGED, _GAIN = 4, 0.9  # so many rows at once pay if they take less than this share of the time that they take alone


class InferReply(msgspec.Struct, gc=False):
    """One request's outputs, in the order in which they were asked for, and what they cost (seconds)."""

    model_name: str
    model_version: str
    id: str
    outputs: Mapping[str, Array]
    rows: int
    queue_seconds: float
    compute_seconds: float


class ServedModel:
    """One version of one model, ready to answer. `counters` is its row in the server's ledger."""

    def __init__(
        self,
        runtime: Runtime,
        *,
        name: str,
        version: str = "1",
        platform: str = "onnxruntime_onnx",
        labels: tuple[str, ...] = (),
        batch_seconds: float = math.inf,
        merges: bool = True,
        config: ServerConfig | None = None,
    ) -> None:
        """`batch_seconds` is how long a full batch takes, if that is known; see `Batcher`. `merges`: several requests
        are computed at once.
        """
        config = config or ServerConfig()
        self.name = check_name(name)
        self.version = version
        self.labels = labels
        self.signature: Signature = runtime.signature
        self.counters: ledger.Row = ledger.Ledger().row(name, version)
        self.batcher = Batcher(
            runtime,
            name=name,
            version=version,
            instances=config.instances,
            max_batch=config.max_batch if merges else 1,
            max_queue=config.max_queue,
            max_queue_bytes=config.max_queue_bytes,
            batch_seconds=batch_seconds,
        )
        self.batcher.batches.subscribe(self._count_batch)
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
        self._max_batch, self._instances, self._platform = config.max_batch, config.instances, platform
        self._sizes: dict[int, list[float]] = {}

    @classmethod
    def load(
        cls,
        bundle: Bundle,
        *,
        name: str | None = None,
        version: str = "1",
        variant: str | None = None,
        config: ServerConfig | None = None,
    ) -> "ServedModel":
        """Load a verified bundle's graph, warm it up and replay its golden pairs. May run in any thread.

        Raises: BundleError if it has no graph, or answers otherwise than its golden pairs say; UnavailableError if
        there is not enough memory for it.
        """
        config = config or ServerConfig()
        variant = choose_variant(bundle, variant)
        graph = bundle.manifest.graphs[variant]
        check_memory(bundle, variant)
        threads = config.threads or max(1, this_machine().cores // config.instances)
        runtime = open_model(bundle, variant, threads=threads, spinning=False)
        try:
            tolerance = graph.parity.tolerance if graph.parity else GOLDEN_TOLERANCE
            warm_up(runtime)
            replay_golden(bundle, runtime, tolerance=tolerance)
            alone = seconds = time_rows(runtime, 1)
            merges = True
            if alone < _WORTH_TIMING:
                seconds = time_rows(runtime, config.max_batch)
            elif alone < _PATIENCE and config.max_batch >= _MERGED:
                merges = time_rows(runtime, _MERGED) < _GAIN * _MERGED * alone
        except BaseException:
            runtime.close()
            raise
        return cls(
            runtime,
            name=name or bundle.manifest.name,
            version=version,
            platform=f"{graph.runtime}_onnx",
            labels=bundle.manifest.labels,
            batch_seconds=seconds,
            merges=merges,
            config=config,
        )

    def submit(
        self,
        request: InferRequest,
        promise: Promise,
        *,
        gone: Callable[[], bool] | None = None,
        deadline: float = math.inf,
    ) -> None:
        """Check it and let it wait. Of the answer that `promise` is told, `reply` makes what was asked for. `deadline`
        is a time of `time.perf_counter`.

        Raises: ShapeError, UnknownNameError, DataError, RequestError and its children.
        """
        check_feed(self.signature, request.inputs)
        for name in request.outputs:
            if name not in self._outputs:
                raise unknown_name("output", name, self._outputs)
        if request.timeout:
            deadline = min(deadline, time.perf_counter() + request.timeout / 1e6)
        self.batcher.submit(request.inputs, promise, gone=gone, priority=request.priority, deadline=deadline)

    def reply(self, request: InferRequest, answer: Answer) -> InferReply:
        """What was asked for, out of the batcher's answer.

        Raises: DataError, RequestError for classes that cannot be had.
        """
        outputs = answer.outputs
        if request.outputs:
            outputs = {name: outputs[name] for name in request.outputs}
        if request.classes:
            best = request.classes
            outputs = {
                name: classify(array, best[name], self.labels, at=f"output {name!r}") if name in best else array
                for name, array in outputs.items()
            }
        array = next(iter(request.inputs.values()))
        rows = array.shape[0] if array.ndim else 1
        return InferReply(
            self.name, self.version, request.id, outputs, rows, answer.queue_seconds, answer.compute_seconds
        )

    async def close(self) -> None:
        """Finish what waits and free the memory."""
        await self.batcher.close()

    def config(self) -> dict[str, Any]:
        """The model's configuration in the words of the protocol's extension."""
        specs = (*self.signature.inputs, *self.signature.outputs)
        batched = all(spec.shape and spec.shape[0] == -1 for spec in specs)

        def tensor(spec: TensorSpec) -> dict[str, Any]:
            dims = spec.shape[1:] if batched else spec.shape
            return {"name": spec.name, "data_type": _TYPES.get(spec.dtype, f"TYPE_{spec.dtype}"), "dims": dims}

        return {
            "name": self.name,
            "platform": self._platform,
            "backend": self._platform.partition("_")[0],
            "max_batch_size": self._max_batch if batched else 0,
            "input": [tensor(spec) for spec in self.signature.inputs],
            "output": [tensor(spec) for spec in self.signature.outputs],
            "instance_group": [{"name": f"{self.name}_0", "kind": "KIND_CPU", "count": self._instances}],
            "dynamic_batching": {"max_queue_delay_microseconds": 0},
        }

    def statistics(self) -> dict[str, Any]:
        """What it did since it was loaded, in the words of the protocol's extension; times in nanoseconds."""
        row = self.counters
        done, failed = int(row[0]), int(sum(row[1 : len(ledger.OUTCOMES)]))
        batches = int(row[ledger.BATCHES])
        sizes = [
            {
                "batch_size": size,
                "compute_input": _duration(count, merging),
                "compute_infer": _duration(count, running),
                "compute_output": _duration(count, splitting),
            }
            for size, (count, merging, running, splitting) in sorted(self._sizes.items())
        ]
        return {
            "name": self.name,
            "version": self.version,
            "last_inference": int(row[ledger.LAST_MILLISECONDS]),
            "inference_count": int(row[ledger.COMPUTED_ROWS]),
            "execution_count": batches,
            "inference_stats": {
                "success": _duration(done, row[ledger.OK_SECONDS]),
                "fail": _duration(failed, row[ledger.FAIL_SECONDS]),
                "queue": _duration(int(row[ledger.QUEUED]), row[ledger.QUEUE_SECONDS]),
                "compute_input": _duration(batches, row[ledger.MERGE_SECONDS]),
                "compute_infer": _duration(batches, row[ledger.RUN_SECONDS]),
                "compute_output": _duration(batches, row[ledger.SPLIT_SECONDS]),
                "cache_hit": _duration(0, 0.0),
                "cache_miss": _duration(0, 0.0),
            },
            "batch_stats": sizes,
            "memory_usage": [],
        }

    def _count_batch(self, event: BatchRan) -> None:
        running = event.seconds - event.merge_seconds - event.split_seconds
        ledger.count_batch(self.counters, event.rows, event.merge_seconds, running, event.split_seconds)
        self.counters[ledger.LAST_MILLISECONDS] = int(time.time() * 1000)
        if event.rows not in self._sizes and len(self._sizes) >= _MOST_SIZES:
            return
        size = self._sizes.setdefault(event.rows, [0.0] * 4)
        for index, value in enumerate((1, event.merge_seconds, running, event.split_seconds)):
            size[index] += value


def _duration(count: float, seconds: float) -> dict[str, int]:
    return {"count": int(count), "ns": int(seconds * _NANOSECONDS)}


def _describe(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "datatype": spec.dtype, "shape": spec.shape}
