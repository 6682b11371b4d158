"""The verb `export`: a model becomes a bundle that can be served."""

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import torch

from lepton_ai.bundle import Bundle, Graph, Manifest, Profile, create, encode_request, encode_response
from lepton_ai.core import BundleError, DataError, StorageError, sha256
from lepton_ai.data import Batches, build_profile
from lepton_ai.exporting.card import model_card
from lepton_ai.exporting.onnx import at_inference, to_onnx
from lepton_ai.exporting.parity import answers, arrays, prove
from lepton_ai.models import Model, sample_inputs, write_parts
from lepton_ai.runtime import OnnxRuntime

GOLDEN_ROWS = (1, 3)


def export(
    model: Model,
    path: str | Path,
    samples: Any = None,
    *,
    labels: list[str] | None = None,
    name: str | None = None,
    metrics: dict[str, float] | None = None,
    overwrite: bool = False,
) -> Bundle:
    """Write `model` to `path` with an ONNX graph that is proven equal to it, ready to serve.

    Preprocessing layers are part of the graph: it takes raw inputs. The bundle also holds golden pairs, the
    profile of the training data, and a model card.

    Args:
        samples: a few raw inputs for the proof and the golden pairs, of the types that the graph shall take; those
            that `fit` kept, or generated ones (marked so), if not given.
        labels: names of the classes.
        name: the model's name for clients; the file's name if not given.
        metrics: what was measured on held-out data, for the card.
        overwrite: replace the bundle at `path`. One that `save` wrote of this very model is completed in any case.

    Raises: StorageError if something else is at `path`; UsageError if the model cannot be traced;
        DataError if the graph is not equal to the model, or for labels and metrics that cannot be;
        ShapeError for samples that do not fit.
    """
    path = Path(path)
    for key, value in (metrics or {}).items():
        if not math.isfinite(value):
            raise DataError(at=f"export(metrics={{{key!r}: ...}})", got=value, expected="a finite number")
    saved = None if overwrite else _saved(path)
    if path.exists() and not overwrite and saved is None:
        raise _exists(path)
    with create(path, overwrite=path.exists()) as draft, at_inference(model), _sampled(model, samples):
        manifest = write_parts(draft, model, name=name or path.name.removesuffix(".lepton"))
        if saved is not None:
            if not _same_weights(saved, draft.folder):
                raise _exists(path, "exists already and holds other weights")
            manifest = _completed(manifest, saved.manifest)
        manifest = msgspec.structs.replace(
            manifest,
            labels=_labels(labels, manifest.labels, manifest.signature.outputs[0].shape),
            metrics=manifest.metrics | (metrics or {}),
        )
        file = draft.folder / "variants" / "fp32" / "model.onnx"
        file.parent.mkdir(parents=True)
        to_onnx(model, file, manifest.signature)
        runtime = OnnxRuntime(file, signature=manifest.signature)
        try:
            parity = prove(model, runtime)
        finally:
            runtime.close()
        draft.write_golden([_golden(model, manifest.name, rows) for rows in GOLDEN_ROWS])
        profile = _profile(model, samples)
        draft.write_profile(profile)
        graph = Graph(file="variants/fp32/model.onnx", signature=manifest.signature, parity=parity)
        manifest = msgspec.structs.replace(manifest, graphs={"fp32": graph})
        draft.write("card.md", model_card(manifest, profile).encode())
        draft.finish(manifest)
    return Bundle.open(path)


def _exists(path: Path, what: str = "exists already") -> StorageError:
    return StorageError(what, at=str(path), fix="Choose another path, or pass overwrite=True.")


def _saved(path: Path) -> Bundle | None:
    """The bundle without graphs at `path`, if there is one: export is meant to complete it."""
    try:
        bundle = Bundle.open(path)
    except (BundleError, StorageError):
        return None
    return None if bundle.manifest.graphs else bundle


def _same_weights(saved: Bundle, folder: Path) -> bool:
    weights = saved.weights
    return weights is not None and sha256(weights) == sha256(folder / weights.name)


def _completed(manifest: Manifest, saved: Manifest) -> Manifest:
    """With what is known of the training that made the saved model: this process may only have loaded it."""
    return msgspec.structs.replace(
        manifest,
        task=saved.task,
        labels=manifest.labels or saved.labels,
        metrics=saved.metrics | manifest.metrics,
        lineage=saved.lineage | manifest.lineage,
    )


@contextlib.contextmanager
def _sampled(model: Model, samples: Any) -> Iterator[None]:
    """The model with `samples` in place of those that it keeps, if there are any."""
    kept = model.samples
    try:
        if samples is not None:
            source = model.source(samples)
            if isinstance(source, Batches):
                raise DataError("samples come as batches", at="export(samples=...)", fix="Give arrays of a few rows.")
            x, _, _ = source.fetch(torch.arange(min(8, len(source))))
            x = x if model.front is None else model.front.conform(x)
            model.check_inputs(x)
            model.samples = x
        yield
    finally:
        model.samples = kept


def _golden(model: Model, name: str, rows: int) -> tuple[bytes, bytes]:
    x = sample_inputs(model, rows)
    return encode_request(arrays(model, x)), encode_response(name, answers(model, x))


def _profile(model: Model, samples: Any) -> Profile:
    """The profile of the data that the model was trained on, or else of the samples; one of noise is marked so."""
    if model.profile is not None:
        return model.profile
    if samples is not None:
        return build_profile(model.source(samples), input_names=[spec.name for spec in model.input_specs])
    return msgspec.structs.replace(build_profile(arrays(model, sample_inputs(model, 64))), generated=True)


def _labels(given: list[str] | None, known: tuple[str, ...], shape: tuple[int, ...]) -> tuple[str, ...]:
    labels = tuple(known if given is None else given)
    outputs = shape[-1] if shape else 1
    fitting = {-1: len(labels), 1: 2}.get(outputs, outputs)
    if labels and len(labels) != fitting:
        raise DataError(
            f"{len(labels)} labels for a model of {fitting} classes",
            at="export(labels=...)",
            fix="Give one name for each, in the order of the outputs.",
        )
    return labels
