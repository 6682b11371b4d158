"""The batcher: its rule, its isolation, and that nothing is ever lost, doubled or swapped."""

import asyncio
import functools
import time
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lepton_ai.bundle import Array, Bundle, Signature
from lepton_ai.core import DataError, UnavailableError
from lepton_ai.serving import (
    Answer,
    Batcher,
    BatchRan,
    DisconnectedError,
    LateError,
    QueueFullError,
    ServedModel,
    ServerConfig,
)
from tests.contracts import graphs
from tests.contracts.bundles import signature, spec, write_bundle

POISON = -1.0
FREE = signature((spec("x", shape=(-1, -1)),), (spec("y", shape=(-1, -1)),))
FIXED = signature((spec("x", shape=(1, -1)),), (spec("y", shape=(1, -1)),))


class FakeRuntime:
    """Doubles its rows; cannot compute POISON; remembers what it was given."""

    def __init__(self, sign: Signature = FREE, *, loses_rows: bool = False) -> None:
        self.signature = sign
        self.loses_rows = loses_rows
        self.runs: list[list[float]] = []
        self.closed = False
        self.meanwhile: Callable[[], object] = lambda: None

    def run(self, feed: Mapping[str, Array]) -> dict[str, Array]:
        x = feed["x"]
        self.meanwhile()
        self.runs.append(x[:, 0].tolist())
        if (x == POISON).any():
            raise DataError("poison")
        return {"y": x[:1] * 2 if self.loses_rows else x * 2}

    def close(self) -> None:
        self.closed = True


