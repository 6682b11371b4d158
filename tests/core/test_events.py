"""Channels: the emitter never knows, and never suffers."""

import pytest

from lepton_ai.core import Channel


def test_listeners_hear_in_order_of_subscription() -> None:
    heard: list[tuple[str, int]] = []
    channel = Channel[int]()
    channel.emit(0)
    channel.subscribe(lambda event: heard.append(("first", event)))
    channel.subscribe(lambda event: heard.append(("second", event)))
    channel.emit(1)
    assert heard == [("first", 1), ("second", 1)]


def test_a_listener_that_raises_is_dropped_and_the_others_go_on() -> None:
    heard: list[int] = []
    channel = Channel[int]()

    def broken(event: int) -> None:
        raise ValueError(f"no {event}")

    channel.subscribe(broken)
    channel.subscribe(heard.append)
    channel.emit(1)
    channel.emit(2)
    assert heard == [1, 2]
    assert [str(error) for error in channel.dropped] == ["no 1"]


def test_a_listener_that_is_dropped_already_harms_nobody() -> None:
    channel = Channel[int]()

    def broken(event: int) -> None:
        channel._listeners.clear()  # as another thread's event would
        raise ValueError("no")

    channel.subscribe(broken)
    channel.emit(1)
    assert len(channel.dropped) == 1


def test_an_interrupt_is_not_a_listener_s_mistake() -> None:
    channel = Channel[int]()

    def interrupted(event: int) -> None:
        raise KeyboardInterrupt

    channel.subscribe(interrupted)
    with pytest.raises(KeyboardInterrupt):
        channel.emit(1)


def test_a_listener_may_subscribe_another() -> None:
    heard: list[int] = []
    channel = Channel[int]()
    channel.subscribe(lambda event: channel.subscribe(heard.append))
    channel.emit(1)
    assert heard == []
    channel.emit(2)
    assert heard == [2]
