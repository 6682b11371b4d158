"""The waiting line: who goes next, with whom, and that nobody waits for ever, is lost or served twice."""

import asyncio
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from lepton_ai.serving import Answer, LateError, QueueFullError
from lepton_ai.serving.line import PATIENCE, Entry, WaitingLine


class Future:
    """As much of an asyncio future as a line needs, without a loop."""

    def __init__(self) -> None:
        self.error: BaseException | None = None
        self.ended = False

    def done(self) -> bool:
        return self.ended

    def cancel(self) -> None:
        self.ended = True

    def set_exception(self, error: BaseException) -> None:
        assert not self.ended, "ended twice"
        self.error, self.ended = error, True


def entry(rows: int = 1, *, at: float = 0.0, key: object = None, size: int = 1, deadline: float = math.inf) -> Any:
    future: asyncio.Future[Answer] = Future()  # type: ignore[assignment]
    return Entry({"x": np.zeros(rows)}, rows, key, future, at, size=size, deadline=deadline)


def line(max_count: int = 100, max_bytes: int = 10**6) -> WaitingLine:
    return WaitingLine(max_count=max_count, max_bytes=max_bytes)


def test_first_come_first_served_and_shapes_apart() -> None:
    made = line()
    entries = [entry(at=number, key=number % 2) for number in range(6)]
    for each in entries:
        made.push(each, now=each.arrived)
    assert made.take(10, now=9) == entries[0::2] and made.take(10, now=9) == entries[1::2]
    assert not made and made.take(10, now=9) == []


def test_rows_are_counted_and_nobody_is_split() -> None:
    made = line()
    large, small, smaller = entry(9), entry(3), entry(1)
    for each in (entry(2), large, small, smaller):
        made.push(each, now=0)
    assert [each.rows for each in made.take(6, now=0)] == [2, 3, 1]
    assert made.take(6, now=0) == [large], "what is larger by itself goes alone, whole"


def test_a_higher_priority_overtakes() -> None:
    made = line()
    first, second, urgent, patient = entry(at=0.0), entry(at=0.01), entry(at=0.02), entry(at=0.0)
    for each, priority in ((first, 0), (second, 5), (urgent, 1), (patient, 10)):
        made.push(each, priority, now=0.02)
    assert [made.take(1, now=1)[0] for _ in range(4)] == [urgent, first, second, patient]


def test_nobody_is_overtaken_for_ever() -> None:
    made = line()
    patient = entry(at=0.0)
    made.push(patient, 10, now=0)
    taken: list[Any] = []
    now = 0.0
    while patient not in taken:
        made.push(entry(at=now), 1, now=now)
        taken += made.take(1, now=now)
        now += 0.01
    assert now <= 9 * PATIENCE + 0.1


def test_other_shapes_are_not_overtaken_for_ever() -> None:
    made = line()
    lonely = entry(at=0.5, key="lonely")
    made.push(lonely, now=0.5)
    for number in range(200):
        made.push(entry(at=number / 100, key="many", size=0), now=number / 100) if len(made) < 100 else None
        if lonely in made.take(1, now=number / 100):
            break
    else:
        pytest.fail("it never came to its turn")


def test_the_late_are_told_and_the_cancelled_make_room() -> None:
    made = line(max_count=2)
    late, cancelled, kept = entry(deadline=1.0), entry(), entry()
    made.push(late, now=0)
    made.push(cancelled, now=0)
    with pytest.raises(QueueFullError, match="2 requests wait already"):
        made.push(kept, now=0)
    cancelled.future.cancel()
    made.push(kept, now=0)
    assert made.take(10, now=2.0) == [kept] and isinstance(late.future.error, LateError)


def test_bytes_are_bounded_but_one_always_fits() -> None:
    made = line(max_bytes=10)
    made.push(entry(size=99), now=0)
    with pytest.raises(QueueFullError, match="requests of 99 bytes wait already"):
        made.push(entry(size=1), now=0)
    assert len(made.take(10, now=0)) == 1 and made.bytes == 0


class LineMachine(RuleBasedStateMachine):
    """Whatever comes, is cancelled, late or taken: each entry ends exactly once, and the books are right."""

    def __init__(self) -> None:
        super().__init__()
        self.line = line(max_count=8, max_bytes=30)
        self.now = 0.0
        self.waiting: list[Any] = []
        self.taken: list[Any] = []

    @rule(
        rows=st.integers(1, 5),
        key=st.sampled_from("ab"),
        size=st.integers(0, 12),
        priority=st.integers(0, 10),
        patience=st.sampled_from([0.05, 0.5, math.inf]),
    )
    def push(self, rows: int, key: str, size: int, priority: int, patience: float) -> None:
        made = entry(rows, at=self.now, key=key, size=size, deadline=self.now + patience)
        try:
            self.line.push(made, priority, now=self.now)
        except QueueFullError:
            alive = [each for each in self.waiting if not each.future.done()]
            assert len(alive) >= 8 or sum(each.size for each in alive) + size > 30
        else:
            self.waiting.append(made)

    @rule(which=st.integers(0, 20))
    def cancel(self, which: int) -> None:
        if which < len(self.waiting):
            self.waiting[which].future.cancel()

    @rule(seconds=st.sampled_from([0.01, 0.1, 1.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(max_rows=st.integers(1, 6))
    def take(self, max_rows: int) -> None:
        batch = self.line.take(max_rows, now=self.now)
        assert len({each.key for each in batch}) <= 1
        assert sum(each.rows for each in batch) <= max_rows or len(batch) == 1
        for each in batch:
            assert not each.future.done() and self.now < each.deadline
            self.waiting.remove(each)
            self.taken.append(each)
        if not batch:
            assert all(each.future.done() for each in self.waiting)
            assert len(self.line) == 0
        self.waiting = [each for each in self.waiting if not each.future.done()]

    @invariant()
    def the_books_are_right(self) -> None:
        assert len({id(each) for each in self.taken}) == len(self.taken), "served twice"
        alive = [each for each in self.waiting if not each.future.done()]
        assert len(self.line) >= len(alive) and self.line.bytes >= sum(each.size for each in alive)
        for each in self.waiting:
            assert each.future.error is None or isinstance(each.future.error, LateError)

    def teardown(self) -> None:
        while batch := self.line.take(3, now=self.now):
            for each in batch:
                self.waiting.remove(each)
        assert all(each.future.done() for each in self.waiting), "lost"
        assert len(self.line) == self.line.bytes == 0


TestLineMachine = LineMachine.TestCase
TestLineMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
