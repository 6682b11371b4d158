from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lepton_ai.core import ConfigError, DataError, ShapeError
from lepton_ai.data import Arrays, Loader, Schema, Stream, build_profile
from lepton_ai.data.stream import regroup
from lepton_ai.layers import Dense
from lepton_ai.models import Sequential, distributed_train


class Shards:
    """Consecutive numbers in shards of `sizes` rows, read `chunk` at a time; counts what was read."""

    def __init__(self, sizes: list[int], chunk: int = 3) -> None:
        self.first = np.concatenate([[0], np.cumsum(sizes)]).tolist()
        self.chunk, self.rows_read = chunk, 0

    def read(self, shard: int, start: int) -> Iterator[Any]:
        for first in range(self.first[shard] + start, self.first[shard + 1], self.chunk):
            x = torch.arange(first, min(first + self.chunk, self.first[shard + 1]))
            self.rows_read += len(x)
            yield x, x * 2

    def stream(self, buffer: int, lengths: list[int | None] | None = None) -> Stream:
        return Stream(range(len(self.first) - 1), self.read, lengths=lengths, buffer=buffer)


cases = st.fixed_dictionaries(
    {
        "sizes": st.lists(st.integers(0, 9), min_size=1, max_size=6).filter(any),
        "known": st.sampled_from(["all", "none", "some"]),
        "buffer": st.integers(1, 12),
        "batch_size": st.integers(1, 7),
        "shuffle": st.booleans(),
        "seed": st.integers(0, 3),
        "steps": st.none() | st.integers(1, 9),
    }
)


def make(case: dict[str, Any], rank: int = 0, world: int = 1) -> Loader:
    sizes = case["sizes"]
    lengths = [
        n if case["known"] == "all" or (case["known"] == "some" and i % 2) else None for i, n in enumerate(sizes)
    ]
    stream = Shards(sizes).stream(case["buffer"], lengths)
    return Loader(
        stream,
        case["batch_size"],
        shuffle=case["shuffle"],
        seed=case["seed"],
        steps=case["steps"],
        rank=rank,
        world=world,
    )


def seen(loader: Loader, epoch: int, start: int = 0) -> list[tuple[list[int], list[int]]]:
    return [(batch.x.tolist(), batch.positions.tolist()) for batch in loader.epoch(epoch, start)]


@settings(max_examples=80, deadline=None)
@given(cases, st.integers(0, 2))
def test_no_row_is_lost_or_doubled_in_a_pass(case: dict[str, Any], epochs: int) -> None:
    total = sum(case["sizes"])
    loader = make(case)
    flat: list[int] = []
    for epoch in range(epochs + 1):
        batches = seen(loader, epoch)
        rows = [row for batch, _ in batches for row in batch]
        assert [place for _, places in batches for place in places] == list(range(len(rows)))
        if case["steps"] is None:
            assert sorted(rows) == list(range(total))
            assert all(len(batch) == case["batch_size"] for batch, _ in batches[:-1])
        else:
            assert [len(batch) for batch, _ in batches] == [case["batch_size"]] * case["steps"]
        flat += rows
    for first in range(0, len(flat), total):  # passes follow each other over the borders of epochs
        part = flat[first : first + total]
        assert len(set(part)) == len(part) and (len(part) < total or sorted(part) == list(range(total)))


@settings(max_examples=80, deadline=None)
@given(cases, st.integers(0, 2), st.data())
def test_a_resumed_run_sees_what_it_would_have_seen(case: dict[str, Any], epoch: int, data: st.DataObject) -> None:
    running = make(case)
    for before in range(epoch):
        seen(running, before)
    whole = seen(running, epoch)
    start = data.draw(st.integers(0, len(whole)))
    assert seen(make(case), epoch, start) == whole[start:]  # a new process, which knows no lengths
    assert seen(running, epoch, start) == whole[start:]  # the same, back


@settings(max_examples=80, deadline=None)
@given(cases, st.integers(1, 4), st.integers(0, 2))
def test_workers_together_see_what_one_sees(case: dict[str, Any], world: int, epoch: int) -> None:
    whole = list(make(case).epoch(epoch))
    shares = [list(make(case).share(rank, world).epoch(epoch)) for rank in range(world)]
    assert all(len(share) == len(whole) for share in shares)
    for step, batch in enumerate(whole):
        parts = [share[step] for share in shares]
        assert [row for part in parts for row in part.x.tolist()] == batch.x.tolist()
        assert [row for part in parts for row in part.y.tolist()] == (batch.x * 2).tolist()
        assert [place for part in parts for place in part.positions.tolist()] == batch.positions.tolist()
        assert all(part.global_rows == len(batch.x) for part in parts)


