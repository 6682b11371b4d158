"""The demo, once, short, and wholly real: training, export, a server, a client that is not ours, the report."""

import csv
import os
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lepton_ai.bundle import Bundle
from lepton_ai.cli import demo
from lepton_ai.core import UsageError
from lepton_ai.runtime import open_model, replay_golden
from tests.contracts.command import Terminal

pytest.importorskip("mlxtend", exc_type=ImportError)
pytest.importorskip("tritonclient.http", exc_type=ImportError)

SECTIONS = (
    "Learning curves",
    "Confusion",
    "mistakes",
    "Calibration",
    "Class by class",
    "Model",
    "Serving",
    "Timings",
    "Machine",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("demo")
    demo.run_demo(folder, epochs=1, seed=0)
    return folder


def children() -> set[str]:
    """The command lines of the processes that this one started and that still run."""
    found = set()
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            if f"\nPPid:\t{os.getpid()}\n" in status.read_text():
                found.add((status.parent / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return found


def test_the_folder_holds_everything(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == {"digit.png", "digits.lepton", "history.csv", "report.html"}


def test_the_bundle_is_whole_and_answers(folder: Path) -> None:
    bundle = Bundle.open(folder / "digits.lepton")
    assert bundle.manifest.labels == tuple("0123456789") and bundle.manifest.task == "classification"
    assert bundle.manifest.metrics["held_out_accuracy"] > 0.8
    profile = bundle.profile()
    assert profile is not None and profile.rows > 1000 and not profile.generated
    runtime = open_model(bundle)
    assert runtime.signature.inputs[0].name == "image" and runtime.signature.inputs[0].shape == (-1, 28, 28, 1)
    assert replay_golden(bundle, runtime) < 1e-5


def test_the_history_has_a_row_for_each_epoch(folder: Path) -> None:
    with (folder / "history.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    assert len(rows) == 1
    assert {"epoch", "loss", "accuracy", "val_loss", "val_accuracy"} <= rows[0].keys()
    assert 0 < float(rows[0]["val_loss"]) < 3 and 0.5 < float(rows[0]["val_accuracy"]) <= 1


def test_the_report_is_one_file_that_works_offline(folder: Path) -> None:
    text = (folder / "report.html").read_text(encoding="utf-8")
    assert len(text) < 3_000_000
    headings = re.findall(r"<h2[^>]*>(.*?)</h2>", text)
    assert [title for title in SECTIONS if not any(title.lower() in heading.lower() for heading in headings)] == []
    fetched = re.findall(r"""(?:src|href|action)\s*=\s*["']?([^"'\s>]+)|url\(([^)]+)\)|@import""", text)
    outside = [a or b for a, b in fetched if not (a or b).startswith(("#", "data:", '"data:', "'data:"))]
    assert outside == [] and "<script" not in text
    assert not re.search(r"https?://(?!www\.w3\.org/)", text)


def test_the_server_is_gone(folder: Path) -> None:
    assert not any("serve" in line for line in children())


def test_the_commands_it_recommends_work(folder: Path, lepton: Terminal) -> None:
    bundle = folder / "digits.lepton"
    assert "UINT8 (any, 28, 28, 1)" in lepton("inspect", bundle).out
    done = lepton("predict", bundle, folder / "digit.png")
    assert done.code == 0 and re.match(r"\S+digit\.png  \d \d+\.\d%", done.out)
    with Image.open(folder / "digit.png") as picture:
        assert np.asarray(picture).shape == (28, 28)


def test_a_server_that_does_not_start_ends_the_demo(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"the server did not start \(status 1\)"), demo.serving(tmp_path / "nothing"):
        pass
    assert not any("serve" in line for line in children())


def test_the_server_is_gone_after_an_error_too(folder: Path) -> None:
    with pytest.raises(ZeroDivisionError), demo.serving(folder / "digits.lepton") as url:
        assert url.startswith("http://127.0.0.1:") and any("serve" in line for line in children())
        raise ZeroDivisionError
    assert not any("serve" in line for line in children())
