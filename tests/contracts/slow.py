"""A runtime that computes when it is let."""

import threading
from collections.abc import Mapping

from lepton_ai.bundle import Array
from tests.contracts.graphs import ROWS


class SlowRuntime:
    """`entered` is set when it is first called; it answers, or raises `error`, once `go` is set."""

    signature = ROWS

    def __init__(self) -> None:
        self.entered, self.go = threading.Event(), threading.Event()
        self.rows = 0
        self.error: Exception | None = None

    def run(self, feed: Mapping[str, Array]) -> dict[str, Array]:
        self.entered.set()
        assert self.go.wait(20)
        if self.error:
            raise self.error
        self.rows += len(feed["x"])
        return {"total": feed["x"].sum(axis=1, keepdims=True), "double": feed["x"] * 2}

    def close(self) -> None:
        pass