class StepExecutor(Executor):
    """Runs nothing until it is told to."""

    def __init__(self) -> None:
        self.jobs: list[Callable[[], None]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.jobs.append(lambda: future.set_result(fn(*args, **kwargs)))
        return future

    def step(self) -> bool:
        if self.jobs:
            self.jobs.pop(0)()
            return True
        return False


async def turn(times: int = 3) -> None:
    for _ in range(times):
        await asyncio.sleep(0)


async def drain(executor: StepExecutor) -> None:
    await turn()
    while executor.step():
        await turn()


def rows(*values: float, width: int = 1) -> dict[str, Array]:
    return {"x": np.repeat(np.array(values, "float32")[:, None], width, axis=1)}


Tasks = list[asyncio.Task[Answer]]


class Bench:
    """A batcher over a fake runtime, driven step by step."""

    def __init__(
        self, sign: Signature = FREE, *, loses_rows: bool = False, max_batch: int = 64, **options: Any
    ) -> None:
        self.runtime = FakeRuntime(sign, loses_rows=loses_rows)
        self.executor = StepExecutor()
        self.now = 0.0
        self.batcher = Batcher(
            self.runtime, executor=self.executor, max_batch=max_batch, clock=lambda: self.now, **options
        )
        self.events: list[BatchRan] = []
        self.batcher.batches.subscribe(self.events.append)

    def send(
        self, *values: float, width: int = 1, gone: Callable[[], bool] | None = None, **options: Any
    ) -> asyncio.Task[Answer]:
        return asyncio.ensure_future(self.batcher.infer(rows(*values, width=width), gone=gone, **options))


def play(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(scenario())


def values(task: asyncio.Task[Answer]) -> list[float]:
    found: list[float] = task.result().outputs["y"][:, 0].tolist()
    return found


def test_a_lone_request_goes_at_once_and_the_rest_goes_together() -> None:
    async def scenario() -> None:
        bench = Bench()
        first = bench.send(1)
        await turn()
        assert len(bench.executor.jobs) == 1, "nothing else was waited for"
        others = [bench.send(2), bench.send(3, 4), bench.send(5)]
        await drain(bench.executor)
        assert bench.runtime.runs == [[1], [2, 3, 4, 5]]
        assert [values(task) for task in (first, *others)] == [[2], [4], [6, 8], [10]]
        assert [(event.requests, event.rows, event.failed) for event in bench.events] == [(1, 1, 0), (3, 4, 0)]
        assert bench.events[1].inputs["x"].shape == (4, 1) and bench.events[1].outputs["y"].shape == (4, 1)

    play(scenario)


def test_what_arrives_in_one_turn_of_the_loop_goes_together() -> None:
    async def scenario() -> None:
        bench = Bench()
        tasks = [bench.send(value) for value in (1, 2, 3)]
        await drain(bench.executor)
        assert bench.runtime.runs == [[1, 2, 3]] and [values(task) for task in tasks] == [[2], [4], [6]]

    play(scenario)


def test_max_batch_counts_rows_and_never_splits_a_request() -> None:
    async def scenario() -> None:
        bench = Bench(max_batch=4)
        tasks = [bench.send(1, 1, 1), bench.send(2, 2), bench.send(3), bench.send(*[4.0] * 9), bench.send(5)]
        await drain(bench.executor)
        assert [len(run) for run in bench.runtime.runs] == [4, 3, 9]
        assert bench.runtime.runs[0] == [1, 1, 1, 3] and bench.runtime.runs[1] == [2, 2, 5]
        assert [len(values(task)) for task in tasks] == [3, 2, 1, 9, 1]

    play(scenario)


def test_other_shapes_wait_for_their_own_batch() -> None:
    async def scenario() -> None:
        bench = Bench()
        tasks = [bench.send(1, width=1), bench.send(2, width=2), bench.send(3, width=1), bench.send(4, width=2)]
        await drain(bench.executor)
        assert bench.runtime.runs == [[1, 3], [2, 4]]
        assert tasks[3].result().outputs["y"].tolist() == [[8, 8]]

    play(scenario)


def test_a_fixed_batch_size_is_never_merged() -> None:
    async def scenario() -> None:
        bench = Bench(FIXED)
        tasks = [bench.send(value) for value in (1, 2)]
        await drain(bench.executor)
        assert bench.runtime.runs == [[1], [2]] and [values(task) for task in tasks] == [[2], [4]]

    play(scenario)


def test_a_bad_request_fails_alone() -> None:
    async def scenario() -> None:
        bench = Bench()
        tasks = [bench.send(1), bench.send(POISON), bench.send(3)]
        await drain(bench.executor)
        assert bench.runtime.runs == [[1, POISON, 3], [1], [POISON], [3]]
        assert values(tasks[0]) == [2] and values(tasks[2]) == [6]
        with pytest.raises(DataError, match="poison"):
            tasks[1].result()
        assert bench.events[0].failed == 1 and not bench.events[0].inputs

    play(scenario)


def test_a_model_that_loses_rows_is_never_believed_in_a_batch() -> None:
    async def scenario() -> None:
        bench = Bench(loses_rows=True)
        tasks = [bench.send(1), bench.send(2)]
        await drain(bench.executor)
        assert bench.runtime.runs == [[1, 2], [1], [2]] and [values(task) for task in tasks] == [[2], [4]]

    play(scenario)


def test_cancelled_and_gone_requests_cost_nothing() -> None:
    async def scenario() -> None:
        bench = Bench()
        first = bench.send(1)
        await turn()
        cancelled, gone, kept = bench.send(2), bench.send(3, gone=lambda: True), bench.send(4, gone=lambda: False)
        await turn()
        cancelled.cancel()
        await drain(bench.executor)
        assert bench.runtime.runs == [[1], [4]] and values(first) == [2] and values(kept) == [8]
        assert cancelled.cancelled()
        with pytest.raises(DisconnectedError):
            gone.result()

    play(scenario)


def test_cancelling_while_computing_harms_nobody() -> None:
    async def scenario() -> None:
        bench = Bench()
        tasks = [bench.send(1), bench.send(2)]
        await turn()
        tasks[0].cancel()
        await drain(bench.executor)
        assert tasks[0].cancelled() and values(tasks[1]) == [4]

    play(scenario)


def test_cancelling_while_a_failed_batch_is_retried_spares_the_rest() -> None:
    async def scenario() -> None:
        bench = Bench()
        tasks = [bench.send(POISON), bench.send(2), bench.send(3)]
        bench.runtime.meanwhile = tasks[1].cancel
        await drain(bench.executor)
        assert bench.runtime.runs == [[POISON, 2, 3], [POISON], [3]] and tasks[1].cancelled()
        assert values(tasks[2]) == [6]

    play(scenario)


def test_the_queue_is_bounded_and_the_dead_make_room() -> None:
    async def scenario() -> None:
        bench = Bench(max_queue=2)
        running = bench.send(1)
        await turn()
        waiting = [bench.send(2), bench.send(3)]
        await turn()
        refused = bench.send(4)
        await turn()
        with pytest.raises(UnavailableError, match="2 requests wait already. Try again in a moment."):
            refused.result()
        waiting[0].cancel()
        await turn()
        late = bench.send(5)
        await drain(bench.executor)
        assert [values(task) for task in (running, waiting[1], late)] == [[2], [6], [10]]

    play(scenario)


def test_bytes_that_wait_are_bounded() -> None:
    async def scenario() -> None:
        bench = Bench(max_queue_bytes=95)
        running = bench.send(1)
        await turn()
        waiting = bench.send(*range(20))
        refused = bench.send(2)
        await turn()
        with pytest.raises(QueueFullError, match="requests of 88 bytes wait already. Try again in a moment."):
            refused.result()
        await drain(bench.executor)
        assert values(running) == [2] and len(values(waiting)) == 20

    play(scenario)


def test_instances_compute_at_the_same_time() -> None:
    async def scenario() -> None:
        bench = Bench(instances=2)
        tasks = [bench.send(1)]
        await turn()
        tasks.append(bench.send(2))
        await turn()
        tasks += [bench.send(3), bench.send(4)]
        await turn()
        assert len(bench.executor.jobs) == 2 and bench.batcher.running == 2 and bench.batcher.waiting == 2
        await drain(bench.executor)
        assert bench.runtime.runs == [[1], [2], [3, 4]] and [values(task) for task in tasks] == [[2], [4], [6], [8]]

    play(scenario)


def test_the_late_are_dropped_before_they_cost_anything() -> None:
    async def scenario() -> None:
        bench = Bench()
        first = bench.send(1)
        await turn()
        late, kept, never = bench.send(2, deadline=5.0), bench.send(3, deadline=50.0), bench.send(4, deadline=0.0)
        await turn()
        bench.now = 10.0
        await drain(bench.executor)
        assert bench.runtime.runs == [[1], [3]] and values(first) == [2] and values(kept) == [6]
        for task in (late, never):
            with pytest.raises(LateError, match="the deadline passed"):
                task.result()

    play(scenario)


def test_nobody_waits_beyond_a_deadline_for_a_batch_that_takes_longer() -> None:
    async def scenario() -> None:
        bench = Bench()
        task = bench.send(1, deadline=0.01)
        with pytest.raises(LateError, match="before the answer was there"):
            await task
        await drain(bench.executor)
        assert bench.runtime.runs == [[1]] and bench.events[0].requests == 1

    play(scenario)


def test_priorities_go_first() -> None:
    async def scenario() -> None:
        bench = Bench(max_batch=1)
        tasks = [bench.send(1)]
        await turn()
        tasks += [bench.send(2), bench.send(3, priority=1), bench.send(4, priority=10)]
        await drain(bench.executor)
        assert bench.runtime.runs == [[1], [3], [2], [4]] and all(task.done() for task in tasks)

    play(scenario)


def test_a_full_queue_says_when_there_will_be_room() -> None:
    async def scenario() -> None:
        bench = Bench(max_queue=1)
        bench.batcher._pace = 2.0
        tasks = [bench.send(1)]
        await turn()
        tasks.append(bench.send(2, 3, 4))
        refused = bench.send(5)
        await turn()
        with pytest.raises(QueueFullError, match=r"1 requests wait already. Try again in 6 s.") as caught:
            refused.result()
        assert caught.value.retry_after == 6
        await drain(bench.executor)

    play(scenario)


def test_what_is_quick_is_computed_without_handing_it_over() -> None:
    async def scenario() -> None:
        bench = Bench(max_batch=3, batch_seconds=0.00001)
        tasks = [bench.send(1), bench.send(POISON), bench.send(3), bench.send(4)]
        await turn(6)
        assert bench.runtime.runs == [[1, POISON, 3], [1], [POISON], [3], [4]] and not bench.executor.jobs
        assert [values(tasks[index]) for index in (0, 2, 3)] == [[2], [6], [8]] and tasks[1].exception()
        large = bench.send(5, 6, 7, 8)
        await turn()
        assert len(bench.executor.jobs) == 1, "more rows than were timed"
        await drain(bench.executor)
        assert values(large) == [10, 12, 14, 16]
        bench.runtime.meanwhile = lambda: time.sleep(0.01)
        last = [bench.send(9)]
        await turn()
        last.append(bench.send(10))
        await turn()
        assert last[1].done() and not bench.executor.jobs, "once is nothing"
        last.append(bench.send(11))
        await turn()
        assert not last[2].done() and len(bench.executor.jobs) == 1, "it has become slow"
        await drain(bench.executor)
        bench.runtime.meanwhile = lambda: None
        for _ in range(30):
            bench.send(11)
            await drain(bench.executor)
        again = bench.send(12)
        await turn()
        assert again.done() and not bench.executor.jobs, "it was slow for a moment only"
        await bench.batcher.close()

    play(scenario)


def test_close_finishes_what_waits_and_refuses_what_comes() -> None:
    async def scenario() -> None:
        bench = Bench(max_batch=1)
        tasks = [bench.send(1), bench.send(2)]
        await turn()
        closing = asyncio.ensure_future(bench.batcher.close())
        await turn()
        with pytest.raises(UnavailableError, match="the server is stopping"):
            await bench.send(3)
        assert not closing.done()
        await drain(bench.executor)
        await closing
        assert bench.runtime.closed and [values(task) for task in tasks] == [[2], [4]]

    play(scenario)


def test_close_without_work_is_immediate() -> None:
    async def scenario() -> None:
        bench = Bench()
        await asyncio.wait_for(bench.batcher.close(), 5)
        assert bench.runtime.closed

    play(scenario)


def test_a_thread_of_its_own() -> None:
    async def scenario() -> None:
        batcher = Batcher(FakeRuntime())
        answers = await asyncio.gather(*(batcher.infer(rows(value)) for value in range(100)))
        assert [answer.outputs["y"].item() for answer in answers] == [2 * value for value in range(100)]
        await batcher.close()

    play(scenario)


SEND = st.tuples(
    st.just("send"), st.integers(1, 3), st.sampled_from([1, 2]), st.integers(0, 9), st.integers(0, 10),
    st.sampled_from([float("inf"), 3.0, 30.0]),
)  # fmt: skip
OPERATIONS = st.lists(
    st.one_of(
        SEND,
        st.tuples(st.just("cancel"), st.integers(0, 30)),
        st.tuples(st.just("leave"), st.integers(0, 30)),
        st.just(("step",)),
        st.just(("turn",)),
        st.just(("wait",)),
    ),
    max_size=40,
)


@given(
    operations=OPERATIONS,
    max_batch=st.integers(1, 6),
    sign=st.sampled_from([FREE, FIXED]),
    instances=st.integers(1, 3),
)
@settings(max_examples=80, deadline=None)
def test_never_lost_never_doubled_never_swapped(
    operations: list[tuple[Any, ...]], max_batch: int, sign: Signature, instances: int
) -> None:
    async def scenario() -> None:
        bench = Bench(sign, max_batch=max_batch, instances=instances)
        tasks: Tasks = []
        sent: list[tuple[list[float], int, bool]] = []
        deadlines: list[float] = []
        left: set[int] = set()
        cancelled: set[int] = set()
        for operation in operations:
            match operation:
                case ("send", count, width, luck, priority, patience):
                    number, poisoned = len(tasks), luck == 0
                    own = [number * 10.0 + row for row in range(count if sign is FREE else 1)]
                    own = [POISON] * len(own) if poisoned else own
                    gone = functools.partial(left.__contains__, number)
                    deadline = bench.now + patience
                    tasks.append(bench.send(*own, width=width, gone=gone, priority=priority, deadline=deadline))
                    deadlines.append(deadline)
                    sent.append((own, width, poisoned))
                case ("cancel", which) if which < len(tasks):
                    if tasks[which].cancel():
                        cancelled.add(which)
                case ("leave", which):
                    left.add(which)
                case ("step",):
                    bench.executor.step()
                    await turn()
                case ("turn",):
                    await turn()
                case ("wait",):
                    bench.now += 2.0
        await drain(bench.executor)
        assert bench.batcher.waiting == 0
        for number, (task, (own, width, poisoned)) in enumerate(zip(tasks, sent, strict=True)):
            assert task.done(), "a request was lost"
            if task.cancelled():
                assert number in cancelled
            elif isinstance(task.exception(), DisconnectedError):
                assert number in left
            elif isinstance(task.exception(), LateError):
                assert deadlines[number] <= bench.now
            elif poisoned:
                assert isinstance(task.exception(), DataError)
            else:
                assert task.result().outputs["y"].tolist() == [[2 * value] * width for value in own]
        computed = [value for run in bench.runtime.runs if POISON not in run for value in run]
        assert len(computed) == len(set(computed)), "a row was computed twice"
        assert all(len(run) <= max(max_batch, 3) for run in bench.runtime.runs)
        await bench.batcher.close()

    play(scenario)


@pytest.mark.parametrize(("seconds_of_four", "most"), [(0.04, 1), (0.02, 3)])
def test_rows_are_merged_only_where_it_pays(
    seconds_of_four: float, most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A single row takes 10 ms; four either as long as one after the other, or less."""
    seconds = {1: 0.01, 4: seconds_of_four}
    monkeypatch.setattr("lepton_ai.serving.model.time_rows", lambda runtime, rows: seconds[rows])
    path = write_bundle(tmp_path / "rows", name="rows", sign=graphs.ROWS, graphs={"fp32": graphs.rows_graph()})
    model = ServedModel.load(Bundle.open(path), config=ServerConfig(threads=1))

    async def main() -> list[int]:
        sizes: list[int] = []
        model.batcher.batches.subscribe(lambda event: sizes.append(event.rows))
        feeds = [{"x": np.full((1, 3), number, np.float32)} for number in range(3)]
        answers = await asyncio.gather(*map(model.batcher.infer, feeds))
        assert [answer.outputs["total"].tolist() for answer in answers] == [[[3.0 * number]] for number in range(3)]
        await model.close()
        return sizes

    sizes = asyncio.run(main())
    assert sum(sizes) == 3 and max(sizes) == most
