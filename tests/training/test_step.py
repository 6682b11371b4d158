"""A step that memory does not suffice for is made in parts."""

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lepton_ai.layers import Dense, Layer
from lepton_ai.models import Sequential
from lepton_ai.training import SGD, MixUp
from lepton_ai.training.step import is_out_of_memory
from tests.contracts.fitting import compiled, same_state, table, without_seconds
from tests.training.test_checkpoints import Crash, CrashAt
from tests.training.test_policies import close

X, Y = table()
MESSAGE = "DefaultCPUAllocator: can't allocate memory: you tried to allocate 99 bytes. Error code 12"


class Most(torch.autograd.Function):
    """The identity, of which the gradient takes much memory."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, most: int) -> Tensor:
        ctx.most = most
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        if len(gradients[0]) > ctx.most:
            raise RuntimeError(MESSAGE)
        return gradients[0], None


class Narrow(Layer):
    """Room for so many rows at once, in the pass named."""

    def __init__(self, most: int, way: str, **options: Any) -> None:
        super().__init__(**options)
        self.most, self.way = most, way

    def call(self, x: Tensor) -> Tensor:
        if self.training and self.way == "forward" and len(x) > self.most:
            raise RuntimeError(MESSAGE)
        return Most.apply(x, self.most) if self.way == "backward" else x  # type: ignore[no-untyped-call]

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape


def fit(most: int = 1000, way: str = "backward", accumulated: int | None = None, **options: Any) -> Any:
    narrow = Narrow(most, way)
    layers: list[Any] = [Dense(8, activation="relu", input_shape=(4,)), narrow, Dense(3, activation="softmax")]
    model = compiled(Sequential(layers), SGD(0.5, gradient_accumulation_steps=accumulated), ("accuracy", "auc"))
    model.fit(X, Y, batch_size=20, epochs=2, verbose=0, **options)
    return model


@pytest.mark.parametrize("way", ["forward", "backward"])
@pytest.mark.parametrize("accumulated", [None, 2])
def test_halves_are_the_same_step(way: str, accumulated: int | None, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "lepton_ai.training"):
        narrow = fit(7, way, accumulated)
    words = [record.getMessage() for record in caplog.records]
    assert len(words) == 2
    assert words[1].startswith("epoch 1, step 1: out of memory (DefaultCPUAllocator: can't allocate memory")
    assert "take each batch in 4 parts. A smaller batch_size with gradient_accumulation_steps" in words[1]
    wide = fit(accumulated=accumulated)
    close(narrow, wide)
    for name, values in wide.history.history.items():
        assert narrow.history[name] == pytest.approx(values, rel=1e-5)


def test_mixed_rows_are_halved_after_they_were_mixed() -> None:
    close(fit(5, augment=MixUp()), fit(augment=MixUp()))


def test_one_row_that_does_not_fit_is_the_error() -> None:
    with pytest.raises(RuntimeError, match="can't allocate memory"):
        fit(0, "forward")


def test_other_errors_are_not_held_back() -> None:
    class Broken(Narrow):
        def call(self, x: Tensor) -> Tensor:
            if self.training:
                raise RuntimeError("a mistake")
            return x

    model = compiled(Sequential([Broken(1, "forward", input_shape=(4,)), Dense(3, activation="softmax")]))
    with pytest.raises(RuntimeError, match="a mistake"):
        model.fit(X, Y, verbose=0)
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"))


def test_the_parts_are_in_the_state(tmp_path: Path) -> None:
    whole = fit(7)
    with pytest.raises(Crash):
        fit(7, run=tmp_path, checkpoint_every=1, callbacks=[CrashAt(0, 2)])
    again = fit(7, run=tmp_path)
    assert same_state(whole, again) and without_seconds(whole.history) == without_seconds(again.history)
