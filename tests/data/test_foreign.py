from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from lepton_ai.core import DataError, ShapeError
from lepton_ai.data import Batches, ResumeWarning, TorchDataset


class Items(Dataset[Any]):
    def __init__(self, items: list[Any]) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        return self.items[index]


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Iterator[Any]:
        return iter([(torch.ones(2) * i, i) for i in range(5)])


def test_items_are_collated() -> None:
    items = [({"a": np.ones(2) * i}, i, 0.5) for i in range(3)]
    x, y, weight = TorchDataset(Items(items)).fetch(torch.tensor([2, 0]))
    assert x["a"].tolist() == [[2, 2], [0, 0]] and x["a"].dtype == torch.float32
    assert y.tolist() == [2, 0]
    assert weight is not None and weight.tolist() == [0.5, 0.5]


def test_an_empty_fetch_keeps_the_shapes() -> None:
    x, y, weight = TorchDataset(Items([((torch.ones(2), torch.ones(3, 1)), 1)])).fetch(
        torch.empty(0, dtype=torch.int64)
    )
    assert [tuple(part.shape) for part in x] == [(0, 2), (0, 3, 1)]
    assert y.shape == (0,) and weight is None


@pytest.mark.parametrize(
    ("items", "kind", "text"),
    [
        ([], DataError, "the dataset has no items"),
        ([(object(), 1)], DataError, "items that cannot be made a batch (object)"),
        ([(torch.ones(2), 1), (torch.ones(3), 1)], ShapeError, "items of different sizes"),
        ([(torch.ones(2), "cat")], DataError, "y: strings where numbers belong, the first 'cat'"),
        ([(1, 2, 3, 4)], ShapeError, "a batch of 4 parts"),
    ],
)
def test_items_that_do_not_fit(items: list[Any], kind: type[Exception], text: str) -> None:
    with pytest.raises(kind) as caught:
        TorchDataset(Items(items)).fetch(torch.arange(len(items)))
    assert text in str(caught.value)


def test_ready_batches_warn_and_come_as_tensors() -> None:
    with pytest.warns(ResumeWarning, match="not promised"):
        batches = Batches([(np.ones((2, 3)), [0, 1]), [torch.ones(1, 3), [1], [2.0]]])
    assert batches.steps(99) == 2
    for _ in range(2):
        first, second = batches.run(99)
        assert first[0].dtype == torch.float32 and first[1].tolist() == [0, 1] and first[2] is None
        assert second[2] is not None and second[2].tolist() == [2.0]


def test_a_torch_loader_gives_its_own_batches() -> None:
    loader = DataLoader(TensorDataset(torch.arange(5), torch.arange(5)), batch_size=2)
    with pytest.warns(ResumeWarning, match="Pass the loader's dataset and a batch_size instead"):
        batches = Batches(loader)
    assert batches.steps(99) == 3
    assert [x.tolist() for x, _, _ in batches.run(99)] == [[0, 1], [2, 3], [4]]


def test_the_items_of_an_iterable_dataset_are_rows() -> None:
    with pytest.warns(ResumeWarning):
        batches = Batches(Stream())
    assert batches.steps(2) is None
    assert [y.tolist() for _, y, _ in batches.run(2)] == [[0, 1], [2, 3], [4]]


def test_an_iterator_runs_once_and_a_function_again() -> None:
    with pytest.warns(ResumeWarning):
        once, again = Batches(iter([[torch.ones(1)]])), Batches(lambda: iter([[torch.ones(1)]]))
    assert len(list(once.run(1))) == 1
    with pytest.raises(DataError, match="no batches left: an iterator runs once. Pass a function"):
        list(once.run(1))
    assert [len(list(again.run(1))) for _ in range(2)] == [1, 1]
    with pytest.warns(ResumeWarning), pytest.raises(DataError, match="x: no batches$"):
        list(Batches([]).run(1))


def test_rows_of_a_batch_must_agree() -> None:
    with pytest.warns(ResumeWarning):
        batches = Batches([(torch.ones(3), torch.ones(2))])
    with pytest.raises(DataError, match="x has 3 rows, y has 2"):
        list(batches.run(1))
