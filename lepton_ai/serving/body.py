"""Reading a request's body from ASGI within its limits, and noticing that its sender has gone."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from lepton_ai.core import TooLargeError
from lepton_ai.serving.errors import DisconnectedError, TooSlowError

Receive = Callable[[], Coroutine[Any, Any, dict[str, Any]]]

_DRAIN = 4  # so many times the limit is read and thrown away, that the client may see the error


async def read_body(
    receive: Receive, length: int | None, limit: int, seconds: float, *, hold: Callable[[int], None] = lambda _: None
) -> bytes:
    """The whole body. `hold` is told how many bytes are kept, as they come (fewer than 0: given back); it may refuse.

    Raises: TooLargeError beyond `limit` bytes, TooSlowError after `seconds`, DisconnectedError.
    """
    if length is not None and length > limit * _DRAIN:
        raise too_large(limit)
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body"):
        body: bytes = message.get("body", b"")
        if len(body) > limit:
            raise too_large(limit)
        hold(len(body))
        return body
    try:
        async with asyncio.timeout(seconds):
            return await _read_parts(receive, message, limit, hold)
    except TimeoutError as error:
        raise TooSlowError(f"the body was not complete after {seconds:g} s") from error


async def _read_parts(receive: Receive, message: dict[str, Any], limit: int, hold: Callable[[int], None]) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        if message["type"] == "http.disconnect":
            raise DisconnectedError("the client is gone")
        part = message.get("body", b"")
        size += len(part)
        if size <= limit:
            hold(len(part))
            parts.append(part)
        elif parts:
            hold(-sum(map(len, parts)))
            parts.clear()
        if size > limit * _DRAIN or (size > limit and not message.get("more_body")):
            raise too_large(limit)
        if not message.get("more_body"):
            return b"".join(parts)
        message = await receive()


def too_large(limit: int) -> TooLargeError:
    """What a body of more than `limit` bytes is answered."""
    return TooLargeError(f"the body is larger than {limit} bytes", fix="Send fewer rows at a time.")


def is_gone(receive: Receive) -> bool:
    """Whether the client has disconnected, asked without waiting and only once the body was read.

    After the body, `receive` has nothing to give but the disconnection. So it is taken one step: either it returns
    that, or it would wait, and is dropped. This spares a task per request.
    """
    step = receive()
    try:
        step.send(None)
    except StopIteration as stop:
        return bool(stop.value["type"] == "http.disconnect")
    step.close()
    return False
