"""Requests on a schedule: what a bench does with its connections, and when.

A latency counts from the moment at which a request was due, not from when it could be sent: a server that stalls delays
all that arrives meanwhile, and whoever measures only what is sent after each answer does not see them ("coordinated
omission"; G. Tene, How NOT to measure latency, 2013).
"""

import selectors
import time
from collections import Counter, deque
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from lepton_ai.core import ConfigError, UnavailableError
from lepton_ai.serving.bench_target import ID_DIGITS, Target
from lepton_ai.serving.bench_wire import Wire

Times = npt.NDArray[np.float64]

ARRIVALS = ("poisson", "uniform")
_SPIN = 0.0015  # seconds before a request is due from which on the clock is watched: the system wakes us too late
_LEAD = 0.02
_LONGEST = 0.1  # seconds until it is looked for what is late


class Record(msgspec.Struct, kw_only=True):
    """What came of each request, in seconds from `started` (a time of `time.perf_counter`): when it was `due`, `sent`,
    and `done` (NaN: never).

    `held` tells which had to wait for a free connection. `errors` counts what was not answered 200, by reason.
    """

    due: Any
    sent: Any
    done: Any
    held: Any
    errors: dict[str, int] = {}
    started: float = 0.0


def arrivals(rate: float, seconds: float, *, kind: str = "poisson", seed: int = 0) -> Times:
    """When requests are due: `rate` in a second, at random as many users' are, or evenly.

    Raises: ConfigError.

    Example:
        >>> arrivals(4, 1, kind="uniform")
        array([0.  , 0.25, 0.5 , 0.75])
    """
    if not rate > 0 or not seconds > 0:
        raise ConfigError(at="arrivals", got=(rate, seconds), expected="a rate and seconds above 0")
    if kind not in ARRIVALS:
        raise ConfigError(at="arrivals.kind", got=kind, expected=" or ".join(ARRIVALS))
    count = max(1, round(rate * seconds))
    if kind == "uniform":
        return np.arange(count) / rate
    # The moments of a Poisson process, given how many there are, are evenly distributed ones, sorted.
    moments: Times = np.sort(np.random.default_rng(seed).uniform(0, seconds, count))
    return moments


