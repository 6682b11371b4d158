"""`lepton inspect`: what it shows, and what it says of bundles that are not whole."""

import json
import shutil
from pathlib import Path

import pytest

from tests.contracts.command import Terminal, run_process


def test_it_shows_the_bundle(lepton: Terminal, images: Path) -> None:
    done = lepton("inspect", images)
    assert done.code == 0 and done.err == ""
    lines = done.out.splitlines()
    assert lines[0].startswith("images  (classification, format 1, made 20")
    assert "  in   image: UINT8 (any, 6, 8, 1)" in lines and "  out  output: FP32 (any, 2)" in lines
    assert "  labels   dark, light" in lines
    assert any("fp32: variants/fp32/model.onnx (onnxruntime, equal to the model within " in line for line in lines)
    assert "  files (all hashes hold)" in lines
    assert any(line.endswith("  weights.safetensors") for line in lines)


def test_it_says_that_graphs_are_missing(lepton: Terminal, saved: Path) -> None:
    assert "  no graph: add one with lepton_ai.export(model, path) to serve it" in lepton("inspect", saved).out


def test_json_is_the_manifest(images: Path) -> None:
    done = run_process("inspect", images, "--json")
    assert done.code == 0 and done.err == "imported []\n"
    assert json.loads(done.out) == json.loads((images / "manifest.json").read_text())


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: (path / "card.md").unlink(), "card.md"),
        (lambda path: (path / "card.md").write_text("short"), "it was truncated or changed"),
        (lambda path: flip(path / "weights.safetensors"), "it was damaged or tampered with"),
        (lambda path: flip(path / "variants/fp32/model.onnx"), "it was damaged or tampered with"),
        (lambda path: (path / "manifest.json").write_text("{"), "is not valid JSON"),
        (lambda path: (path / "manifest.json").unlink(), "has no manifest.json, so it is not a bundle"),
        (lambda path: replace(path / "manifest.json", '"format": 1', '"format": 2'), "bundle format 2"),
        (lambda path: replace(path / "manifest.json", '"classification"', "7"), "Expected `str`, got `int`"),
        (lambda path: replace(path / "manifest.json", '"card.md"', '"../card.md"'), "../card.md"),
    ],
)
@pytest.mark.parametrize("flag", [(), ("--json",)])
def test_damaged_bundles(
    lepton: Terminal, images: Path, tmp_path: Path, damage: object, message: str, flag: tuple[str, ...]
) -> None:
    path = tmp_path / "copy.lepton"
    shutil.copytree(images, path)
    assert callable(damage)
    damage(path)
    text = lepton.mistake("inspect", path, *flag)
    assert text.startswith(str(path)) and message in text


def test_a_file_is_no_bundle(lepton: Terminal, tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_bytes(b"")
    assert lepton.mistake("inspect", tmp_path / "model.pt").endswith(
        "model.pt: is a file; a bundle is a folder. Check the path."
    )


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def replace(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