def test_shuffled_anew_in_each_epoch_and_alike_for_a_seed() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        loader = Loader(Shards([20, 20, 20]).stream(16), 8, shuffle=True, seed=seed)
        return [row for rows, _ in seen(loader, epoch) for row in rows]

    assert order(1, 0) == order(1, 0)
    assert order(1, 0) != order(1, 1) != order(2, 1)
    assert order(1, 0) != sorted(order(1, 0))


def test_memory_is_bounded_by_the_buffer() -> None:
    shards = Shards([100] * 5, chunk=10)
    given_out = 0
    for rows, _, _ in shards.stream(buffer=50).rows(0, 0, seed=3):
        assert shards.rows_read - given_out <= 50 + 10
        given_out += len(rows)
    assert given_out == 500


def test_a_resume_skips_whole_shards_of_known_length() -> None:
    shards = Shards([1000, 1000, 1000], chunk=10)
    stream = shards.stream(buffer=20, lengths=[1000, 1000, 1000])
    assert len(next(stream.rows(0, 2500, seed=0))[0]) == 20
    assert shards.rows_read <= 30
    shards = Shards([1000, 1000, 1000], chunk=10)
    stream = shards.stream(buffer=20)
    assert (stream.length, stream.steps(7)) == (None, None)
    list(stream.rows(0, 0, None))
    assert (stream.length, stream.steps(7)) == (3000, 429)  # learnt by reading
    shards.rows_read = 0
    next(stream.rows(4, 2500, seed=0))
    assert shards.rows_read <= 30


def test_what_is_read_is_checked() -> None:
    with pytest.raises(ConfigError, match="Stream: no shards. Give at least one"):
        Stream([], lambda shard, start: [])
    with pytest.raises(ConfigError, match="Stream.buffer: got 0, expected a positive int"):
        Shards([1]).stream(0)
    with pytest.raises(ConfigError, match="Stream.lengths: got 2, expected one for each of 1 shards"):
        Shards([1]).stream(1, [1, 2])
    with pytest.raises(DataError, match="Stream: no rows in 2 shards"):
        Shards([0, 0]).stream(4).peek(1)
    with pytest.raises(DataError, match="no rows in 1 shards"):
        next(Shards([0]).stream(4).endless(5, 0))
    with pytest.raises(DataError, match="Stream, shard 1: 3 rows, expected 4"):
        list(Shards([2, 3]).stream(4, [2, 4]).rows(0, 0, None))

    def ragged(width: int, start: int) -> Iterator[Any]:
        yield torch.zeros(2, width)

    text = r"Stream, shard 3: got \('x', 'float32', \(3,\)\), expected \('x', 'float32', \(2,\)\), as before"
    with pytest.raises(ShapeError, match=text):
        list(Stream([2, 3], ragged).rows(0, 0, None))


def test_nests_weights_and_arrays_are_regrouped() -> None:
    rows = [({"a": torch.tensor([i])}, (torch.tensor([i]), torch.tensor([-i])), torch.tensor([1.0])) for i in range(5)]
    first, second, third = regroup(rows, 2)
    assert first[0]["a"].tolist() == [0, 1] and second[1][1].tolist() == [-2, -3] and third[2] is not None
    assert list(regroup([], 3)) == []


def test_after_a_failure_the_stream_is_read_anew() -> None:
    calls = iter([True, False])

    def read(shard: int, start: int) -> Iterator[Any]:
        yield torch.arange(3)[start:]
        if next(calls, False):
            raise OSError("the disk is away")
        yield torch.arange(3, 6)

    loader = Loader(Stream([0], read), 3, steps=2)
    with pytest.raises(OSError, match="the disk is away"):
        list(loader.epoch(0))
    assert [rows for rows, _ in seen(loader, 0)] == [[0, 1, 2], [3, 4, 5]]


