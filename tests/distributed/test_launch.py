"""Workers: started, joined, blamed, ended."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import pytest
import torch

from lepton_ai.core import ConfigError, WorkerError
from lepton_ai.distributed import World, launch


def children() -> list[Any]:
    return [each for each in psutil.Process().children() if each.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.parametrize("workers", [1, 3])
def test_every_rank_runs_once(workers: int, tmp_path: Path) -> None:
    def work(world: World) -> None:
        total = world.sum(torch.tensor([float(world.rank + 1)]))
        (tmp_path / f"rank-{world.rank}").write_text(f"{world.size} {total.item()} {torch.get_num_threads()}")

    launch(work, workers, tmp_path)
    texts = {path.name: path.read_text() for path in tmp_path.glob("rank-*")}
    total = float(sum(range(1, workers + 1)))
    assert texts == {f"rank-{rank}": f"{workers} {total} 1" for rank in range(workers)}
    assert children() == []


def test_the_caller_is_left_alone(tmp_path: Path) -> None:
    threads, handler = torch.get_num_threads(), signal.getsignal(signal.SIGINT)
    launch(lambda world: None, 2, tmp_path)
    assert torch.get_num_threads() == threads
    assert signal.getsignal(signal.SIGINT) is handler
    assert not torch.distributed.is_initialized()


def test_a_worker_that_raises_is_named_with_its_traceback(tmp_path: Path) -> None:
    def work(world: World) -> None:
        if world.rank == 1:
            raise ValueError("no such thing")
        world.sum(torch.ones(1))  # would wait for the one that failed

    started = time.monotonic()
    with pytest.raises(WorkerError, match="worker 1 failed\nTraceback") as caught:
        launch(work, 3, tmp_path)
    assert "ValueError: no such thing" in str(caught.value)
    assert "in work" in str(caught.value)
    assert time.monotonic() - started < 20
    assert children() == []


def test_a_worker_that_is_killed_is_named(tmp_path: Path) -> None:
    def work(world: World) -> None:
        if world.rank == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        world.sum(torch.ones(1))

    with pytest.raises(WorkerError, match="worker 2 was ended by signal SIGKILL"):
        launch(work, 3, tmp_path)
    assert children() == []


def test_ctrl_c_while_the_workers_do_not_listen_ends_them(tmp_path: Path) -> None:
    def work(world: World) -> None:
        time.sleep(60)

    started = time.monotonic()
    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        launch(work, 2, tmp_path)
    assert time.monotonic() - started < 20
    assert children() == []


@pytest.mark.parametrize("workers", [0, -1, 1.5, True, "2"])
def test_the_number_of_workers_is_checked(workers: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"num_workers: got .*, expected a positive int"):
        launch(lambda world: None, workers, tmp_path)


def test_threads_of_the_caller_do_not_hold_up_the_workers(tmp_path: Path) -> None:
    def multiply(_: World | None) -> None:
        torch.randn(400, 400) @ torch.randn(400, 400)

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        multiply(None)
        launch(multiply, 2, tmp_path)
    finally:
        torch.set_num_threads(before)
    assert multiprocessing.active_children() == []


def test_workers_end_with_their_caller(tmp_path: Path) -> None:
    program = """
import os, sys, time
from pathlib import Path
from lepton_ai.distributed import launch

def work(world):
    (Path(sys.argv[1]) / f"pid-{world.rank}").write_text(str(os.getpid()))
    time.sleep(120)

launch(work, 2, Path(sys.argv[1]))
"""
    caller = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)])
    try:
        wait_for(lambda: all((tmp_path / f"pid-{rank}").exists() for rank in range(2)))
        workers = [int((tmp_path / f"pid-{rank}").read_text()) for rank in range(2)]
    finally:
        caller.kill()
        caller.wait()
    wait_for(lambda: not any(alive(worker) for worker in workers))


def alive(process: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{process}/stat").read_text().split()[2]
    except FileNotFoundError:
        return False


def wait_for(happened: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)
