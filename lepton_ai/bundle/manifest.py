"""The manifest: what a bundle says of itself. Every type here is stored, so every change is a new version."""

import msgspec

FORMAT = 1


class TensorSpec(msgspec.Struct, frozen=True, kw_only=True):
    """`dtype` in the protocol's words (FP32, UINT8, BYTES, ...); -1 in `shape` is a free size. The first is the batch."""

    name: str
    dtype: str
    shape: tuple[int, ...]


class Signature(msgspec.Struct, frozen=True, kw_only=True):
    """What goes in and what comes out."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


class Parity(msgspec.Struct, frozen=True, kw_only=True):
    """How far a graph's answers lie from the trained model's: the largest absolute difference per batch size."""

    batch_sizes: tuple[int, ...]
    max_difference: float
    tolerance: float


class Graph(msgspec.Struct, frozen=True, kw_only=True):
    """One way to run the model: `file` (inside the bundle) in the words of `runtime`, with what was measured of it."""

    file: str
    runtime: str = "onnxruntime"
    signature: Signature
    parity: Parity | None = None
    latency_ms: float | None = None
    metrics: dict[str, float] = {}


class File(msgspec.Struct, frozen=True, kw_only=True):
    """A file's SHA-256 and size in bytes."""

    sha256: str
    size: int


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """`graphs` by variant ("fp32", "int8", ...); `files` holds every file of the bundle but the manifest itself."""

    format: int = FORMAT
    name: str
    task: str  # "classification", "regression", "other"
    signature: Signature
    graphs: dict[str, Graph] = {}
    driver: str = "single"
    labels: tuple[str, ...] = ()
    metrics: dict[str, float] = {}
    lineage: dict[str, str] = {}
    environment: dict[str, str] = {}
    created: str  # ISO 8601, UTC
    files: dict[str, File] = {}