def test_texts_stream_as_they_are() -> None:
    stream = Stream([0, 3], lambda shard, start: [(["ab", "", "c"][start:], [shard, 1, 2][start:])], buffer=4)
    for seed in (None, 1):
        found = [
            (text, label)
            for x, y, _ in regroup(stream.rows(0, 0, seed), 2)
            for text, label in zip(x.tolist(), y.tolist(), strict=True)
        ]
        assert sorted(found) == [("", 1), ("", 1), ("ab", 0), ("ab", 3), ("c", 2), ("c", 2)]
    assert stream.head(2).fetch(torch.tensor([0]))[0].tolist() == ["ab"]


def test_a_stream_has_a_schema_and_a_profile() -> None:
    stream = Stream(
        [0],
        lambda shard, start: [(torch.ones(6, 2), torch.tensor([0, 1, 0, 1, 0, 1]))],
        labels=["no", "yes"],
        names=["a", "b"],
    )
    schema = Schema.of(stream)
    assert [field.name for field in schema.inputs] == ["x"] and schema.targets[0].high == 1
    profile = build_profile(stream, names=stream.names)
    assert profile.rows == 6 and [feature.name for feature in profile.inputs["input"]] == ["a", "b"]
    assert profile.targets[0].categories == {"no": 3, "yes": 3}


def test_a_batch_fetched_ahead_is_the_same_and_fails_in_its_place() -> None:
    class Slow(Arrays):
        prefetch = 2

        def fetch(self, indices: Any) -> Any:
            if 5 in indices:
                raise DataError("row 5 is broken")
            return super().fetch(indices)

    loader = Loader(Slow(torch.arange(9)), 2)
    batches = loader.epoch(0)
    assert [next(batches).x.tolist(), next(batches).x.tolist()] == [[0, 1], [2, 3]]
    with pytest.raises(DataError, match="row 5 is broken"):
        next(batches)
    plain = Loader(Arrays(torch.arange(5)), 2, shuffle=True, seed=4)
    ahead = Loader(Slow(torch.arange(5)), 2, shuffle=True, seed=4)
    assert seen(plain, 1) == seen(ahead, 1)
    next(ahead.epoch(0)).x  # left half-way: its thread ends


def test_fit_learns_from_a_stream_and_resumes(tmp_path: Path) -> None:
    x = torch.randn(64, 3, generator=torch.Generator().manual_seed(0))
    y = (x[:, 0] > 0).long()

    def read(shard: int, start: int) -> Iterator[Any]:
        yield x[shard * 16 + start : shard * 16 + 16], y[shard * 16 + start : shard * 16 + 16]

    def fitted(epochs: int, run: Path | None) -> Any:
        model = Sequential([Dense(2, activation="softmax", input_shape=(3,))])
        model.compile("adam", "sparse_categorical_crossentropy")
        stream = Stream(range(4), read, buffer=20, names=["a", "b", "c"], labels=["no", "yes"])
        history = model.fit(stream, epochs=epochs, batch_size=8, seed=1, verbose=0, run=run)
        assert model.profile is not None and model.profile.rows == 64 and tuple(model.labels) == ("no", "yes")
        return history.history["loss"]

    whole = fitted(4, None)
    fitted(2, tmp_path / "run")
    assert fitted(4, tmp_path / "run") == whole
    assert whole[-1] < whole[0]


def learner() -> Sequential:
    model = Sequential([Dense(2, activation="softmax", input_shape=(1,))])
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


def halves(shard: int, start: int) -> Iterator[Any]:
    x = torch.arange(shard * 16 + start, shard * 16 + 16).to(torch.float32)[:, None] / 64
    yield x, (x[:, 0] > 0.5).long()


def test_steps_of_an_endless_stream_resume_where_they_were(tmp_path: Path) -> None:
    def fitted(epochs: int, run: Path | None) -> Any:
        stream = Stream(range(4), halves, buffer=20)
        options: dict[str, Any] = {"epochs": epochs, "steps_per_epoch": 3, "batch_size": 10, "seed": 1, "verbose": 0}
        return learner().fit(stream, run=run, **options).history["loss"]

    whole = fitted(4, None)  # 120 rows: nearly two passes
    fitted(2, tmp_path / "run")
    assert fitted(4, tmp_path / "run") == whole


def test_two_workers_learn_what_one_does() -> None:
    losses = [
        distributed_train(
            learner(), Stream(range(4), halves, buffer=20), epochs=2, batch_size=8, num_workers=workers, verbose=0
        )
        for workers in (1, 2)
    ]
    np.testing.assert_allclose(losses[0].history["loss"], losses[1].history["loss"], rtol=1e-5)
