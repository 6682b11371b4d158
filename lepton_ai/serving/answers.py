"""Answers that any face of the server gives: JSON, pages, errors."""

import asyncio
import functools
from collections.abc import Callable, Coroutine
from typing import Any

import orjson

from lepton_ai.serving.errors import blame, retry_after
from lepton_ai.serving.messages import HTML, JSON, Begin, Reply, Request, Response

_GUARDS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
)


def answer(content: Any, *, status: int = 200) -> Response:
    """An object as JSON."""
    return Response(status, orjson.dumps(content))


def failure(error: BaseException) -> Response:
    """The answer that an error is."""
    status, text = blame(error)
    seconds = retry_after(error)
    headers: tuple[tuple[bytes, bytes], ...] = ((b"retry-after", b"%d" % seconds),) if seconds else ()
    if status == 401:
        headers = ((b"www-authenticate", b"Bearer"),)
    return Response(status, orjson.dumps({"error": text}), JSON, headers, status in (408, 413))


def not_allowed(method: str, allowed: str) -> Response:
    """405, and what is allowed instead."""
    text = f"{method[:20]} is not allowed here, {allowed} is"
    return Response(405, orjson.dumps({"error": text}), JSON, ((b"allow", allowed.encode()),))


def in_task(handler: Callable[[Request], Coroutine[Any, Any, Response]]) -> Begin:
    """For handlers that have to wait: each request is answered by a task. What it raises is an answer too."""

    def begin(request: Request, reply: Reply) -> asyncio.Task[Response]:
        task = asyncio.get_running_loop().create_task(handler(request))
        task.add_done_callback(functools.partial(_hand_on, reply))
        return task

    return begin


def _hand_on(reply: Reply, task: asyncio.Task[Response]) -> None:
    error = asyncio.CancelledError() if task.cancelled() else task.exception()
    reply(task.result() if error is None else failure(error))


def page(content: str) -> Response:
    """A page. What it may do stands in itself; that nobody may frame it can only be said here."""
    return Response(200, content.encode(), HTML, ((b"content-security-policy", b"frame-ancestors 'none'"), *_GUARDS))
