"""Training is killed with SIGKILL at any moment and goes on to the same bits."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lepton_ai.training.interrupt import TERMINATED

PROGRAM = Path(__file__).with_name("program.py")


def start(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, str(PROGRAM), str(folder)], stdout=subprocess.PIPE, text=True)


def finish(folder: Path) -> tuple[bytes, bytes]:
    process = start(folder)
    assert process.communicate(timeout=120) is not None
    assert process.returncode == 0
    return (folder / "weights.safetensors").read_bytes(), (folder / "history").read_bytes()


def kill(folder: Path, steps: int, wait: float = 0.0, number: int = signal.SIGKILL) -> int:
    """Start the program and send it a signal after so many steps and a moment more; how it ended."""
    process = start(folder)
    assert process.stdout is not None
    for _ in range(steps):
        process.stdout.readline()
    time.sleep(wait)
    process.send_signal(number)
    process.communicate()
    return process.returncode


def test_a_run_that_is_killed_three_times_ends_with_the_same_bits(tmp_path: Path) -> None:
    whole = finish(tmp_path / "whole")
    for steps in (40, 71, 90):
        assert kill(tmp_path / "killed", steps, 0.003) == -signal.SIGKILL
    assert kill(tmp_path / "killed", 50, number=signal.SIGTERM) == TERMINATED
    assert finish(tmp_path / "killed") == whole


@pytest.mark.faults
@pytest.mark.timeout(1800)
def test_a_run_that_is_killed_at_a_hundred_moments_ends_with_the_same_bits(tmp_path: Path) -> None:
    whole = finish(tmp_path / "whole")
    moments = random.Random(0)
    kills = 0
    for attempt in range(25):
        folder = tmp_path / f"killed-{attempt}"
        for _ in range(4):
            kills += kill(folder, moments.randint(0, 85), moments.uniform(0, 0.02)) == -signal.SIGKILL
        assert finish(folder) == whole, f"attempt {attempt}"
    assert kills == 100
