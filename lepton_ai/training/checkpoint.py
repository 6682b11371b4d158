"""Checkpoints: a folder with tensors as safetensors and the rest as JSON, written whole, verified when read."""

import math
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import safetensors
import safetensors.torch
import torch
from torch import Tensor

from lepton_ai.core import StorageError, atomic_directory, sha256

FORMAT, TENSORS = 1, "tensors.safetensors"


class _State(msgspec.Struct, kw_only=True):
    """`hashes` covers the tensor file; `values` has everything that is not a tensor."""

    format: int
    hashes: dict[str, str]
    values: dict[str, Any]


class DamagedError(StorageError):
    """A checkpoint that is not whole; an older one may be."""


class Snapshot(NamedTuple):
    """State that nobody changes any more: `tensors` on the CPU, `values` as JSON."""

    tensors: dict[str, Tensor]
    values: bytes


def take_snapshot(tensors: dict[str, Tensor], values: dict[str, Any]) -> Snapshot:
    """A copy of the state of this moment."""
    own = {
        name: value.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
        for name, value in tensors.items()
    }
    return Snapshot(own, msgspec.json.encode(_spelled(values)))


def save_checkpoint(path: Path, tensors: dict[str, Tensor], values: dict[str, Any]) -> None:
    """Write a checkpoint in place of the one at `path`, which stays whole until the new one is.

    Raises: StorageError, for example when the disk is full.
    """
    write_checkpoint(path, take_snapshot(tensors, values))


def write_checkpoint(path: Path, snapshot: Snapshot) -> None:
    """Write a snapshot in place of the checkpoint at `path`.

    Raises: StorageError.
    """
    with atomic_directory(path, overwrite=True) as folder:
        file = folder / TENSORS
        try:
            safetensors.torch.save_file(snapshot.tensors, file)
        except safetensors.SafetensorError as error:
            raise StorageError(
                f"could not write: {error}", at=str(path), fix="The previous one is untouched."
            ) from error
        state = {"format": FORMAT, "hashes": {file.name: sha256(file)}, "values": msgspec.Raw(snapshot.values)}
        (folder / "state.json").write_bytes(msgspec.json.encode(state))


def load_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and values of a checkpoint.

    Raises: StorageError if it is of a future format; DamagedError if it is damaged, or none.
    """
    try:
        state = msgspec.json.decode((path / "state.json").read_bytes(), type=_State)
    except (OSError, msgspec.DecodeError) as error:
        raise DamagedError(f"is not a checkpoint ({error})", at=str(path)) from error
    if state.format > FORMAT:
        raise StorageError(
            f"is of format {state.format}, this Lepton reads up to {FORMAT}", at=str(path), fix="Update lepton-ai."
        )
    for name, expected in {TENSORS: "", **state.hashes}.items():
        file = path / name
        if not file.is_file() or sha256(file) != expected:
            raise DamagedError(f"{name} is damaged: its SHA-256 is not the recorded one", at=str(path))
    return safetensors.torch.load_file(path / TENSORS), _numbers(state.values)


def _spelled(value: Any) -> Any:
    """JSON has no NaN and no infinity, and a metric that was not measured is NaN: such numbers are spelled out."""
    if isinstance(value, dict):
        return {key: _spelled(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_spelled(each) for each in value]
    return {"float": str(value)} if isinstance(value, float) and not math.isfinite(value) else value


def _numbers(value: Any) -> Any:
    """What `_spelled` made of it, back."""
    if isinstance(value, dict):
        if value.keys() == {"float"}:
            return float(value["float"])
        return {key: _numbers(each) for key, each in value.items()}
    return [_numbers(each) for each in value] if isinstance(value, list) else value


def flatten_optimizer(optimizer: torch.optim.Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """An optimiser's state as flat tensors and plain values."""
    state = optimizer.state_dict()["state"]
    tensors = {f"{i}/{k}": v for i, own in state.items() for k, v in own.items() if isinstance(v, Tensor)}
    values = {f"{i}/{k}": v for i, own in state.items() for k, v in own.items() if not isinstance(v, Tensor)}
    return tensors, values


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor], values: dict[str, Any]) -> None:
    """Give an optimiser back what `flatten_optimizer` took."""
    state: dict[int, dict[str, Any]] = {}
    for name, value in (*tensors.items(), *values.items()):
        index, _, key = name.partition("/")
        state.setdefault(int(index), {})[key] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    # Fused kernels walk over weight and state alike in memory, so the state must have the weight's strides again.
    for parameter, own in optimizer.state.items():
        for key, value in own.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                own[key] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
