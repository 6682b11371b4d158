"""Training is killed with SIGKILL at any moment and goes on to the same bits."""

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("program.py")


def start(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, str(PROGRAM), str(folder)], stdout=subprocess.PIPE, text=True)


def finish(folder: Path) -> tuple[bytes, bytes]:
    process = start(folder)
    assert process.communicate(timeout=120) is not None
    assert process.returncode == 0
    return (folder / "weights.safetensors").read_bytes(), (folder / "losses").read_bytes()


def kill_during_epoch(folder: Path, epoch: int, wait: float) -> bool:
    """Start the program, wait for the line of an epoch and a moment more, and kill it; False if it was done before."""
    process = start(folder)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(f"epoch {epoch}/"):
            time.sleep(wait)
            break
    process.kill()
    process.communicate()
    return not (folder / "losses").exists()


def test_a_run_that_is_killed_once_ends_with_the_same_bits(tmp_path: Path) -> None:
    whole = finish(tmp_path / "whole")
    assert kill_during_epoch(tmp_path / "killed", 3, 0.01)
    assert finish(tmp_path / "killed") == whole


@pytest.mark.faults
@pytest.mark.timeout(1800)
def test_a_run_that_is_killed_again_and_again_ends_with_the_same_bits(tmp_path: Path) -> None:
    whole = finish(tmp_path / "whole")
    moments = random.Random(0)
    for attempt in range(20):
        folder = tmp_path / f"killed-{attempt}"
        epoch = 1
        while epoch < 12:
            kill_during_epoch(folder, epoch, moments.uniform(0, 0.05))
            epoch += moments.randint(1, 5)
        assert finish(folder) == whole, f"attempt {attempt}"
