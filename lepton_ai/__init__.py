"""Lepton: deep learning with a Keras-like face on PyTorch, and the platform around it.

Names and rooms are imported when they are first used, so `import lepton_ai` costs next to nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_ROOMS = (
    "bundle",
    "cleaning",
    "cli",
    "core",
    "data",
    "datasets",
    "distributed",
    "evaluation",
    "exporting",
    "hal",
    "layers",
    "models",
    "rng",
    "runtime",
    "selection",
    "serving",
    "tasks",
    "training",
    "web",
)

_NAMES = {
    "Bundle": "bundle",
    "Callback": "training",
    "EarlyStopping": "training",
    "ExecutionPlan": "hal",
    "History": "training",
    "ImageFolder": "data",
    "Input": "layers",
    "LPDNN": "tasks",
    "LPNN": "tasks",
    "Layer": "layers",
    "LeptonError": "core",
    "LinearRegression": "models",
    "LogisticRegression": "models",
    "Model": "models",
    "ModelCheckpoint": "training",
    "Sequential": "models",
    "distributed_train": "models",
    "export": "exporting",
    "load": "models",
    "open_model": "runtime",
    "read_csv": "data",
    "serve": "serving",
    "set_seed": "rng",
    "split": "data",
    "to_categorical": "data",
}

__all__ = [
    "LPDNN",
    "LPNN",
    "Bundle",
    "Callback",
    "EarlyStopping",
    "ExecutionPlan",
    "History",
    "ImageFolder",
    "Input",
    "Layer",
    "LeptonError",
    "LinearRegression",
    "LogisticRegression",
    "Model",
    "ModelCheckpoint",
    "Sequential",
    "distributed_train",
    "export",
    "load",
    "open_model",
    "read_csv",
    "serve",
    "set_seed",
    "split",
    "to_categorical",
]

if TYPE_CHECKING:
    from lepton_ai.bundle import Bundle
    from lepton_ai.core import LeptonError
    from lepton_ai.data import ImageFolder, read_csv, split, to_categorical
    from lepton_ai.exporting import export
    from lepton_ai.hal import ExecutionPlan
    from lepton_ai.layers import Input, Layer
    from lepton_ai.models import LinearRegression, LogisticRegression, Model, Sequential, distributed_train, load
    from lepton_ai.rng import set_seed
    from lepton_ai.runtime import open_model
    from lepton_ai.serving import serve
    from lepton_ai.tasks import LPDNN, LPNN
    from lepton_ai.training import Callback, EarlyStopping, History, ModelCheckpoint


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return importlib.import_module(f"lepton_ai.{name}")
    if name in _NAMES:
        value = getattr(importlib.import_module(f"lepton_ai.{_NAMES[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'lepton_ai' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted((*__all__, *_ROOMS, "__version__"))
