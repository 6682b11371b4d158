from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lepton_ai.core import ConfigError, DataError
from lepton_ai.data import Arrays, Batch, Batches, Loader, ResumeWarning, Subset
from lepton_ai.rng import permutation


def rows(batch: Batch) -> list[int]:
    return [int(value) for value in batch.x.tolist()]


def flat(batches: Iterator[Batch]) -> list[int]:
    return [row for batch in batches for row in rows(batch)]


cases = st.fixed_dictionaries(
    {
        "size": st.integers(1, 40),
        "batch_size": st.integers(1, 17),
        "shuffle": st.booleans(),
        "seed": st.integers(0, 5),
        "steps": st.none() | st.integers(1, 12),
    }
)


def make(case: dict[str, Any], **more: Any) -> Loader:
    source = Arrays(torch.arange(case["size"]), torch.arange(case["size"]) * 2)
    return Loader(source, **{name: value for name, value in case.items() if name != "size"}, **more)


@settings(max_examples=80, deadline=None)
@given(cases, st.integers(1, 5), st.integers(0, 3))
def test_workers_together_see_what_one_sees(case: dict[str, Any], world: int, epoch: int) -> None:
    whole = list(make(case).epoch(epoch))
    shards = [list(make(case, rank=rank, world=world).epoch(epoch)) for rank in range(world)]
    assert all(len(shard) == len(whole) for shard in shards)
    for step, batch in enumerate(whole):
        parts = [shard[step] for shard in shards]
        assert [row for part in parts for row in rows(part)] == rows(batch)
        assert [p for part in parts for p in part.positions.tolist()] == batch.positions.tolist()
        assert [len(part.x) for part in parts] == [len(p) for p in np.array_split(np.arange(len(batch.x)), world)]
        assert all(part.global_rows == batch.global_rows == len(batch.x) for part in parts)
        assert batch.y.tolist() == [row * 2 for row in rows(batch)]


@settings(max_examples=80, deadline=None)
@given(cases, st.integers(0, 3), st.data())
def test_to_seek_is_to_skip(case: dict[str, Any], epoch: int, data: st.DataObject) -> None:
    loader = make(case)
    start = data.draw(st.integers(0, loader.steps_per_epoch or 0))
    whole = [(rows(batch), batch.positions.tolist()) for batch in loader.epoch(epoch)]
    assert [(rows(batch), batch.positions.tolist()) for batch in loader.epoch(epoch, start)] == whole[start:]


