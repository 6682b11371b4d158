"""The manifest: what a bundle says of itself. Every type here is stored, so every change is a new version."""

import datetime
import re

import msgspec

from lepton_ai.bundle.codec import DTYPES, MAX_RANK
from lepton_ai.core import BundleError

FORMAT = 1
DRIVERS = ("single",)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class TensorSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`dtype` in the protocol's words (FP32, UINT8, BYTES, ...); -1 in `shape` is a free size, the first the batch."""

    name: str
    dtype: str
    shape: tuple[int, ...]


class Signature(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What goes in and what comes out."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


class Parity(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How far a graph's answers lie from the trained model's: the largest absolute difference per batch size."""

    batch_sizes: tuple[int, ...]
    max_difference: float
    tolerance: float


class Graph(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One way to run the model: `file` (inside the bundle) in the words of `runtime`, with what was measured of it."""

    file: str
    runtime: str = "onnxruntime"
    signature: Signature
    parity: Parity | None = None
    latency_ms: float | None = None
    metrics: dict[str, float] = {}


class File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file's SHA-256 and size in bytes."""

    sha256: str
    size: int


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
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


class _Version(msgspec.Struct):
    format: int


def timestamp() -> str:
    """Now, as a manifest writes it: ISO 8601, UTC, to the second."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def check_name(name: str, *, at: str = "name") -> str:
    """`name` itself if it is fit for models and variants: letters, digits, dot, underscore and hyphen.

    Raises: BundleError.

    Example:
        >>> check_name("digits-v2")
        'digits-v2'
    """
    if not _NAME.fullmatch(name):
        raise BundleError(
            at=at,
            got=name,
            expected="1 to 128 letters, digits, '.', '_' or '-', the first a letter or digit",
            fix="Choose a name like 'digits-v2'.",
        )
    return name


def parse_manifest(content: bytes, *, at: str = "manifest.json", fix: str = "Export the model again.") -> Manifest:
    """Read a manifest and check what can be checked without its files.

    Raises: BundleError for broken JSON, a wrong type (with its path), a future format, an unknown driver or dtype.
    """
    try:
        version = msgspec.json.decode(content, type=_Version).format
        if version != FORMAT:
            raise BundleError(
                f"bundle format {version}, this version of lepton_ai reads format {FORMAT}",
                at=at,
                fix="Upgrade lepton-ai, or export the model again.",
            )
        manifest = msgspec.json.decode(content, type=Manifest)
    except msgspec.ValidationError as error:
        raise BundleError(str(error), at=at, fix=fix) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BundleError(f"is not valid JSON ({error})", at=at) from error
    check_manifest(manifest, at=at)
    return manifest


def check_manifest(manifest: Manifest, *, at: str = "manifest.json") -> None:
    """Check names, driver, signatures, labels and the time.

    Raises: BundleError that names the field.
    """
    check_name(manifest.name, at=f"{at}: name")
    if manifest.driver not in DRIVERS:
        raise BundleError(
            f"unknown driver {manifest.driver!r}",
            at=f"{at}: driver",
            expected=" or ".join(map(repr, DRIVERS)),
            fix="A newer lepton-ai may know it.",
        )
    check_signature(manifest.signature, at=f"{at}: signature")
    for variant, graph in manifest.graphs.items():
        check_name(variant, at=f"{at}: graphs")
        check_signature(graph.signature, at=f"{at}: graphs.{variant}.signature")
        if graph.file not in manifest.files:
            raise BundleError(f"{graph.file!r} is not among the bundle's files", at=f"{at}: graphs.{variant}.file")
        _compare(manifest.signature, graph.signature, at=f"{at}: graphs.{variant}.signature")
    _check_labels(manifest, at=f"{at}: labels")
    try:
        datetime.datetime.fromisoformat(manifest.created)
    except ValueError as error:
        raise BundleError(
            at=f"{at}: created", got=manifest.created, expected="a time in ISO 8601 such as 2026-01-31T12:00:00+00:00"
        ) from error


def _compare(model: Signature, graph: Signature, *, at: str) -> None:
    """A variant takes and gives what the model does; it may only fix sizes that the model leaves open."""
    for side, ours, theirs in (("inputs", model.inputs, graph.inputs), ("outputs", model.outputs, graph.outputs)):
        if [spec.name for spec in ours] != [spec.name for spec in theirs]:
            raise BundleError(
                at=f"{at}.{side}", got=[spec.name for spec in theirs], expected=f"{[spec.name for spec in ours]}"
            )
        for index, (our, their) in enumerate(zip(ours, theirs, strict=True)):
            fits = len(our.shape) == len(their.shape) and all(
                size in (-1, given) for size, given in zip(our.shape, their.shape, strict=True)
            )
            if our.dtype != their.dtype or not fits:
                raise BundleError(
                    at=f"{at}.{side}[{index}]",
                    got=f"{their.dtype}{list(their.shape)}",
                    expected=f"{our.dtype}{list(our.shape)} as the model's signature says",
                )


def _check_labels(manifest: Manifest, *, at: str) -> None:
    """One for each class; a single output is the share of the second of two."""
    shape = manifest.signature.outputs[0].shape
    if manifest.task != "classification" or not manifest.labels or not shape or shape[-1] == -1:
        return
    classes = 2 if shape[-1] == 1 else shape[-1]
    if len(manifest.labels) != classes:
        raise BundleError(
            f"{len(manifest.labels)} labels, but the output has shape {list(shape)}", at=at, expected=f"{classes}"
        )


def check_signature(signature: Signature, *, at: str = "signature") -> None:
    """Check that names are unique, dtypes known and sizes possible.

    Raises: BundleError that names the tensor.
    """
    for side, specs in (("inputs", signature.inputs), ("outputs", signature.outputs)):
        names = [spec.name for spec in specs]
        if not specs or len(set(names)) != len(names):
            raise BundleError(at=f"{at}.{side}", got=names, expected="at least one tensor, each name once")
        for index, spec in enumerate(specs):
            where = f"{at}.{side}[{index}]"
            if not spec.name:
                raise BundleError("has no name", at=where)
            if spec.dtype not in DTYPES:
                raise BundleError(at=f"{where}.dtype", got=spec.dtype, expected=f"one of {', '.join(DTYPES)}")
            if len(spec.shape) > MAX_RANK or any(size < -1 for size in spec.shape):
                raise BundleError(
                    at=f"{where}.shape", got=list(spec.shape), expected=f"at most {MAX_RANK} sizes, each -1 or more"
                )
