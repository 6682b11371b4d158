"""One infer request under way, without a task: what the batcher's answer is given to."""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from lepton_ai.bundle import InferRequest
from lepton_ai.serving.line import Answer
from lepton_ai.serving.model import InferReply, ServedModel

Outcome = TypeVar("Outcome")


class Asking:
    """A promise (see `line.Promise`) that calls `tell` once, with the reply or an error. `cancel` is such an error."""

    __slots__ = ("_callback", "_done", "_model", "_request", "_tell")

    def __init__(
        self, model: ServedModel, request: InferRequest, tell: Callable[[InferReply | BaseException], object]
    ) -> None:
        self._model, self._request, self._tell = model, request, tell
        self._callback: Callable[[Any], object] | None = None
        self._done = False

    def done(self) -> bool:
        """Whether it was told, or is about to be."""
        return self._done

    def set_result(self, result: Answer, /) -> None:
        """The answer has come."""
        outcome: InferReply | BaseException
        try:
            outcome = self._model.reply(self._request, result)
        except Exception as error:
            outcome = error
        self._end()(outcome)

    def set_exception(self, exception: BaseException, /) -> None:
        """There is none. Told in a turn of its own: whoever is told may ask again at once."""
        asyncio.get_running_loop().call_soon(self._end(), exception)

    def add_done_callback(self, callback: Callable[[Any], object], /) -> None:
        """Call this, and this alone, once it is done."""
        self._callback = callback

    def cancel(self) -> None:
        """Nobody waits any more; it is not computed if it still waits."""
        if not self._done:
            self._end()(asyncio.CancelledError())

    def _end(self) -> Callable[[InferReply | BaseException], object]:
        """Whom to tell. Nothing here refers to him any more: a circle would be left to the garbage collector."""
        self._done = True
        if self._callback is not None:
            self._callback(self)
            self._callback = None
        tell = self._tell
        del self._tell
        return tell


def pass_on(future: "asyncio.Future[Outcome]", outcome: Outcome | BaseException) -> None:
    """Tell those who wait in a task, unless they have stopped waiting."""
    if future.done():
        return
    if isinstance(outcome, BaseException):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