@settings(max_examples=80, deadline=None)
@given(cases, st.integers(0, 3))
def test_no_row_is_lost_or_doubled_in_a_pass(case: dict[str, Any], epoch: int) -> None:
    loader, size = make(case), case["size"]
    seen = flat(loader.epoch(epoch))
    assert len(seen) == (size if case["steps"] is None else case["steps"] * case["batch_size"])
    for first in range(0, len(seen) - size + 1, size):
        assert sorted(seen[first : first + size]) == list(range(size))
    tail = seen[len(seen) // size * size :]
    assert len(set(tail)) == len(tail)
    assert flat(loader.epoch(epoch)) == seen


def test_order_is_the_permutation_of_seed_and_epoch() -> None:
    loader = Loader(Arrays(torch.arange(20)), 6, shuffle=True, seed=3)
    for epoch in range(3):
        assert flat(loader.epoch(epoch)) == permutation(3, epoch, 20).tolist()
    assert flat(loader.epoch(0)) != flat(loader.epoch(1))


def test_every_pass_of_a_long_epoch_is_shuffled_anew() -> None:
    loader = Loader(Arrays(torch.arange(30)), 20, shuffle=True, steps=3)
    seen = [flat(loader.epoch(epoch)) for epoch in range(3)]
    passes = [tuple(each[first : first + 30]) for each in seen for first in (0, 30)]
    assert len(set(passes)) == 6
    assert loader.steps_per_epoch == 3


def test_the_last_batch_is_partial() -> None:
    loader = Loader(Arrays(torch.arange(5)), 3)
    assert loader.steps_per_epoch == 2
    assert [len(batch.x) for batch in loader.epoch(0)] == [3, 2]
    assert list(loader.epoch(0))[1].positions.dtype == torch.int32
    assert list(loader.epoch(0, start=2)) == []


def test_a_subset_loads_like_any_source() -> None:
    loader = Loader(Subset(Arrays(torch.arange(10)), [7, 8, 9]), 2)
    assert [rows(batch) for batch in loader.epoch(0)] == [[7, 8], [9]]


def foreign(sizes: list[int]) -> Batches:
    ends = np.cumsum(sizes)
    with pytest.warns(ResumeWarning):
        return Batches(
            [(torch.arange(end - size, end), torch.ones(size)) for end, size in zip(ends, sizes, strict=True)]
        )


def test_ready_batches_are_sliced_and_counted() -> None:
    shards = [list(Loader(foreign([3, 2]), 9, rank=rank, world=2).epoch(0)) for rank in range(2)]
    assert [[rows(batch) for batch in shard] for shard in shards] == [[[0, 1], [3]], [[2], [4]]]
    assert [batch.positions.tolist() for batch in shards[1]] == [[2], [4]]
    assert [batch.global_rows for batch in shards[1]] == [3, 2]
    loader = Loader(foreign([3, 2]), 9)
    assert loader.steps_per_epoch == 2
    assert [rows(batch) for batch in loader.epoch(4, start=1)] == [[3, 4]]
    assert [batch.positions.tolist() for batch in loader.epoch(4, start=1)] == [[3, 4]]


def test_steps_of_ready_batches_go_on_pass_after_pass() -> None:
    loader = Loader(foreign([1, 1, 1]), 9, steps=2)
    assert [flat(loader.epoch(epoch)) for epoch in range(3)] == [[0, 1], [2, 0], [1, 2]]


def test_an_iterator_gives_what_it_has() -> None:
    with pytest.warns(ResumeWarning):
        batches = Batches(iter([torch.ones(1)] * 3))
    loader = Loader(batches, 1, steps=2)
    assert loader.steps_per_epoch == 2
    assert len(list(loader.epoch(0))) == 2
    with pytest.raises(DataError, match="no batches left"):
        list(loader.epoch(1))
    with pytest.warns(ResumeWarning):
        assert Loader(Batches(iter([])), 1).steps_per_epoch is None


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"batch_size": 0}, "Loader.batch_size: got 0, expected a positive int"),
        ({"batch_size": 2.0}, "Loader.batch_size: got 2.0"),
        ({"steps": 0}, "Loader.steps: got 0"),
        ({"world": 0}, "Loader.world: got 0"),
        ({"rank": 1}, "Loader.rank: got 1, expected 0 to 0"),
        ({"batch_size": 2**20, "steps": 2**11}, "expected at most 2147483647 rows in an epoch"),
    ],
)
def test_settings_that_cannot_be(arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Loader(Arrays([1.0]), **{"batch_size": 1, **arguments})
    assert text in str(caught.value)


@pytest.mark.filterwarnings("ignore::lepton_ai.data.ResumeWarning")
@pytest.mark.parametrize("ready", [False, True])
def test_pairs_stay_with_one_worker(ready: bool) -> None:
    """No cut separates the positions 0 and 1, 2 and 3, and so on, wherever batches begin."""
    rows = [torch.arange(5.0), torch.arange(5.0, 7.0)]

    def source() -> Any:
        return Batches([(each, each) for each in rows]) if ready else Arrays(np.arange(7.0), np.arange(7.0))

    cuts = [
        [batch.positions.tolist() for batch in Loader(source(), 5, rank=rank, world=2, pairs=True).epoch(0)]
        for rank in range(2)
    ]
    assert cuts == [[[0, 1, 2, 3], [5]], [[4], [6]]]
    plain = [each.positions.tolist() for each in Loader(source(), 5, world=2).epoch(0)]
    assert plain == [[0, 1, 2], [5]]


def test_start_lies_in_the_epoch() -> None:
    with pytest.raises(ConfigError, match="start: got 3, expected 0 to 2"):
        Loader(Arrays([1.0, 2.0]), 1).epoch(0, start=3)
