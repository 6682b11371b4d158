"""The verb `export`: a model becomes a bundle that can be served."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import torch

from lepton_ai.bundle import Bundle, Graph, Profile, create, encode_request, encode_response
from lepton_ai.core import BundleError, DataError, StorageError
from lepton_ai.data import Batches, as_source, build_profile
from lepton_ai.exporting.card import model_card
from lepton_ai.exporting.onnx import to_onnx
from lepton_ai.exporting.parity import answers, arrays, prove
from lepton_ai.models import Model, named_inputs, sample_inputs, write_parts
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
        samples: a few raw inputs for the proof and the golden pairs; those that `fit` kept, or generated ones
            (marked so), if not given.
        labels: names of the classes.
        name: the model's name for clients; the file's name if not given.
        metrics: what was measured on held-out data, for the card.
        overwrite: replace a bundle that has graphs. One that `save` wrote is completed in any case.

    Raises: StorageError if something else is at `path`; UsageError if the model cannot be traced;
        DataError if the graph is not equal to the model; ShapeError for samples that do not fit.
    """
    path = Path(path)
    overwrite = overwrite or _is_saved_only(path)
    if path.exists() and not overwrite:
        raise StorageError("exists already", at=str(path), fix="Choose another path, or pass overwrite=True.")
    if samples is not None:
        _take_samples(model, samples)
    with create(path, overwrite=overwrite) as draft, _on_cpu(model):
        manifest = write_parts(draft, model, name=name or path.name.removesuffix(".lepton"))
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
        profile = _profile(model)
        draft.write_profile(profile)
        graph = Graph(file="variants/fp32/model.onnx", signature=manifest.signature, parity=parity)
        manifest = msgspec.structs.replace(manifest, graphs={"fp32": graph})
        draft.write("card.md", model_card(manifest, profile).encode())
        draft.finish(manifest)
    return Bundle.open(path)


@contextlib.contextmanager
def _on_cpu(model: Model) -> Iterator[None]:
    """Graphs are traced and compared on the CPU, where every bundle must run."""
    device = next((weight.device for weight in model.parameters()), torch.device("cpu"))
    model.cpu()
    try:
        yield
    finally:
        model.to(device)


def _is_saved_only(path: Path) -> bool:
    """Whether a bundle without graphs is there, which export is meant to complete."""
    try:
        return not Bundle.open(path).manifest.graphs
    except (BundleError, StorageError):
        return False


def _take_samples(model: Model, samples: Any) -> None:
    source = as_source(samples)
    if isinstance(source, Batches):
        raise DataError("samples come as batches", at="export(samples=...)", fix="Give arrays of a few rows.")
    x, _, _ = source.fetch(torch.arange(min(8, len(source))))
    model.keep(x, None)


def _golden(model: Model, name: str, rows: int) -> tuple[bytes, bytes]:
    x = sample_inputs(model, rows)
    return encode_request(arrays(model, x)), encode_response(name, answers(model, x))


def _profile(model: Model) -> Profile:
    if model.profile is not None:
        return model.profile
    named = {key: value.numpy() for key, value in named_inputs(model, sample_inputs(model, 64)).items()}
    return msgspec.structs.replace(build_profile(named), generated=model.samples is None)


def _labels(given: list[str] | None, known: tuple[str, ...], shape: tuple[int, ...]) -> tuple[str, ...]:
    labels = tuple(known if given is None else given)
    if labels and shape[-1] not in (-1, 1, len(labels)):
        raise DataError(f"{len(labels)} labels for {shape[-1]} outputs", at="export(labels=...)")
    return labels
