"""What the checkpoint of a run holds, by name; one of an older or a newer Lepton may hold something else."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
from torch import Tensor

from lepton_ai.core import StorageError
from lepton_ai.hal import ExecutionPlan
from lepton_ai.training.history import History

COUNTERS: tuple[str, ...] = ("epoch", "step", "total_steps", "rows", "loss_sum", "parts", "epoch_started", "waited")
COUNTERS += ("learning_rate_scale", "stopping")
_VALUES = {*COUNTERS, "optimizer", "callbacks", "history", "seed", "job", "given_plan", "plan", "seconds"}
_HISTORY = {f"history.{name}" for name in History.__struct_fields__}
_FIX = "Use another run folder, remove this one, or go on with the Lepton that wrote it."
_NAMED_BY_PARTS = ("weights", "optimizer", "callback")  # of the model and the like, which compare them themselves


def check_values(path: Path, values: dict[str, Any]) -> None:
    """Hold the values of a checkpoint to those that a run takes.

    Raises: StorageError that names those that are missing, and those that nobody would take.
    """
    _check(path, {*values, *(f"history.{name}" for name in values.get("history", ()))}, _VALUES | _HISTORY)


def check_tensors(path: Path, tensors: dict[str, Tensor], expected: Iterable[str]) -> None:
    """Hold the tensors of a checkpoint that are a run's own to those that it takes.

    Raises: StorageError as `check_values`.
    """
    _check(path, {name for name in tensors if name.partition("/")[0] not in _NAMED_BY_PARTS}, {*expected})


def read_plan(path: Path, values: dict[str, Any]) -> ExecutionPlan:
    """The plan that a checkpoint holds.

    Raises: StorageError for one that this Lepton does not know.
    """
    try:
        return msgspec.convert(values["plan"], ExecutionPlan, strict=True)
    except msgspec.ValidationError as error:
        raise StorageError(f"its plan cannot be read: {error}", at=str(path), fix=_FIX) from error


def _check(path: Path, there: set[str], expected: set[str]) -> None:
    found = (("lacks", sorted(expected - there)), ("has", sorted(there - expected)))
    told = "; ".join(f"{verb} {', '.join(names)}" for verb, names in found if names)
    if told:
        raise StorageError(
            told,
            at=str(path),
            expected="what this Lepton writes",
            fix=_FIX,
        )
