"""Workers are killed with SIGKILL at any moment, and the exact mode ends with the bits of a run that was left alone."""

import os
import random
import signal
import threading
import time
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import pytest

from lepton_ai.models import distributed_train
from lepton_ai.training import Callback
from tests.contracts.fitting import compiled, mlp, same_state, table, without_seconds


class Noted(Callback):
    """Leaves a mark for each step that was made."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_batch_end(self, batch: int, logs: dict[str, float]) -> None:
        with self.path.open("a") as file:
            file.write(f"{self.run.total_steps}\n")


class Killer(threading.Thread):
    """Kills a random worker, so many times, whenever some steps more were made."""

    def __init__(self, path: Path, times: int) -> None:
        super().__init__(daemon=True)
        self.path, self.left, self.kills = path, times, 0
        self.random = random.Random(0)

    def run(self) -> None:
        steps = 0
        while self.left:
            steps += self.random.randint(3, 12)
            while len(self.path.read_text().splitlines()) < steps:
                time.sleep(0.001)
            time.sleep(self.random.uniform(0, 0.01))
            workers = [each for each in psutil.Process().children() if each.status() != psutil.STATUS_ZOMBIE]
            if workers:
                os.kill(self.random.choice(workers).pid, signal.SIGKILL)
                self.left, self.kills = self.left - 1, self.kills + 1
            steps = len(self.path.read_text().splitlines())


def check(kills: int, workers: int, folder: Path) -> None:
    x, y = table(200)
    options: dict[str, Any] = {"epochs": 4 * kills, "verbose": 0, "reduction": "exact"}
    whole, model = compiled(mlp(dropout=0.3)), compiled(mlp(dropout=0.3))
    distributed_train(whole, x, y, 16, 1, **options)
    steps = folder / "steps"
    steps.touch()
    killer = Killer(steps, kills)
    killer.start()
    distributed_train(
        model, x, y, 16, workers, callbacks=[Noted(steps)], checkpoint_every=5, restarts=kills + 1, **options
    )
    assert killer.kills == kills
    assert same_state(model, whole)
    assert without_seconds(model.history) == without_seconds(whole.history)


def test_three_kills_in_one_run(tmp_path: Path) -> None:
    check(3, 2, tmp_path)


@pytest.mark.faults
@pytest.mark.timeout(900)
@pytest.mark.parametrize("workers", [2, 4])
def test_ten_kills_in_one_run(workers: int, tmp_path: Path) -> None:
    check(10, workers, tmp_path)
