"""Ctrl-C and SIGTERM, held back until the step under way is done."""

import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Self

TERMINATED = 75
"""How a program ends that was asked to by SIGTERM in the middle of training: EX_TEMPFAIL of sysexits.h, "try again"."""


class Interrupt:
    """While entered, a first Ctrl-C or SIGTERM only sets `asked`: the loop ends after its step, where a checkpoint is
    exact. SIGTERM sets `terminated` as well.

    A second Ctrl-C raises KeyboardInterrupt at once and sets `insisted`; a second SIGTERM ends the process. A worker
    is asked by its launcher, as often as it likes. Outside the main thread, and where the program has a
    handler of its own, nothing is held back.
    """

    def __init__(self, *, worker: bool = False) -> None:
        self.worker = worker
        self.asked = self.insisted = self.terminated = False
        self._held: list[tuple[signal.Signals, object]] = []

    def __enter__(self) -> Self:
        usual = [(signal.SIGTERM, signal.SIG_DFL), (signal.SIGINT, signal.default_int_handler)]
        if threading.current_thread() is threading.main_thread():
            self._held = [(number, before) for number, before in usual if signal.getsignal(number) == before]
            for number, _ in self._held:
                signal.signal(number, self._ask)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, before in self._held:
            signal.signal(number, before)  # type: ignore[arg-type]
        self._held = []

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGTERM and not self.worker:
            if self.terminated:
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                os.kill(os.getpid(), signal.SIGTERM)
            self.terminated = True
        elif self.asked and not self.worker:
            self.insisted = True
            raise KeyboardInterrupt
        self.asked = True
