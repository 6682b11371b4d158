"""A run's folder: checkpoints within epochs, the newest whole one taken, and nothing that a crash could change."""

import functools
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lepton_ai.core import ConfigError, StorageError
from lepton_ai.data import Stream
from lepton_ai.hal import ExecutionPlan
from lepton_ai.training import (
    Adam,
    Callback,
    CosineDecay,
    EarlyStopping,
    LambdaCallback,
    MixUp,
    ReduceLROnPlateau,
)
from lepton_ai.training.checkpoint import take_snapshot
from lepton_ai.training.checkpoints import Checkpoints, Every, get_every
from tests.contracts.fitting import cnn, compiled, images, mlp, same_state, table, without_seconds
from tests.training.test_checkpoint import damage

X, Y = table()


class Crash(Exception):
    """A process that ends in the middle."""


class CrashAt(Callback):
    def __init__(self, epoch: int, step: int) -> None:
        self.at = (epoch, step)

    def on_train_batch_end(self, batch: int, logs: dict[str, float]) -> None:
        if (self.run.epoch, batch) == self.at:
            raise Crash


POLICIES: dict[str, Any] = {"global_clipnorm": 0.5, "use_ema": True, "ema_momentum": 0.8}


def program(
    run: Path | None, every: int | str = 1, extra: tuple[Any, ...] = (), kind: str = "mlp", accumulated: int = 0
) -> Any:
    """The same each time: shuffling, dropout, mixing, a schedule, early stopping, plateaus; and the policies."""
    x, y = table() if kind == "mlp" else images()
    model = compiled(mlp(dropout=0.3) if kind == "mlp" else cnn(dropout=0.2, norm=True, flip=True))
    policies = {**POLICIES, "gradient_accumulation_steps": accumulated} if accumulated else {}
    model.compile(Adam(CosineDecay(0.02), **policies), "sparse_categorical_crossentropy", metrics=["accuracy"])
    stop = EarlyStopping("val_loss", patience=2, restore_best_weights=True)
    slow = ReduceLROnPlateau("loss", factor=0.5, patience=1, min_delta=0.1)
    model.fit(
        x[:-6], y[:-6], batch_size=5, epochs=3, verbose=0, seed=2, run=run, checkpoint_every=every, augment=MixUp(),
        validation_data=(x[-6:], y[-6:]), callbacks=[stop, slow, *extra],
    )  # fmt: skip
    return model


def same(one: Any, other: Any) -> bool:
    return same_state(one, other) and without_seconds(one.history) == without_seconds(other.history)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "checkpoints").iterdir())


# -- going on -----------------------------------------------------------------------------------------------


@functools.cache
def whole(kind: str = "mlp", accumulated: int = 0) -> Any:
    return program(None, kind=kind, accumulated=accumulated)


