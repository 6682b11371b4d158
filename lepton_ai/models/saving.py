"""A model as the parts of a bundle, and back. Nothing here executes what it reads."""

import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import msgspec
import safetensors
import safetensors.torch
import torch
from torch import nn

from lepton_ai.bundle import Bundle, Draft, Manifest, check_name, create, timestamp
from lepton_ai.core import BundleError, LeptonError, UsageError, this_machine
from lepton_ai.layers import Input, deserialize
from lepton_ai.models.foreign import ModuleModel
from lepton_ai.models.model import Model
from lepton_ai.models.signature import sample_inputs, signature

ARCHITECTURE, WEIGHTS = "architecture.json", "weights.safetensors"


class Architecture(msgspec.Struct, kw_only=True):
    """`kind` "config": `model` is {"class", "config"} of registered classes. "reference": a foreign module, by name."""

    format: int = 1
    kind: Literal["config", "reference"]
    model: dict[str, Any]
    inputs: list[dict[str, Any]]
    training: dict[str, Any] = {}


def save(model: Model, path: str | Path, *, overwrite: bool = False) -> None:
    """Write a bundle without graphs; see `Model.save`."""
    with create(path, overwrite=overwrite) as draft:
        draft.finish(write_parts(draft, model))


def write_parts(draft: Draft, model: Model, *, name: str | None = None) -> Manifest:
    """Write a model's own files into a draft, and return the manifest to finish it with."""
    if not model.built:
        raise UsageError(f"{model.label} has no weights yet", fix="Call it on an example, or fit it, before saving.")
    architecture = _architecture(model)
    draft.write(ARCHITECTURE, msgspec.json.format(msgspec.json.encode(architecture), indent=1))
    weights = {key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}
    draft.write(WEIGHTS, safetensors.torch.save(weights))
    kept = model.kept
    if kept is not None and kept.profile is not None:
        draft.write_profile(kept.profile)
    history = model.history
    return Manifest(
        name=check_name(name or model.name, at="name"),
        task=task_of(model),
        signature=signature(model),
        labels=() if kept is None else kept.labels,
        metrics={key: values[-1] for key, values in history.history.items()} if history and history.epoch else {},
        lineage=_lineage(model),
        environment=environment(),
        created=timestamp(),
    )


def load(path: str | Path, module: nn.Module | None = None) -> Model:
    """The model in a bundle, ready to predict, and to train if it was compiled.

    Args:
        module: for a bundle of a foreign module, one built the same way, whose weights are then replaced.

    Raises: BundleError if the bundle is damaged, holds no model, or names a class that is not registered here.
    """
    bundle = Bundle.open(path)
    if bundle.weights is None or ARCHITECTURE not in bundle.manifest.files:
        raise BundleError(
            "holds graphs only, no model to load", at=str(path), fix="Run it: lepton predict, lepton serve."
        )
    try:
        architecture = msgspec.json.decode(bundle.file(ARCHITECTURE).read_bytes(), type=Architecture)
    except msgspec.DecodeError as error:
        raise BundleError(f"has a broken {ARCHITECTURE} ({error})", at=str(path)) from error
    if architecture.format > 1:
        raise BundleError(f"has an architecture of format {architecture.format}", at=str(path), fix="Update lepton-ai.")
    model = _rebuild(architecture, module, path)
    try:
        model.load_state_dict(safetensors.torch.load_file(bundle.weights))
    except (RuntimeError, safetensors.SafetensorError) as error:
        raise BundleError(
            f"its weights do not fit its architecture ({str(error).splitlines()[-1].strip()})", at=str(path)
        ) from error
    model.eval()
    return model


def task_of(model: Model) -> str:
    """What the loss says the model is for."""
    heads = [] if model.objective is None else model.objective.heads
    names = {type(head.loss).__name__ for head in heads if head.loss is not None}
    if len(names) != 1:
        return "other"
    return "classification" if "rossentropy" in next(iter(names)) else "regression"


def environment() -> dict[str, str]:
    """What made this bundle."""
    packages = ("lepton-ai", "torch", "numpy", "onnx", "onnxruntime")
    return {"python": platform.python_version(), "machine": this_machine().describe()} | {
        package: version(package) for package in packages
    }


def _architecture(model: Model) -> Architecture:
    inputs = [{"name": s.name, "shape": list(s.shape[1:]), "dtype": s.dtype} for s in model.input_specs]
    if isinstance(model, ModuleModel):
        kind = type(model.inner)
        described = {"class": f"{kind.__module__}.{kind.__qualname__}", "config": {"by_name": model.by_name}}
        return Architecture(kind="reference", model=described, inputs=inputs, training=_training(model))
    described = {"class": type(model).__name__, "config": model.get_config()}
    return Architecture(kind="config", model=described, inputs=inputs, training=_training(model))


def _rebuild(architecture: Architecture, module: nn.Module | None, path: str | Path) -> Model:
    specs = [Input(tuple(i["shape"]), dtype=i["dtype"], name=i["name"]) for i in architecture.inputs]
    if architecture.kind == "reference":
        name = architecture.model["class"]
        if module is None:
            raise BundleError(
                f"holds the weights of a foreign module, {name}",
                at=str(path),
                fix=f"Build it and pass it: load(path, module={name.rpartition('.')[2]}(...)).",
            )
        shapes: Any = {spec.name: spec.shape[1:] for spec in specs}
        if not architecture.model["config"]["by_name"]:
            shapes = [spec.shape[1:] for spec in specs] if len(specs) > 1 else specs[0].shape[1:]
        model: Model = ModuleModel(module, shapes, dtype=[spec.dtype for spec in specs])
    else:
        try:
            model = deserialize(architecture.model)
        except LeptonError as error:
            raise BundleError(
                f"its architecture cannot be built here: {error}",
                at=str(path),
                fix="Import the module that defines your own layers before loading.",
            ) from error
        if not isinstance(model, Model):
            raise BundleError(f"describes a {type(model).__name__}, not a model", at=str(path))
    if not model.input_specs:
        model.input_specs = specs
    if not model.built:
        with torch.no_grad():
            model(sample_inputs(model, 2))
    _compile(model, architecture.training)
    return model


def _training(model: Model) -> dict[str, Any]:
    """How the model was compiled, as far as it can be written down: functions of the user's own cannot."""
    if model.objective is None or model.optimizer is None:
        return {}
    try:
        return {"optimizer": model.optimizer.config(), "objective": model.objective.config()}
    except LeptonError:
        return {}


def _compile(model: Model, training: dict[str, Any]) -> None:
    if training:
        model.compile(training["optimizer"], **training["objective"])


def _lineage(model: Model) -> dict[str, str]:
    history = model.history
    if history is None:
        return {}
    return {
        "epochs": str(len(history.epoch)),
        "seconds": f"{sum(history.seconds):.1f}",
        "optimizer": type(model.optimizer).__name__,
        "rows": "" if model.kept is None or model.kept.profile is None else str(model.kept.profile.rows),
    }
