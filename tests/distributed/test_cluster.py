"""A Ray cluster of two nodes on this machine, and what is said where there is none."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lepton_ai.core import MissingExtraError
from tests.contracts.fitting import compiled, mlp, table

PROGRAM = Path(__file__).with_name("cluster_program.py")


# Not in every run: on a busy machine Ray has needed over a minute to give the places of one job to the next.
@pytest.mark.faults
def test_training_on_two_nodes_survives_the_loss_of_one(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    root = PROGRAM.parents[2]
    path = os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])
    # Ray's switch for laptops: every server binds loopback.
    surroundings = {**os.environ, "PYTHONPATH": path, "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
    command = [sys.executable, str(PROGRAM), str(tmp_path)]
    done = subprocess.run(command, cwd=root, env=surroundings, capture_output=True, text=True, check=False, timeout=150)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    told = [line for line in done.stdout.splitlines() if line.endswith(("bits", "named"))]
    assert told == ["two nodes: the same bits", "errors are named", "one node lost: the same bits"]


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(
        MissingExtraError, match=r"training on a cluster needs the package 'ray'(.|\n)*lepton-ai\[cluster\]"
    ):
        compiled(mlp()).fit(*table(), verbose=0, workers=2, cluster="auto")
