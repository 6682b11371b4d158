"""The proof: what counts as equal, and what it says where it is not."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch

from lepton_ai.bundle import Array
from lepton_ai.core import DataError
from lepton_ai.exporting import prove
from lepton_ai.exporting.parity import answers, arrays, distance
from lepton_ai.layers import Dense, Input, Layer
from lepton_ai.models import Model, Sequential, signature

torch.set_num_threads(1)


class Copy:
    """A runtime that answers as the model does, give or take what `change` does to it."""

    def __init__(self, model: Model, change: Any = lambda name, values, rows: values) -> None:
        self.model, self.change = model, change
        self.signature = signature(model)
        self.shapes: list[list[int]] = []

    def run(self, feed: Mapping[str, Array]) -> dict[str, Array]:
        x = {name: torch.from_numpy(array) for name, array in feed.items()}
        self.shapes += [list(array.shape) for array in feed.values()]
        (value,) = x.values()
        return {name: self.change(name, array, len(value)) for name, array in answers(self.model, value).items()}

    def close(self) -> None:
        pass


@pytest.fixture
def model() -> Model:
    made = Sequential([Input((None, 4)), Dense(3)], name="small")
    made.ensure_built((None, None, 4))
    return made


def test_equal_answers(model: Model) -> None:
    runtime = Copy(model)
    proof = prove(model, runtime)
    assert proof.batch_sizes == (1, 2, 3, 7) and proof.max_difference == 0.0 and proof.tolerance == 1e-4
    assert runtime.shapes == [[1, 32, 4], [2, 40, 4], [3, 32, 4], [7, 40, 4]]


def test_the_difference_is_named(model: Model) -> None:
    runtime = Copy(model, lambda name, values, rows: values + 0.25 * (rows == 3))
    with pytest.raises(DataError) as caught:
        prove(model, runtime)
    assert str(caught.value) == (
        "export of Sequential 'small': the exported graph differs from the model by 0.25 in 'output' at batch size 3, "
        "expected at most 0.0001. Look for operations whose result depends on the batch, on randomness or on float64."
    )


def test_the_largest_difference_is_kept(model: Model) -> None:
    runtime = Copy(model, lambda name, values, rows: values + np.float32(1e-5 * rows))
    assert prove(model, runtime, (1, 4, 2)).max_difference == pytest.approx(4e-5, rel=0.05)


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_nan_is_no_small_difference(model: Model, broken: float) -> None:
    with pytest.raises(DataError, match="differs from the model by inf in 'output' at batch size 1"):
        prove(model, Copy(model, lambda name, values, rows: values * np.float32(broken)))


@pytest.mark.parametrize(
    ("got", "expected", "far"),
    [
        ([1.0, 2.0], [1.0, 2.0], 0.0),
        ([0.5], [0.25], 0.25),
        ([1010.0], [1000.0], 0.01),
        ([-1010.0], [-1000.0], 0.01),
        ([np.nan, np.inf], [np.nan, np.inf], 0.0),
        ([np.nan], [np.inf], np.inf),
        ([-np.inf], [np.inf], np.inf),
        ([1.0], [np.nan], np.inf),
        ([np.inf], [3e38], np.inf),
        ([], [], 0.0),
        ([1.0], [1.0, 1.0], np.inf),
    ],
)
def test_distance(got: list[float], expected: list[float], far: float) -> None:
    assert distance(np.array(got, "float32"), np.array(expected, "float32")) == pytest.approx(far)


def test_whole_numbers_are_equal_or_not() -> None:
    big = np.array([10**9], "int64")
    assert distance(big, big) == 0.0 and distance(big + 1, big) == float("inf")
    assert distance(np.array([True]), np.array([False])) == float("inf")
    assert distance(np.zeros(2, "float64"), np.zeros(2, "float32")) == float("inf")


class Split(Layer):
    """Two outputs by name."""

    def call(self, x: Any) -> Any:
        return {"double": x * 2, "most": x.argmax(-1)}


def test_answers_and_arrays_by_name() -> None:
    class Two(Model):
        def __init__(self) -> None:
            super().__init__()
            self.split = Split()

        def call(self, x: Any) -> Any:
            return self.split(x)

    model = Two()
    x = torch.tensor([[1.0, 3.0, 2.0]])
    model(x)
    model.train()
    got = answers(model, x)
    assert got["double"].tolist() == [[2.0, 6.0, 4.0]] and got["most"].tolist() == [1]
    assert arrays(model, x)["input"].dtype == np.float32
    assert model.training
