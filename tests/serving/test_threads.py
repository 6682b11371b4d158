"""Threads that do one thing after the other."""

import threading

import pytest

from lepton_ai.serving.threads import Threads


def test_all_is_done_in_order_before_they_end() -> None:
    done: list[int] = []
    threads = Threads(1, "test")
    for number in range(100):
        threads.submit(done.append, number)
    threads.shutdown()
    assert done == list(range(100)) and not any(each.name.startswith("test") for each in threading.enumerate())


def test_so_many_at_a_time() -> None:
    meeting = threading.Barrier(3)
    threads = Threads(2, "test")
    for _ in range(2):
        threads.submit(meeting.wait, 10)
    meeting.wait(10)
    threads.shutdown()


def test_without_a_thread_it_is_done_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    done: list[int] = []
    threads = Threads(2, "test")
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        threads.submit(done.append, 1)
    assert done == [1]
    threads.submit(done.append, 2)
    threads.shutdown()
    assert done == [1, 2]


def test_what_never_began_ends() -> None:
    Threads(2, "test").shutdown()
