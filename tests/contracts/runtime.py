"""What every runtime must pass."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from lepton_ai.bundle import Array
from lepton_ai.core import ShapeError, UnknownNameError, UsageError
from lepton_ai.runtime import Runtime
from tests.contracts.graphs import ROWS


class RuntimeContract(ABC):
    """Subclass it and make a runtime whose model is `ROWS`: `total` the sum of a row of `x`, `double` twice `x`."""

    @abstractmethod
    def make(self, folder: Path) -> Runtime:
        """A fresh runtime; `folder` is empty."""

    @pytest.fixture
    def runtime(self, tmp_path: Path) -> Iterator[Runtime]:
        made = self.make(tmp_path)
        yield made
        made.close()

    @staticmethod
    def rows(count: int) -> Array:
        return np.arange(count * 3, dtype="float32").reshape(count, 3) / 8

    def test_signature(self, runtime: Runtime) -> None:
        assert runtime.signature == ROWS

    @pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 64])
    def test_answers(self, runtime: Runtime, count: int) -> None:
        x = self.rows(count)
        answer = runtime.run({"x": x})
        assert list(answer) == ["total", "double"]
        assert answer["double"].dtype == np.float32 and np.array_equal(answer["double"], x * 2)
        np.testing.assert_allclose(answer["total"], x.sum(axis=1, keepdims=True), rtol=1e-6)

    def test_any_memory_layout(self, runtime: Runtime) -> None:
        x = self.rows(4)
        frozen = np.frombuffer(x.tobytes(), "float32").reshape(4, 3)
        crooked = np.frombuffer(b"1" + x.tobytes(), "float32", offset=1).reshape(4, 3)
        for same in (np.asfortranarray(x), np.repeat(x, 2, axis=0)[::2], frozen, crooked):
            assert np.array_equal(runtime.run({"x": same})["double"], x * 2)

    def test_inputs_are_left_alone(self, runtime: Runtime) -> None:
        x = self.rows(3)
        before = x.copy()
        first = runtime.run({"x": x})["double"]
        kept = first.copy()
        runtime.run({"x": x + 1})
        assert np.array_equal(x, before) and np.array_equal(first, kept)

    @pytest.mark.parametrize(
        ("feed", "error", "message"),
        [
            ({}, ShapeError, "missing input 'x', expected 'x' as FP32[-1, 3]"),
            ({"X": np.zeros((1, 3), "float32")}, UnknownNameError, "unknown input 'X'. Did you mean 'x'?"),
            (
                {"x": np.zeros((1, 3), "float32"), "z": np.zeros(1)},
                UnknownNameError,
                "unknown input 'z'. Known: x.",
            ),
            (
                {"x": np.zeros((1, 3))},
                ShapeError,
                "input 'x': got FP64, expected FP32. Convert it: array.astype(\"float32\").",
            ),
            ({"x": np.array([["a"]])}, ShapeError, "input 'x': got BYTES, expected FP32"),
            ({"x": np.zeros((1, 3), ">f4")}, ShapeError, "input 'x': got >f4, expected FP32"),
            ({"x": np.zeros((1, 4), "float32")}, ShapeError, "got shape [1, 4], expected [-1, 3] (-1 is any size)"),
            ({"x": np.zeros(3, "float32")}, ShapeError, "wrap a single example in a batch of one"),
        ],
    )
    def test_refusals(self, runtime: Runtime, feed: dict[str, Array], error: type[Exception], message: str) -> None:
        with pytest.raises(error) as caught:
            runtime.run(feed)
        assert message in str(caught.value)

    def test_several_threads_at_once(self, runtime: Runtime) -> None:
        wrong: list[int] = []

        def work(seed: int) -> None:
            x = self.rows(5) + seed
            wrong.extend(seed for _ in range(20) if not np.array_equal(runtime.run({"x": x})["double"], x * 2))

        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong

    def test_closed_is_closed(self, runtime: Runtime) -> None:
        runtime.close()
        runtime.close()
        with pytest.raises(UsageError, match="the runtime is closed"):
            runtime.run({"x": self.rows(1)})
