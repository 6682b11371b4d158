"""ASGI on one side, whole requests and answers on the other: for those who run `App` in a server of their own."""

import asyncio
import functools
import time
from collections.abc import Awaitable, Callable
from typing import Any

from lepton_ai.serving.answers import failure
from lepton_ai.serving.body import Receive, is_gone, read_body, too_large
from lepton_ai.serving.errors import DisconnectedError
from lepton_ai.serving.messages import Request, Response, number_of
from lepton_ai.serving.service import Service

Scope = dict[str, Any]
Send = Callable[[dict[str, Any]], Awaitable[None]]


async def serve_request(
    handle: Callable[[Request], Awaitable[Response]], service: Service, scope: Scope, receive: Receive, send: Send
) -> None:
    """One request: read within the limits, answered by `handle`."""
    started = time.perf_counter()
    held = 0

    def hold(size: int) -> None:
        nonlocal held
        service.hold(size)
        held += size

    try:
        headers = join_headers(scope["headers"])
        config = service.config
        declared = headers.get(b"content-length", b"")
        length = number_of(declared)
        if length is None and declared.isdigit():
            raise too_large(config.max_body)
        body = await read_body(receive, length, config.max_body, config.body_seconds, hold=hold)
        client = (scope.get("client") or ("", 0))[0]
        gone = functools.partial(is_gone, receive)
        request = Request(scope["method"], scope["path"], headers, body, client=client, started=started, gone=gone)
        response = await handle(request)
    except (Exception, asyncio.CancelledError) as error:
        response = failure(error)
    finally:
        service.hold(-held)
    if response.status != DisconnectedError.status:
        await _send(send, response)


def join_headers(headers: list[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Headers by name; several of one name are joined by a comma, as HTTP says they may be."""
    joined: dict[bytes, bytes] = {}
    for name, value in headers:
        joined[name] = b"%s, %s" % (joined[name], value) if name in joined else value
    return joined


async def run_lifespan(close: Callable[[], Awaitable[None]], scope: Scope, receive: Receive, send: Send) -> None:
    """Start and end, as ASGI has them; websockets are declined."""
    if scope["type"] != "lifespan":
        await receive()
        await send({"type": "websocket.close"})
        return
    while True:
        message = await receive()
        if message["type"] == "lifespan.shutdown":
            await close()
            await send({"type": "lifespan.shutdown.complete"})
            return
        await send({"type": "lifespan.startup.complete"})


async def _send(send: Send, response: Response) -> None:
    headers = [(b"content-type", response.type), *response.headers]
    if response.close:
        headers.append((b"connection", b"close"))
    if response.events is None:
        headers.append((b"content-length", b"%d" % len(response.content)))
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        await send({"type": "http.response.body", "body": response.content})
        return
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    async for event in response.events:
        await send({"type": "http.response.body", "body": event, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
