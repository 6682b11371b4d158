"""Sources that change their inputs on the way, and sources that hold texts."""

from typing import Any

import numpy as np
import pandas
import pytest
import torch

from lepton_ai.core import DataError
from lepton_ai.data import (
    Arrays,
    Batches,
    Indexed,
    Loader,
    Mapped,
    ResumeWarning,
    Stream,
    Subset,
    as_source,
    map_inputs,
)

X = torch.arange(6.0)


def tenfold(x: Any) -> Any:
    return x * 10


class Lazy(Indexed):
    labels = ("no", "yes")

    def __len__(self) -> int:
        return len(X)

    def fetch(self, indices: torch.Tensor) -> tuple[Any, Any, Any]:
        return X[indices], None, None


def test_what_is_in_memory_is_changed_once() -> None:
    calls: list[int] = []

    def change(x: torch.Tensor) -> torch.Tensor:
        calls.append(len(x))
        return x * 10

    source = Arrays(X, torch.arange(6), [1.0] * 6)
    source.labels = ("a",)
    found = map_inputs(source, change)
    assert isinstance(found, Arrays) and found.labels == ("a",)
    for epoch in range(2):
        assert [batch.x.tolist() for batch in Loader(found, 4).epoch(epoch)] == [[0, 10, 20, 30], [40, 50]]
    assert calls == [1, 6] and found.weight_all is not None
    assert map_inputs(Subset(source, [4, 1]), change).fetch(torch.arange(2))[0].tolist() == [40, 10]  # type: ignore[union-attr]


def test_what_would_become_too_large_is_changed_batch_by_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lepton_ai.data.mapped.ROOM", 6 * 40 - 1)

    def wide(x: torch.Tensor) -> torch.Tensor:
        return x[:, None].expand(-1, 10)

    found = map_inputs(Arrays(X), wide)
    assert isinstance(found, Mapped) and found.fetch(torch.tensor([3]))[0].shape == (1, 10)
    assert isinstance(map_inputs(Arrays(X[:5]), wide), Arrays)


def test_what_is_not_is_changed_batch_by_batch() -> None:
    found = map_inputs(Lazy(), tenfold)
    assert isinstance(found, Mapped) and found.labels == ("no", "yes") and found.x_all is None
    assert found.fetch(torch.tensor([5, 0]))[0].tolist() == [50, 0]
    assert np.array_equal(found.order(3, 1), Lazy().order(3, 1))


def test_streams_and_batches() -> None:
    stream = Stream([0, 3], lambda shard, start: iter([X[shard + start : shard + 3]]), lengths=[3, 3], buffer=2)
    changed = map_inputs(stream, tenfold)
    assert isinstance(changed, Stream) and changed.length == 6
    wanted = [x * 10 for x, _, _ in stream.rows(0, 1, seed=4)]
    assert torch.equal(torch.cat([x for x, _, _ in changed.rows(0, 1, seed=4)]), torch.cat(wanted))
    with pytest.warns(ResumeWarning):
        batches = map_inputs(Batches([X[:4], X[4:]]), tenfold)
    assert [batch.x.tolist() for batch in Loader(batches, 2).epoch(0)] == [[0, 10, 20, 30], [40, 50]]
    assert isinstance(batches, Batches) and batches.steps(2) == 2 and batches.peek(1)[0].tolist() == [0, 10, 20, 30]


@pytest.mark.parametrize(
    "given",
    [
        ["a", "b", "c"],
        np.array(["a", "b", "c"]),
        np.array(["a", "b", "c"], np.dtypes.StringDType()),
        np.array(["a", "b", "c"], object),
        pandas.Series(["a", "b", "c"]),
        pandas.Series(["a", "b", "c"], dtype="category"),
    ],
    ids=lambda given: f"{type(given).__name__} {getattr(given, 'dtype', '')}",
)
def test_texts_stay_as_they_are_where_they_are_asked_for(given: Any) -> None:
    source = as_source(given, [0, 1, 0], texts=True)
    assert isinstance(source, Arrays)
    found = source.fetch(torch.tensor([2, 0]))[0]
    assert found.dtype == object and found.tolist() == ["c", "a"]
    assert source.part(1, 3).x_all.tolist() == ["b", "c"]
    with pytest.raises(DataError, match="where numbers belong|holds no numbers"):
        as_source(given)


def test_numbers_and_texts_side_by_side() -> None:
    source = as_source({"n": [1.0, 2.0], "t": ["a", None]}, texts=True)
    assert isinstance(source, Arrays)
    x = source.fetch(torch.tensor([1]))[0]
    assert x["n"].tolist() == [2.0] and x["t"].tolist() == [None]