class Driver:
    """Sends requests over `connections`, which it opens at once. One thread; use `close`.

    Raises: UnavailableError if nobody listens.
    """

    def __init__(self, target: Target, *, connections: int = 64, timeout: float = 30.0) -> None:
        self._target, self._timeout = target, timeout
        self._selector = selectors.DefaultSelector()
        self._number = 0
        try:
            self._wires = [Wire(target) for _ in range(connections)]
        except OSError as error:
            raise UnavailableError(
                f"cannot connect to {target.host}:{target.port} ({error})", fix="Is the server running there?"
            ) from error
        for wire in self._wires:
            self._selector.register(wire.socket, selectors.EVENT_READ, wire)

    def scheduled(self, due: Times) -> Record:
        """Send a request at each moment of `due`, whatever the server does, and wait for the answers."""
        count, first = len(due), self._number
        moments: list[float] = due.tolist()
        record = _empty(due)
        errors: Counter[str] = Counter()
        free, waiting = deque(self._wires), deque[int]()
        following = finished = 0
        started = time.perf_counter() + _LEAD
        looked = 0.0
        while finished < count:
            now = time.perf_counter() - started
            while following < count and moments[following] <= now:
                record.held[following] = not free or bool(waiting)
                waiting.append(following)
                following += 1
            while waiting and free:
                index = waiting.popleft()
                record.sent[index] = time.perf_counter() - started
                finished += self._begin(free, first + index, errors)
            pause = moments[following] - now - _SPIN if following < count else _LONGEST
            for wire in self._ready(min(max(0.0, pause), _LONGEST)):
                index = wire.number - first
                reason = self._take(wire)
                if reason is None:
                    continue
                finished += 1
                free.append(wire)
                if reason:
                    errors[reason] += 1
                else:
                    record.done[index] = time.perf_counter() - started
            if now - looked > _LONGEST:
                looked = now
                finished += self._drop_late(record.sent, first, now, free, errors)
        self._number += count
        record.errors, record.started = dict(errors), started
        return record

    def closed(self, seconds: float) -> Record:
        """Send the next request whenever a connection is free: how much the server can do, not how long users wait."""
        moments: list[tuple[float, float]] = []
        begun: dict[int, float] = {}
        errors: Counter[str] = Counter()
        free = deque(self._wires)
        started = time.perf_counter()
        under_way, looked = 0, 0.0
        while True:
            now = time.perf_counter() - started
            while free and now < seconds:
                begun[self._number] = time.perf_counter() - started
                under_way += 1 - self._begin(free, self._number, errors)
                self._number += 1
            if not under_way:
                break
            for wire in self._ready(_LONGEST):
                number = wire.number
                reason = self._take(wire)
                if reason is None:
                    continue
                under_way -= 1
                free.append(wire)
                if reason:
                    errors[reason] += 1
                else:
                    moments.append((begun[number], time.perf_counter() - started))
            if now - looked > _LONGEST:
                looked = now
                under_way -= self._drop_late(begun, 0, now, free, errors)
        sent, done = np.array(moments).reshape(-1, 2).T
        return Record(due=sent, sent=sent, done=done, held=np.zeros(len(sent), bool), errors=dict(errors))

    def close(self) -> None:
        """Close the connections."""
        self._selector.close()
        for wire in self._wires:
            wire.close()

    def _begin(self, free: deque[Wire], number: int, errors: Counter[str]) -> int:
        """Send over a free connection; 1 if that failed at once. One that the server closed meanwhile is renewed."""
        wire = free.popleft()
        for attempt in range(2):
            if (attempt or not wire.open) and not self._renew(wire):
                break
            try:
                if not wire.begin(number):
                    self._selector.modify(wire.socket, selectors.EVENT_READ | selectors.EVENT_WRITE, wire)
                return 0
            except OSError:
                continue
        wire.number = -1
        errors["connection"] += 1
        free.append(wire)
        return 1

    def _ready(self, pause: float) -> list[Wire]:
        """The connections on which something came."""
        found = []
        for key, mask in self._selector.select(pause):
            wire: Wire = key.data
            came = mask & selectors.EVENT_READ
            if mask & selectors.EVENT_WRITE:
                try:
                    if wire.flush():
                        self._selector.modify(wire.socket, selectors.EVENT_READ, wire)
                except OSError:
                    came = selectors.EVENT_READ  # which tells the same
            if came:
                if wire.number >= 0:
                    found.append(wire)
                else:
                    self._renew(wire)  # the server closed a connection that had nothing to carry
        return found

    def _take(self, wire: Wire) -> str | None:
        """None while the answer is not whole; then why it does not count, or nothing."""
        try:
            if not wire.take():
                return None
        except OSError:
            self._renew(wire)
            return "connection"
        number, wire.number = wire.number, -1
        reason = "" if wire.status == 200 else str(wire.status)
        if not reason and self._target.numbered and not wire.holds(b"%0*d" % (ID_DIGITS, number)):
            reason = "answer to another request"
        if not wire.lasting:
            self._renew(wire)
        return reason

    def _drop_late(self, sent: Any, first: int, now: float, free: deque[Wire], errors: Counter[str]) -> int:
        """Give up what has been under way for too long."""
        late = [wire for wire in self._wires if wire.number >= 0 and now - sent[wire.number - first] > self._timeout]
        for wire in late:
            errors["timeout"] += 1
            self._renew(wire)
            free.append(wire)
        return len(late)

    def _renew(self, wire: Wire) -> bool:
        """Whether it is open again."""
        if wire.open:
            self._selector.unregister(wire.socket)
        try:
            wire.renew()
        except OSError:
            return False
        self._selector.register(wire.socket, selectors.EVENT_READ, wire)
        return True


def _empty(due: Times) -> Record:
    never = np.full(len(due), np.nan)
    return Record(due=due, sent=never.copy(), done=never, held=np.zeros(len(due), bool))
