"""A model as the parts of a bundle."""

import math
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
import safetensors
import safetensors.torch
from torch import Tensor

from lepton_ai.bundle import Draft, Manifest, check_name, create, timestamp
from lepton_ai.core import LeptonError, UsageError, this_machine
from lepton_ai.distributed import present
from lepton_ai.layers import Layer
from lepton_ai.models.adapters import adapters_of
from lepton_ai.models.architecture import ARCHITECTURE
from lepton_ai.models.signature import signature
from lepton_ai.models.trainer import Trainer

WEIGHTS = "weights.safetensors"


def save(model: Trainer, path: str | Path, *, overwrite: bool = False) -> None:
    """Write a bundle without graphs; see `Model.save`. Of several workers the first one does."""
    if not present().leads:
        return
    with create(path, overwrite=overwrite) as draft:
        draft.finish(write_parts(draft, model))


def write_parts(draft: Draft, model: Trainer, *, name: str | None = None) -> Manifest:
    """Write a model's own files into a draft, and return the manifest to finish it with."""
    if not model.built and model.input_specs:  # a stack that knows its input waits for its first call
        model.ensure_built(model.input_specs[0].shape)
    if not model.built:
        raise UsageError(f"{model.label} has no weights yet", fix="Call it on an example, or fit it, before saving.")
    architecture = msgspec.structs.replace(
        model.architecture(), frozen=frozen(model), training=_training(model), adapters=adapters_of(model)
    )
    draft.write(ARCHITECTURE, msgspec.json.format(msgspec.json.encode(architecture), indent=1))
    draft.write(WEIGHTS, safetensors.torch.save(_weights(model)))
    if model.profile is not None:
        draft.write_profile(model.profile)
    history = model.history
    return Manifest(
        name=check_name(name or model.name, at="name"),
        task=task_of(model),
        signature=signature(model),
        labels=model.labels,
        metrics={} if history is None else _last(history.history),
        lineage=_lineage(model),
        environment=environment(),
        created=timestamp(),
    )


def frozen(model: Trainer) -> list[str]:
    """The paths of layers and weights that training leaves alone."""
    layers = [path for path, each in model.named_modules() if path and isinstance(each, Layer) and not each.trainable]
    return layers + [path for path, weight in model.named_parameters() if not weight.requires_grad]


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


def _weights(model: Trainer) -> dict[str, Tensor]:
    """The state by name. A tensor that goes by two names, as tied weights do, is written under both."""
    weights: dict[str, Tensor] = {}
    held: set[int] = set()
    for name, value in model.state_dict().items():
        own = value.detach().cpu().contiguous()
        place = own.untyped_storage().data_ptr()
        weights[name] = own.clone() if place in held else own
        held.add(place)
    return weights


def _last(history: dict[str, list[float]]) -> dict[str, float]:
    """The newest value of each metric; not every epoch measures all of them."""
    measured = {name: [value for value in values if math.isfinite(value)] for name, values in history.items()}
    return {name: values[-1] for name, values in measured.items() if values}


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
        "plan": history.plan.removeprefix("plan: "),
        "rows": "" if model.profile is None else str(model.profile.rows),
    }
