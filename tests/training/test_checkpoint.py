"""Checkpoints: whole, verified, never pickle."""

import json
import math
import os
import re
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

import lepton_ai
from lepton_ai.core import StorageError
from lepton_ai.training import get_optimizer
from lepton_ai.training.checkpoint import flatten_optimizer, load_checkpoint, restore_optimizer, save_checkpoint
from tests.contracts.fitting import files

TENSORS = {"weights/a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor(3, dtype=torch.int64), "c": torch.zeros(0)}
VALUES = {"epoch": 3, "name": "x", "best": [math.nan, math.inf, -math.inf, 0.1], "nested": {"rate": 1e-300, "no": None}}


def test_round_trip(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "deep/checkpoint", TENSORS, VALUES)
    tensors, values = load_checkpoint(tmp_path / "deep/checkpoint")
    assert tensors.keys() == TENSORS.keys()
    for name, value in TENSORS.items():
        assert torch.equal(tensors[name], value) and tensors[name].dtype == value.dtype
    assert repr(values) == repr(VALUES)  # NaN is not equal to itself


def test_tensors_may_share_memory_and_have_any_strides(tmp_path: Path) -> None:
    base = torch.randn(4, 3, 5, 5)
    tensors = {"base": base, "part": base[1:], "format": base.to(memory_format=torch.channels_last), "T": base[0, 0].T}
    save_checkpoint(tmp_path / "c", tensors, {})
    again, _ = load_checkpoint(tmp_path / "c")
    assert all(torch.equal(again[name], value) for name, value in tensors.items())


def test_it_is_made_of_safetensors_and_json(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "c", TENSORS, VALUES)
    assert files(tmp_path / "c").keys() == {"state.json", "tensors.safetensors"}
    assert json.loads((tmp_path / "c/state.json").read_text())["format"] == 1
    assert safetensors.torch.load_file(tmp_path / "c/tensors.safetensors").keys() == TENSORS.keys()


def damage(path: Path, kind: str) -> None:
    file, state = path / "tensors.safetensors", path / "state.json"
    content = json.loads(state.read_text())
    if kind == "flipped":
        data = bytearray(file.read_bytes())
        data[-1] ^= 1
        file.write_bytes(data)
    elif kind == "truncated":
        file.write_bytes(file.read_bytes()[:-4])
    elif kind == "missing":
        file.unlink()
    elif kind == "unlisted":
        state.write_text(json.dumps(content | {"hashes": {}}))
    elif kind == "future":
        state.write_text(json.dumps(content | {"format": 99}))
    elif kind == "half":
        state.write_text(state.read_text()[:20])
    else:
        state.unlink()


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("flipped", "tensors.safetensors is damaged: its SHA-256 is not the recorded one"),
        ("truncated", "tensors.safetensors is damaged"),
        ("missing", "tensors.safetensors is damaged"),
        ("unlisted", "tensors.safetensors is damaged"),
        ("future", "is of format 99, this Lepton reads up to 1. Update lepton-ai"),
        ("half", "is not a checkpoint"),
        ("stateless", "is not a checkpoint"),
    ],
)
def test_damage_is_found(kind: str, message: str, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "c", TENSORS, VALUES)
    damage(tmp_path / "c", kind)
    with pytest.raises(StorageError, match=message):
        load_checkpoint(tmp_path / "c")


@pytest.mark.parametrize("where", ["tensors", "state", "flush"])
def test_a_full_disk_leaves_the_old_one(where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_checkpoint(tmp_path / "c", TENSORS, VALUES)
    before = files(tmp_path)

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    def refuse(*_: Any) -> None:
        raise safetensors.SafetensorError("I/O error: No space left on device (os error 28)")

    with monkeypatch.context() as patch:
        if where == "tensors":
            patch.setattr(safetensors.torch, "save_file", refuse)
        elif where == "state":
            patch.setattr(Path, "write_bytes", full)
        else:
            patch.setattr(os, "fsync", full)
        with pytest.raises(StorageError, match="could not write.*No space left on device"):
            save_checkpoint(tmp_path / "c", {}, {})
    assert files(tmp_path) == before
    assert load_checkpoint(tmp_path / "c")[1]["epoch"] == 3


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw", "rmsprop", "channel_adaptive"])
@pytest.mark.parametrize("fused", [True, False])
def test_an_optimizer_goes_on_as_if_nothing_was(name: str, fused: bool, tmp_path: Path) -> None:
    """Also over weights that are channels last in memory, which a checkpoint does not keep."""

    def start() -> tuple[torch.nn.Parameter, torch.optim.Optimizer]:
        value = torch.randn(4, 3, 5, 5, generator=torch.Generator().manual_seed(1))
        weight = torch.nn.Parameter(value.to(memory_format=torch.channels_last))
        return weight, get_optimizer(name).build([("weight", weight)], fused=fused)

    def step(weight: torch.nn.Parameter, optimizer: torch.optim.Optimizer, number: int) -> None:
        gradient = torch.randn(4, 3, 5, 5, generator=torch.Generator().manual_seed(10 + number))
        weight.grad = gradient.to(memory_format=torch.channels_last)
        optimizer.step()

    weight, optimizer = start()
    for number in range(3):
        step(weight, optimizer, number)
    tensors, values = flatten_optimizer(optimizer)
    save_checkpoint(tmp_path / "c", tensors, values)
    other, resumed = start()
    with torch.no_grad():
        other.copy_(weight)
    restore_optimizer(resumed, *load_checkpoint(tmp_path / "c"))
    for number in range(3, 6):
        step(weight, optimizer, number)
        step(other, resumed, number)
    assert torch.equal(weight, other)


def test_nothing_of_ours_unpickles() -> None:
    root = Path(lepton_ai.__file__).parent
    forbidden = re.compile(
        r"^\s*(import|from) +(pickle|cPickle|cloudpickle|dill|joblib|marshal|shelve)"
        r"|(?<!safetensors\.)torch\.(load|save)\(|allow_pickle *= *True|\b(eval|exec)\(",
        re.MULTILINE,
    )
    found = {
        str(path.relative_to(root)): [match.group() for match in forbidden.finditer(path.read_text())]
        for path in root.rglob("*.py")
    }
    # `module.eval()` takes nothing; only calls with something to evaluate count.
    assert {name: words for name, words in found.items() if [w for w in words if not w.startswith("eval")]} == {}
