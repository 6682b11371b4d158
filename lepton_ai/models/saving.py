"""A model as the parts of a bundle."""

import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
import safetensors
import safetensors.torch

from lepton_ai.bundle import Draft, Manifest, check_name, create, timestamp
from lepton_ai.core import LeptonError, UsageError, this_machine
from lepton_ai.models.architecture import ARCHITECTURE
from lepton_ai.models.signature import signature
from lepton_ai.models.trainer import Trainer

WEIGHTS = "weights.safetensors"


def save(model: Trainer, path: str | Path, *, overwrite: bool = False) -> None:
    """Write a bundle without graphs; see `Model.save`."""
    with create(path, overwrite=overwrite) as draft:
        draft.finish(write_parts(draft, model))


def write_parts(draft: Draft, model: Trainer, *, name: str | None = None) -> Manifest:
    """Write a model's own files into a draft, and return the manifest to finish it with."""
    if not model.built:
        raise UsageError(f"{model.label} has no weights yet", fix="Call it on an example, or fit it, before saving.")
    architecture = msgspec.structs.replace(model.architecture(), training=_training(model))
    draft.write(ARCHITECTURE, msgspec.json.format(msgspec.json.encode(architecture), indent=1))
    weights = {key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}
    draft.write(WEIGHTS, safetensors.torch.save(weights))
    if model.profile is not None:
        draft.write_profile(model.profile)
    history = model.history
    return Manifest(
        name=check_name(name or model.name, at="name"),
        task=task_of(model),
        signature=signature(model),
        labels=model.labels,
        metrics={key: values[-1] for key, values in history.history.items()} if history and history.epoch else {},
        lineage=_lineage(model),
        environment=environment(),
        created=timestamp(),
    )


def task_of(model: Trainer) -> str:
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


def _training(model: Trainer) -> dict[str, Any]:
    """How the model was compiled, as far as it can be written down: functions of the user's own cannot."""
    if model.objective is None or model.optimizer is None:
        return {}
    try:
        return {"optimizer": model.optimizer.config(), "objective": model.objective.config()}
    except LeptonError:
        return {}


def _lineage(model: Trainer) -> dict[str, str]:
    history = model.history
    if history is None:
        return {}
    return {
        "epochs": str(len(history.epoch)),
        "seconds": f"{sum(history.seconds):.1f}",
        "optimizer": type(model.optimizer).__name__,
        "rows": "" if model.profile is None else str(model.profile.rows),
    }
