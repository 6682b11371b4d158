"""Checkpoints: a folder with tensors as safetensors and the rest as JSON, written whole, verified when read."""

import math
from pathlib import Path
from typing import Any

import msgspec
import safetensors
import safetensors.torch
import torch
from torch import Tensor

from lepton_ai.core import StorageError, atomic_directory, sha256

FORMAT, TENSORS = 1, "tensors.safetensors"


class _State(msgspec.Struct, kw_only=True):
    """`hashes` covers the tensor file; `values` has everything that is not a tensor."""

    format: int = FORMAT
    hashes: dict[str, str]
    values: dict[str, Any]


def save_checkpoint(path: Path, tensors: dict[str, Tensor], values: dict[str, Any]) -> None:
    """Write a checkpoint in place of the one at `path`, which stays whole until the new one is.

    Raises: StorageError, for example when the disk is full.
    """
    own = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    with atomic_directory(path, overwrite=True) as folder:
        file = folder / TENSORS
        try:
            safetensors.torch.save_file(own, file)
        except safetensors.SafetensorError as error:
            raise StorageError(
                f"could not write: {error}", at=str(path), fix="The previous one is untouched."
            ) from error
        state = _State(hashes={file.name: sha256(file)}, values=_spelled(values))
        (folder / "state.json").write_bytes(msgspec.json.encode(state))


def load_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and values of a checkpoint.

    Raises: StorageError if it is not one, of a future format, or damaged.
    """
    try:
        state = msgspec.json.decode((path / "state.json").read_bytes(), type=_State)
    except (OSError, msgspec.DecodeError) as error:
        raise StorageError(f"is not a checkpoint ({error})", at=str(path)) from error
    if state.format > FORMAT:
        raise StorageError(
            f"is of format {state.format}, this Lepton reads up to {FORMAT}", at=str(path), fix="Update lepton-ai."
        )
    for name, expected in {TENSORS: "", **state.hashes}.items():
        file = path / name
        if not file.is_file() or sha256(file) != expected:
            raise StorageError(f"{name} is damaged: its SHA-256 is not the recorded one", at=str(path))
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
