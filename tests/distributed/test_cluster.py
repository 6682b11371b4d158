"""A Ray cluster of two nodes on this machine, and what is said where there is none."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest

from lepton_ai.core import MissingExtraError, WorkerError
from lepton_ai.distributed import Workers, cluster
from tests.contracts.fitting import compiled, mlp, table

PROGRAM = Path(__file__).with_name("cluster_program.py")


def run(*arguments: str) -> list[str]:
    """What the program says of its cluster."""
    pytest.importorskip("ray")
    root = PROGRAM.parents[2]
    path = os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])
    # Ray's switch for laptops: every server binds loopback.
    surroundings = {**os.environ, "PYTHONPATH": path, "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
    surroundings["RAY_raylet_start_wait_time_s"] = "120"  # the machine may be busy
    command = [sys.executable, str(PROGRAM), *arguments]
    done = subprocess.run(command, cwd=root, env=surroundings, capture_output=True, text=True, check=False, timeout=550)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return [line for line in done.stdout.splitlines() if line.startswith("cluster: ")]


@pytest.mark.timeout(600)
def test_training_on_two_nodes(tmp_path: Path) -> None:
    assert run(str(tmp_path), "both") == ["cluster: two nodes, the same bits"]


@pytest.mark.faults
@pytest.mark.timeout(600)
def test_a_cluster_in_trouble(tmp_path: Path) -> None:
    told = run(str(tmp_path), "errors", "interrupted", "loss")
    assert told == [
        "cluster: errors are named",
        "cluster: Ctrl-C left nothing running",
        "cluster: one node lost, the same bits",
    ]


def test_every_worker_is_ended_whatever_ending_one_meets(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[Any] = []

    def end(each: Any) -> None:
        ended.append(each)
        raise Exception("Ray Client is not connected")  # as Ray does

    def fail(*_: Any) -> None:
        raise WorkerError("worker 1 failed")

    ray = MagicMock(kill=end)
    ray.exceptions.RayActorError = ray.exceptions.NodeDiedError = KeyError
    ray.remote.return_value.options.return_value.remote.side_effect = ["first", "second"]
    ray.util.placement_group.return_value = group = MagicMock()
    ray.util.remove_placement_group = end
    monkeypatch.setattr(cluster, "_watched", fail)
    with pytest.raises(WorkerError, match="worker 1 failed"):
        cluster._attempt(ray, None, 2, Workers(count=2), going_on=False)
    assert ended == ["first", "second", group]


def test_other_versions_on_a_worker_are_refused() -> None:
    class Seat:
        class versions:
            @staticmethod
            def remote() -> dict[str, str]:
                return cluster.versions() | {"torch": "1.0"}

    class Ray:
        @staticmethod
        def get(given: list[dict[str, str]]) -> list[dict[str, str]]:
            return given

    with pytest.raises(
        WorkerError, match=r"worker 0 has torch 1\.0, this program (.|\n)*the same versions on all nodes"
    ):
        cluster._watched(Ray, [Seat()], None, Workers(count=1))


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(
        MissingExtraError, match=r"training on a cluster needs the package 'ray'(.|\n)*lepton-ai\[cluster\]"
    ):
        compiled(mlp()).fit(*table(), verbose=0, workers=2, cluster="auto")
