"""What tells one job from another: the facts that a checkpoint and the job that goes on from it must share."""

import hashlib
import json
from typing import Any

from lepton_ai.core import LeptonError
from lepton_ai.data import Indexed
from lepton_ai.training.losses import Loss
from lepton_ai.training.metric import Metric


def job_facts(job: Any) -> dict[str, Any]:
    """Data, batches, objective, optimiser and model of a `Job`, as JSON can hold them.

    Epochs and callbacks may change from run to run, and so may the optimiser's settings.
    """
    loader = job.loader
    return {
        "rows of data": len(loader.source) if isinstance(loader.source, Indexed) else None,
        "batch_size": loader.batch_size,
        "steps per epoch": loader.steps_per_epoch,
        "shuffle": loader.shuffle,
        "loss": [None if head.loss is None else _described(head.loss) for head in job.objective.heads],
        "metrics": [[_described(metric) for metric in head.metrics] for head in job.objective.heads],
        "optimizer": type(job.optimizer).__name__,
        "model": type(job.module).__name__,
        "layers": _architecture(job.module),
    }


def differences(stored: dict[str, Any], mine: dict[str, Any]) -> str:
    """What is not the same, in words; empty if nothing. Facts that either does not know are not compared."""
    return "; ".join(
        "layers of other kinds or settings than this one"
        if name == "layers"
        else f"{name} {stored[name]!r}, this one has {value!r}"
        for name, value in mine.items()
        if value is not None and stored.get(name) is not None and stored[name] != value
    )


def _described(part: Loss | Metric) -> Any:
    try:
        return part.config()
    except LeptonError:
        return part.name  # a function of the user's own


def _architecture(module: Any) -> str | None:
    """A hash of the model's config without its name; None for a module that has none that can be stored."""
    if not hasattr(module, "get_config"):
        return None
    try:
        config = {key: value for key, value in module.get_config().items() if key != "name"}
        text = json.dumps(config, sort_keys=True)
    except (LeptonError, TypeError, ValueError):
        return None
    return hashlib.sha256(text.encode()).hexdigest()[:12]
