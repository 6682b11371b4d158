"""onnxruntime: the runtime of bundles on every CPU."""

import ctypes
import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidArgument, RuntimeException

from lepton_ai.bundle import Array, Signature, TensorSpec, numpy_dtype
from lepton_ai.core import BundleError, DataError, UsageError, this_machine
from lepton_ai.runtime.feed import check_feed, describe

_DTYPES = {
    "tensor(bool)": "BOOL",
    "tensor(uint8)": "UINT8",
    "tensor(uint16)": "UINT16",
    "tensor(uint32)": "UINT32",
    "tensor(uint64)": "UINT64",
    "tensor(int8)": "INT8",
    "tensor(int16)": "INT16",
    "tensor(int32)": "INT32",
    "tensor(int64)": "INT64",
    "tensor(float16)": "FP16",
    "tensor(bfloat16)": "BF16",
    "tensor(float)": "FP32",
    "tensor(double)": "FP64",
    "tensor(string)": "BYTES",
}
_FATAL = 4
_ONNX_BF16 = 16
_BF16 = numpy_dtype("BF16")
_NOWHERE = os.devnull  # as the folder of external data: nothing lies in it


class OnnxRuntime:
    """One ONNX file in onnxruntime, on the CPU.

    `signature` is what the bundle says of the graph, checked against the graph itself; without it the graph's own is
    taken. `threads` compute one run (default: the cores of this process). `spinning` lets them wait busily between
    operators: faster alone, harmful to whoever shares the cores.

    The graph is one file: weights that lie in others are refused, since nothing has verified those.

    Raises: BundleError if the file is not a graph that onnxruntime loads, or not the graph that `signature` describes.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        signature: Signature | None = None,
        threads: int | None = None,
        spinning: bool = True,
    ) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or this_machine().cores
        options.inter_op_num_threads = 1
        options.log_severity_level = _FATAL  # errors are raised; nothing is printed
        options.add_session_config_entry("session.intra_op.allow_spinning", "1" if spinning else "0")
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", _NOWHERE)
        try:
            content = Path(path).read_bytes()  # from bytes: weights in files beside the graph are never read
            self._session: Any = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            fix = "Save the graph with its weights inside one file." if "xternal data" in str(error) else ""
            raise BundleError(f"onnxruntime cannot load it ({error})", at=str(path), fix=fix) from error
        del content
        own = _own_signature(self._session, str(path))
        if signature is not None:
            _compare(signature, own, str(path))
        self.signature = signature or own
        self._outputs = [spec.name for spec in self.signature.outputs]
        self._bits = any(spec.dtype == "BF16" for spec in (*self.signature.inputs, *self.signature.outputs))
        self._texts = [spec.name for spec in self.signature.inputs if spec.dtype == "BYTES"]

    def run(self, feed: Mapping[str, Array]) -> dict[str, Array]:
        """The outputs for `feed`; see `Runtime.run`."""
        session = self._session
        if session is None:
            raise UsageError("the runtime is closed", at="OnnxRuntime.run", fix="Open the model again.")
        check_feed(self.signature, feed)
        ready = {name: np.require(array, requirements=["C", "A"]) for name, array in feed.items()}
        for name in self._texts:
            ready[name] = _as_text(name, ready[name])
        try:
            values = self._run_bits(session, ready) if self._bits else session.run(self._outputs, ready)
        except (InvalidArgument, Fail, RuntimeException) as error:
            if "alloc" in str(error):
                raise MemoryError("the model needs more memory than there is for this batch") from error
            raise DataError(f"the model cannot compute these inputs ({_reason(error)})") from error
        return dict(zip(self._outputs, values, strict=True))

    def _run_bits(self, session: Any, feed: Mapping[str, Array]) -> list[Array]:
        """A run with BF16, which onnxruntime takes from numpy and gives back as the bits that it is."""
        make = onnxruntime.OrtValue
        values = {
            name: make.ortvalue_from_numpy_with_onnx_type(array.view(np.uint16), _ONNX_BF16)
            if array.dtype == _BF16
            else make.ortvalue_from_numpy(array)
            for name, array in feed.items()
        }
        return [_array_of(value) for value in session.run_with_ort_values(self._outputs, values)]

    def close(self) -> None:
        """Free the session; see `Runtime.close`."""
        self._session = None


def _array_of(value: Any) -> Array:
    if value.data_type() != "tensor(bfloat16)":
        return np.asarray(value.numpy())
    count = math.prod(value.shape())
    memory = ctypes.string_at(value.data_ptr(), 2 * count) if count else b""
    return np.frombuffer(memory, _BF16).reshape(value.shape())


def _reason(error: Exception) -> str:
    """What the graph refuses, in its own words; or the last part of onnxruntime's, without files and operators."""
    refused = re.search(r"Name:'refused: ([^']*)'", str(error))
    if refused is not None:
        return refused[1]
    text = str(error).rpartition("Status Message:")[2].partition("\n")[0]
    return re.sub(r"\S*/\S*", "", text).strip()[:200]


def _as_text(name: str, array: Array) -> Array:
    """onnxruntime would take `bytes` too, and silently compute with their Python spelling."""
    texts = np.empty(array.size, dtype=object)
    for index, element in enumerate(array.ravel().tolist()):
        if isinstance(element, bytes):
            try:
                texts[index] = element.decode()
            except UnicodeDecodeError as error:
                raise DataError(f"element {index} is not UTF-8 text", at=f"input {name!r}") from error
        elif isinstance(element, str):
            texts[index] = element
        else:
            raise DataError(at=f"input {name!r}[{index}]", got=element, expected="str or UTF-8 bytes")
    return texts.reshape(array.shape)


def _own_signature(session: Any, at: str) -> Signature:
    def spec(value: Any) -> TensorSpec:
        if value.type not in _DTYPES:
            raise BundleError(f"{value.name!r} is a {value.type}, expected a tensor", at=at)
        shape = tuple(size if isinstance(size, int) else -1 for size in value.shape)
        return TensorSpec(name=value.name, dtype=_DTYPES[value.type], shape=shape)

    return Signature(inputs=tuple(map(spec, session.get_inputs())), outputs=tuple(map(spec, session.get_outputs())))


def _compare(told: Signature, own: Signature, at: str) -> None:
    """The bundle may leave a size open that the graph fixes only by accident of tracing, never the other way round."""
    for kind, ours, theirs in (("input", told.inputs, own.inputs), ("output", told.outputs, own.outputs)):
        graph = {spec.name: spec for spec in theirs}
        for spec in ours:
            found = graph.get(spec.name)
            if found is None or found.dtype != spec.dtype or len(found.shape) != len(spec.shape):
                raise BundleError(
                    f"the manifest promises the {kind} {spec.name!r} as {describe(spec)}, "
                    f"the graph has {', '.join(f'{s.name!r} as {describe(s)}' for s in theirs)}",
                    at=at,
                    fix="Export the model again.",
                )
        if kind == "input" and len(ours) != len(theirs):
            raise BundleError(f"the manifest lists {len(ours)} inputs, the graph has {len(theirs)}", at=at)
