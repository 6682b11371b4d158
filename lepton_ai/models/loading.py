"""The model in a bundle. Nothing here executes what it reads."""

from pathlib import Path
from typing import Any

import msgspec
import safetensors
import safetensors.torch
import torch
from torch import nn

from lepton_ai.bundle import Bundle, numpy_dtype
from lepton_ai.core import BundleError, LeptonError
from lepton_ai.layers import Fitted, Input, Layer, deserialize
from lepton_ai.models.adapters import attach_adapters
from lepton_ai.models.architecture import ARCHITECTURE, Architecture
from lepton_ai.models.model import Model, ModuleModel
from lepton_ai.models.sequential import Sequential
from lepton_ai.models.signature import sample_inputs


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
    except (msgspec.DecodeError, RecursionError) as error:
        raise BundleError(f"has a broken {ARCHITECTURE} ({error})", at=str(path)) from error
    if architecture.format > 1:
        raise BundleError(f"has an architecture of format {architecture.format}", at=str(path), fix="Update lepton-ai.")
    try:
        model = _rebuild(architecture, module, path)
        attach_adapters(model, architecture.adapters)
    except (KeyError, IndexError, TypeError, RecursionError, RuntimeError, MemoryError) as error:
        if isinstance(error, LeptonError):
            raise
        reason = str(error).partition("\n")[0]
        raise BundleError(
            f"its architecture makes no model ({type(error).__name__}: {reason})", at=str(path)
        ) from error
    try:
        weights = safetensors.torch.load_file(bundle.weights)
        for name, value in model.state_dict(keep_vars=True).items():
            if name in weights:
                value.data = value.data.to(weights[name].dtype)
        model.load_state_dict(weights)
    except (RuntimeError, safetensors.SafetensorError) as error:
        raise BundleError(
            f"its weights do not fit its architecture ({str(error).splitlines()[-1].strip()})", at=str(path)
        ) from error
    _freeze(model, set(architecture.frozen))
    model.eval()
    model.profile, model.labels = bundle.profile(), bundle.manifest.labels
    for spec, tensor in zip(model.input_specs, bundle.manifest.signature.inputs, strict=True):
        # As it came in training, whatever was declared.
        spec.dtype = "string" if tensor.dtype == "BYTES" else numpy_dtype(tensor.dtype).name
    return model


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
        except (LeptonError, TypeError, KeyError, AttributeError) as error:
            raise BundleError(
                f"its architecture cannot be built here: {error}",
                at=str(path),
                fix="Import the module that defines your own layers before loading.",
            ) from error
        if not isinstance(model, Model):
            raise BundleError(f"describes a {type(model).__name__}, not a model", at=str(path))
    if not model.input_specs:
        model.input_specs = specs
    if not model.built and isinstance(model, Sequential) and model.input_specs:
        model.ensure_built(model.input_specs[0].shape)
    elif not model.built:
        for layer in model.modules():
            if isinstance(layer, Fitted):
                layer.adapted = True  # its statistics come with the weights
        with torch.no_grad():
            model(sample_inputs(model, 2))
    _compile(model, architecture.training)
    return model


def _freeze(model: Model, frozen: set[str]) -> None:
    for path, module in model.named_modules():
        if path and isinstance(module, Layer):
            module._trainable = path not in frozen
    for path, weight in model.named_parameters():
        weight.requires_grad_(path not in frozen)


def _compile(model: Model, training: dict[str, Any]) -> None:
    try:
        if training:
            model.compile(training["optimizer"], **training["objective"])
    except (LeptonError, TypeError, KeyError) as error:
        raise BundleError(
            f"cannot be compiled here as it was: {error}",
            at=model.name,
            fix="Register your own losses, metrics and optimisers before loading: LOSSES.add(name, MyLoss).",
        ) from error