@settings(max_examples=20, deadline=None)
@given(epoch=st.integers(0, 2), step=st.integers(0, 8), every=st.integers(1, 12))
def test_a_crash_at_any_step_changes_nothing(
    epoch: int, step: int, every: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("run")
    with pytest.raises(Crash):
        program(folder, every, (CrashAt(epoch, step),))
    assert same(program(folder, every), whole())
    assert same(program(folder, every), whole())  # it was complete


@settings(max_examples=15, deadline=None)
@given(epoch=st.integers(0, 2), step=st.integers(0, 2), every=st.integers(1, 4), accumulated=st.sampled_from([3, 4]))
def test_a_crash_changes_nothing_with_all_policies_on(
    epoch: int, step: int, every: int, accumulated: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("run")
    with pytest.raises(Crash):
        program(folder, every, (CrashAt(epoch, step),), accumulated=accumulated)
    assert same(program(folder, every, accumulated=accumulated), whole(accumulated=accumulated))
    assert same(program(folder, every, accumulated=accumulated), whole(accumulated=accumulated))


def test_crash_after_crash(tmp_path: Path) -> None:
    for at in ((0, 1), (0, 2), (1, 0), (1, 3), (2, 3)):
        with pytest.raises(Crash):
            program(tmp_path, 1, (CrashAt(*at),), "cnn")
    assert same(program(tmp_path, 1, kind="cnn"), whole("cnn"))


@pytest.mark.parametrize("steps", [None, 6])
def test_a_stream_goes_on_where_it_was(steps: int | None, tmp_path: Path) -> None:
    """Also one without an end, whose epochs begin where the last one stopped."""

    def read(shard: int, start: int) -> Iterator[Any]:
        for row in range(shard + start, shard + 10):
            yield torch.from_numpy(X[row : row + 1]), torch.from_numpy(Y[row : row + 1])

    def fit(run: Path | None, *callbacks: Callback) -> Any:
        model = compiled(mlp(dropout=0.3), Adam(0.02, gradient_accumulation_steps=2))
        model.fit(
            Stream(range(0, 50, 10), read, buffer=15), batch_size=7, epochs=3, steps_per_epoch=steps, verbose=0,
            run=run, checkpoint_every=1, callbacks=list(callbacks),
        )  # fmt: skip
        return model

    for at in ((0, 0), (1, 1), (2, 2)):
        with pytest.raises(Crash):
            fit(tmp_path, CrashAt(*at))
    assert same(fit(tmp_path), fit(None))


def test_the_steps_that_were_saved_are_not_made_again(tmp_path: Path) -> None:
    with pytest.raises(Crash):
        program(tmp_path, 3, (CrashAt(1, 7),))
    assert names(tmp_path)[-1] == "epoch-00002-step-00000006"
    made: list[int] = []
    program(tmp_path, 3, (LambdaCallback(on_train_batch_end=lambda batch, logs: made.append(batch)),))
    assert made[:4] == [6, 7, 8, 0]


def test_by_time(tmp_path: Path) -> None:
    with pytest.raises(Crash):
        program(tmp_path, "0.0s", (CrashAt(0, 5),))
    assert names(tmp_path)[-1].startswith("epoch-00001-step-")
    with pytest.raises(Crash):
        program(tmp_path / "seldom", "1h", (CrashAt(1, 5),))
    assert names(tmp_path / "seldom") == ["epoch-00002-step-00000000"]


def test_training_time_adds_up(tmp_path: Path) -> None:
    seen: list[float] = []

    class Clock(Callback):
        def on_train_begin(self) -> None:
            seen.append(self.run.seconds)

        on_train_end = on_train_begin

    with pytest.raises(Crash):
        program(tmp_path, 1, (Clock(), CrashAt(1, 5)))
    program(tmp_path, 1, (Clock(),))
    assert 0 <= seen[0] < seen[1] and seen[0] < seen[2] < seen[3]


# -- what is kept -------------------------------------------------------------------------------------------


def test_the_last_three_are_kept(tmp_path: Path) -> None:
    program(tmp_path, 4)
    assert len(names(tmp_path)) == 3
    assert names(tmp_path)[-1] == "epoch-00004-step-00000000"


@pytest.mark.parametrize("kind", ["flipped", "truncated", "missing", "stateless", "half"])
def test_a_damaged_one_is_skipped(kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(Crash):
        program(tmp_path, 2, (CrashAt(1, 6),))
    newest = names(tmp_path)[-1]
    damage(tmp_path / "checkpoints" / newest, kind)
    with caplog.at_level(logging.WARNING, "lepton_ai.training"):
        again = program(tmp_path, 2)
    assert f"checkpoint skipped, the one before it is taken: {tmp_path}/checkpoints/{newest}" in caplog.text
    assert same(again, whole())
    caplog.clear()
    program(tmp_path, 2)
    assert not caplog.records


def test_all_damaged_is_refused(tmp_path: Path) -> None:
    program(tmp_path, 20)
    for name in names(tmp_path):
        damage(tmp_path / "checkpoints" / name, "flipped")
    with pytest.raises(StorageError, match="checkpoints: no checkpoint is whole. Remove this folder to start anew"):
        program(tmp_path)


def test_half_written_ones_are_cleared_away(tmp_path: Path) -> None:
    left = tmp_path / "checkpoints/.epoch-00001-step-00000003.x1y2.part"
    left.mkdir(parents=True)
    program(tmp_path, 20)
    assert not left.exists()


def test_writing_keeps_to_its_own(tmp_path: Path) -> None:
    """A folder for one checkpoint holds the last that was written, whatever was there."""
    for epoch in (5, 2):
        keeper = Checkpoints(tmp_path, keep=1)
        keeper.save(epoch, 0, lambda: take_snapshot({"a": torch.ones(1)}, {}))
        keeper.wait()
    assert names(tmp_path) == ["epoch-00003-step-00000000"]


# -- refusals -----------------------------------------------------------------------------------------------


def test_another_plan_is_refused(tmp_path: Path) -> None:
    def fit(plan: ExecutionPlan) -> Any:
        model = mlp()
        model.compile("adam", "sparse_categorical_crossentropy", plan=plan)
        return model.fit(X, Y, verbose=0, run=tmp_path)

    fit(ExecutionPlan())
    fit(ExecutionPlan(allocator=False))  # it has no say in the bits
    with pytest.raises(StorageError, match="run with plan.fused_optimizer True, this one has False. Use another run"):
        fit(ExecutionPlan(fused_optimizer=False))
    with pytest.raises(StorageError, match="run with plan.threads 1, this one has 2"):
        fit(ExecutionPlan(threads=2))


def test_another_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled(mlp()).fit(X, Y, verbose=0, run=tmp_path)
    monkeypatch.setattr("lepton_ai.training.facts.version", lambda name: "9.9")
    with pytest.raises(StorageError, match="run with lepton-ai '.*', this one has '9.9'"):
        compiled(mlp()).fit(X, Y, verbose=0, run=tmp_path)


def test_a_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(
        StorageError, match="file/checkpoints: no folder can be made here: Not a directory. Use another"
    ):
        compiled(mlp()).fit(X, Y, verbose=0, run=tmp_path / "file")


def test_how_often() -> None:
    assert get_every("90 s") == Every(seconds=90) and get_every("1.5h") == Every(seconds=5400)
    for wrong in (0, -1, True, 2.5, "5", "soon", "5 days", None):
        with pytest.raises(
            ConfigError, match=r"fit\(checkpoint_every=...\).*expected a number of steps, or a time such"
        ):
            get_every(wrong)  # type: ignore[arg-type]


def test_a_full_disk_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(Crash):
        program(tmp_path, 2, (CrashAt(0, 6),))
    before = names(tmp_path)

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, caplog.at_level(logging.WARNING, "lepton_ai.training"):
        patch.setattr(os, "fsync", full)
        model = program(tmp_path, "1h")
    assert same(model, whole())
    assert "training goes on without a checkpoint of epoch-00002-step-00000000" in caplog.text
    assert f"{before[-1]} stays the last" in caplog.text and "No space left on device" in caplog.text
    assert names(tmp_path) == before
    assert same(program(tmp_path), whole())
