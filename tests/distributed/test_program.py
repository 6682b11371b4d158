"""Programs that several workers run, under `lepton launch` and under torchrun: the program does not change."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from typer.testing import CliRunner

from lepton_ai.cli import app
from lepton_ai.core import ConfigError, StorageError, WorkerError
from lepton_ai.distributed import run_program
from lepton_ai.models import load

PROGRAM = """
import os, signal, sys
from pathlib import Path
import numpy as np
from lepton_ai.distributed import Workers, joined
from lepton_ai.layers import BatchNormalization, Dense
from lepton_ai.models import Sequential
from lepton_ai.training import LambdaCallback

here, what = Path(sys.argv[1]), sys.argv[2]
x = np.random.default_rng(0).normal(size=(60, 4)).astype("float32")
y = (x.sum(1) > 0).astype("int64")
layers = [Dense(8, activation="relu", input_shape=(4,)), BatchNormalization(), Dense(2, activation="softmax")]
model = Sequential(layers)
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])


def step(batch, logs):
    if what == "kill" and model_run() == 7 and not (here / "killed").exists():
        (here / "killed").touch()
        os.kill(os.getpid(), signal.SIGKILL)


def model_run():
    return callback.run.total_steps


callback = LambdaCallback(on_train_batch_end=step)
if what == "raise" and joined().rank == 1:
    raise LookupError("nothing here")
history = model.fit(
    x, y, batch_size=8, epochs=3, verbose=0, run=here / "run", checkpoint_every=3, callbacks=[callback],
    workers=Workers(reduction="exact"),
)
world = joined()
np.save(here / f"losses-{world.rank}-of-{world.size}.npy", history["loss"])
model.save(here / "model.lepton")
if world.size > 1:
    import psutil

    parent = psutil.Process(os.getppid())
    sockets = [each for process in (parent, *parent.children()) for each in process.net_connections("tcp")]
    listening = [each.laddr.ip for each in sockets if each.status == psutil.CONN_LISTEN]
    (here / f"listening-{world.rank}").write_text(" ".join(listening))
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "train.py"
    path.write_text(PROGRAM)
    return path


def alone(program: Path, folder: Path) -> npt.NDArray[np.float64]:
    folder.mkdir()
    subprocess.run([sys.executable, program, folder, "train"], check=True, timeout=120)
    found: npt.NDArray[np.float64] = np.load(folder / "losses-0-of-1.npy")
    return found


def test_a_program_that_is_killed_goes_on_and_every_way_to_start_it_gives_the_same_bits(
    program: Path, tmp_path: Path
) -> None:
    losses = alone(program, tmp_path / "alone")
    (tmp_path / "launched").mkdir()
    run_program(program, [str(tmp_path / "launched"), "kill"], workers=2)
    assert (tmp_path / "launched/killed").exists()
    assert set((tmp_path / "launched/listening-0").read_text().split()) == {"127.0.0.1"}
    (tmp_path / "torchrun").mkdir()
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    subprocess.run([*command, program, tmp_path / "torchrun", "train"], check=True, timeout=120)
    for folder in ("launched", "torchrun"):
        for rank in range(2):
            assert np.array_equal(np.load(tmp_path / folder / f"losses-{rank}-of-2.npy"), losses)
        weights = load(tmp_path / folder / "model.lepton").get_weights()
        whole = load(tmp_path / "alone/model.lepton").get_weights()
        assert all(np.array_equal(one, other) for one, other in zip(weights, whole, strict=True))


def test_a_worker_that_raises_is_shown_once_with_its_rank(program: Path, tmp_path: Path) -> None:
    with pytest.raises(WorkerError, match="worker 1 failed\nTraceback(.|\n)*LookupError: nothing here$"):
        run_program(program, [str(tmp_path), "raise"], workers=2)


def test_what_cannot_be_launched(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="missing.py: no such file. Give a Python program."):
        run_program(tmp_path / "missing.py")
    with pytest.raises(ConfigError, match=r"launch\(workers=...\): got 0, expected a positive int"):
        run_program(tmp_path, workers=0)


def test_the_command_passes_the_programs_own_options_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    called = []
    monkeypatch.setattr("lepton_ai.distributed.run_program", lambda *given, **named: called.append((given, named)))
    done = CliRunner().invoke(app, ["launch", "--workers", "3", "train.py", "--epochs", "2", "--workers", "9"])
    assert done.exit_code == 0, done.output
    given = (Path("train.py"), ["--epochs", "2", "--workers", "9"])
    assert called == [(given, {"workers": 3, "restarts": 3})]
