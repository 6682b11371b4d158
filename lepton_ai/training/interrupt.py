"""Ctrl-C, held back until the step under way is done."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Self


class Interrupt:
    """While entered, a first Ctrl-C only sets `asked`: the loop ends after its step, where a checkpoint is exact.

    A second one raises KeyboardInterrupt at once and sets `insisted`. A worker is asked by its launcher, with
    SIGTERM. Outside the main thread, and where the program has a handler of its own, nothing is held back.
    """

    def __init__(self, *, worker: bool = False) -> None:
        self.worker = worker
        self.asked = self.insisted = False
        self._signal = signal.SIGTERM if worker else signal.SIGINT
        self._held = False

    def __enter__(self) -> Self:
        before = signal.getsignal(self._signal)
        usual = signal.SIG_DFL if self.worker else signal.default_int_handler
        if threading.current_thread() is threading.main_thread() and before == usual:
            self._before = before
            signal.signal(self._signal, self._ask)
            self._held = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._held:
            signal.signal(self._signal, self._before)
            self._held = False

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.asked and not self.worker:
            self.insisted = True
            raise KeyboardInterrupt
        self.asked = True
