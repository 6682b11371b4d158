"""What tells one job from another: the facts that a checkpoint and the job that goes on from it must share."""

import hashlib
import json
from importlib.metadata import version
from typing import Any

import torch

from lepton_ai.core import LeptonError
from lepton_ai.data import Indexed
from lepton_ai.training.component import Component
from lepton_ai.training.losses import Loss
from lepton_ai.training.metric import Metric

_LONG = 100
# The numeric fields of a plan: with others the same run has other bits.
_NUMERIC = ("channels_last", "fused_optimizer", "flush_denormals", "compile", "precision")


def job_facts(job: Any, device: torch.device) -> dict[str, Any]:
    """Data, batches, objective, optimiser, model and numeric plan of a `Job`, as JSON can hold them.

    Epochs and callbacks may change from run to run, and so may the optimiser's settings.
    """
    loader = job.loader
    return {
        "lepton-ai": version("lepton-ai"),
        "torch": str(torch.__version__),
        "plan.device": device.type,
        # Workers share the cores, and several give other bits than one in any case.
        "plan.threads": torch.get_num_threads() if job.world.size == 1 else None,
        **{f"plan.{name}": getattr(job.plan, name) for name in _NUMERIC},
        "rows of data": len(loader.source) if isinstance(loader.source, Indexed) else None,
        "batch_size": loader.batch_size,
        "shards": job.workers.shards if job.workers.exact else None,
        "steps per epoch": loader.steps_per_epoch,
        "shuffle": loader.shuffle,
        "gradient_accumulation_steps": job.optimizer.gradient_accumulation_steps or 1,
        "use_ema": job.optimizer.use_ema,
        "rates": dict(job.optimizer.rates or {}),  # the optimiser's state is kept in the order of its groups
        "unfreeze": {} if job.freezing is None else job.freezing.described,
        "augmentation": [_described_change(each) for each in job.augment],
        "loss": [None if head.loss is None else _described(head.loss) for head in job.objective.heads],
        "metrics": [[_described(metric) for metric in head.metrics] for head in job.objective.heads],
        "optimizer": type(job.optimizer).__name__,
        "model": type(job.module).__name__,
        "layers": _layers(_config(job.module)),
    }


def differences(stored: dict[str, Any], mine: dict[str, Any]) -> str:
    """What is not the same, in words; empty if nothing. Facts that either does not know are not compared."""
    return "; ".join(
        _difference(name, stored[name], value)
        for name, value in mine.items()
        if value is not None and stored.get(name) is not None and stored[name] != value
    )


def _difference(at: str, stored: Any, mine: Any) -> str:
    """The first difference of two values, at its place within them."""
    if isinstance(stored, dict) and isinstance(mine, dict):
        for key in stored.keys() | mine.keys():
            if key == "class" and stored.get(key) != mine.get(key):
                return _difference(at, stored.get(key), mine.get(key))
        for key in (*stored, *mine):
            if stored.get(key) != mine.get(key):
                # The settings of a layer lie in its "config", which nobody writes.
                return _difference(at if key == "config" else f"{at}.{key}", stored.get(key), mine.get(key))
    if isinstance(stored, list) and isinstance(mine, list):
        if len(stored) != len(mine):
            return f"{len(stored)} {at}, this one has {len(mine)}"
        for index, (one, other) in enumerate(zip(stored, mine, strict=True)):
            if one != other:
                return _difference(f"{at}[{index}]", one, other)
    return f"{at} {stored!r}, this one has {mine!r}"


def _described(part: Loss | Metric) -> Any:
    try:
        return part.config()
    except LeptonError:
        return part.name  # a function of the user's own


def _described_change(change: Any) -> Any:
    config = change.config() if isinstance(change, Component) else None
    return config or {"class": type(change).__name__, "config": _config(change)}


def _config(module: Any) -> Any:
    """The model's config without its name; None for a module that has none that can be stored."""
    if not hasattr(module, "get_config"):
        return None
    try:
        config = {key: value for key, value in module.get_config().items() if key != "name"}
        return _compact(json.loads(json.dumps(config)))
    except (LeptonError, TypeError, ValueError):
        return None


def _layers(config: Any) -> Any:
    """The layers alone, where a model keeps them in a list; inputs and connections go by the whole config."""
    return config if config is None or config.keys() != {"trainable", "input", "layers"} else config["layers"]


def _compact(value: Any) -> Any:
    """Long lists, as vocabularies are, become their hash."""
    if isinstance(value, dict):
        return {key: _compact(each) for key, each in value.items()}
    if not isinstance(value, list):
        return value
    if len(value) > _LONG and not any(isinstance(each, dict | list) for each in value):
        return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:12]
    return [_compact(each) for each in value]
