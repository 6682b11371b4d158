"""The HTTP face: the Open Inference Protocol v2 as a bare ASGI application.

    GET  /v2                                    the server            GET /v2/models          their names (ours)
    GET  /v2/health/live, /v2/health/ready      200, or 503
    GET  /v2/models/{m}[/versions/{v}]          the signature         GET .../ready           200
    POST /v2/models/{m}[/versions/{v}]/infer    inference, JSON or with binary tensors

Every answer that is not 200 is JSON with `error`.
"""

import asyncio
import functools
import importlib.metadata
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, NamedTuple

import orjson

from lepton_ai.bundle import LENGTH_HEADER, parse_request
from lepton_ai.core import (
    Channel,
    ConfigError,
    DataError,
    LeptonError,
    NotFoundError,
    RequestError,
    ShapeError,
    UnavailableError,
    unknown_name,
)
from lepton_ai.serving.batcher import DisconnectedError
from lepton_ai.serving.body import Receive, is_gone, read_body, read_head
from lepton_ai.serving.config import ServerConfig
from lepton_ai.serving.events import RequestFinished
from lepton_ai.serving.model import Reply, ServedModel

Scope = dict[str, Any]
Send = Callable[[dict[str, Any]], Awaitable[None]]

_LOG = logging.getLogger("lepton_ai.serving")
_JSON = (b"content-type", b"application/json")
_BINARY = (b"content-type", b"application/octet-stream")
_JSON_LENGTH = LENGTH_HEADER.lower().encode()


class _Route(NamedTuple):
    """`infer` answers POST; otherwise `page` answers GET with a status and an object."""

    page: Callable[[], tuple[int, Any]] | None = None
    infer: ServedModel | None = None


class App:
    """Answers for `models`. `finished` tells of every infer request; a model's batcher tells of its batches.

    `ready` is what /v2/health/ready says; requests are answered either way.
    """

    def __init__(self, models: Iterable[ServedModel], config: ServerConfig | None = None) -> None:
        self.models = {model.name: model for model in models}
        self.ready = True
        self.finished = Channel[RequestFinished]()
        self._config = config or ServerConfig()
        self._pending = 0
        self._routes = self._make_routes()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, as ASGI has it."""
        if scope["type"] != "http":
            await self._lifespan(scope, receive, send)
            return
        try:
            route = self._routes.get(scope["path"])
            if route is None:
                raise self._not_found(scope["path"])
            if route.infer is not None:
                if scope["method"] == "POST":
                    await self._infer(route.infer, scope, receive, send)
                else:
                    await _send(send, 405, _error(f"{scope['method']} is not allowed here, POST is"), allow=b"POST")
            elif route.page is not None:
                if scope["method"] == "GET":
                    status, page = route.page()
                    await _send(send, status, orjson.dumps(page))
                else:
                    await _send(send, 405, _error(f"{scope['method']} is not allowed here, GET is"), allow=b"GET")
        except NotFoundError as error:
            await _send(send, 404, _error(str(error)))

    async def close(self) -> None:
        """Finish what waits in every model and free them."""
        self.ready = False
        await asyncio.gather(*(model.close() for model in self.models.values()))

    async def _infer(self, model: ServedModel, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        reply: Reply | None = None
        held = 0

        def hold(size: int) -> None:
            nonlocal held
            self._reserve(size)
            held += size

        try:
            head = read_head(scope["headers"])
            content = await read_body(receive, head.length, self._config.max_body, self._config.body_seconds, hold=hold)
            request = parse_request(content, head.json_length, signature=model.signature)
            reply = await model.answer(request, gone=functools.partial(is_gone, receive))
        except DisconnectedError as error:
            status = error.status
        except (Exception, asyncio.CancelledError) as error:
            status, text = _blame(error)
            await _send(send, status, _error(text), close=status in (408, 413))
        else:
            status = 200
            await _send(send, status, *reply.body)
        finally:
            self._pending -= held
        self.finished.emit(
            RequestFinished(
                model=model.name,
                version=model.version,
                status=status,
                seconds=time.perf_counter() - started,
                queue_seconds=reply.queue_seconds if reply else 0.0,
                compute_seconds=reply.compute_seconds if reply else 0.0,
                rows=reply.rows if reply else 0,
            )
        )

    def _reserve(self, size: int) -> None:
        """Room for bytes that came. What a client merely declares takes no room from others."""
        if self._pending + size > self._config.max_pending:
            raise UnavailableError("too many bytes of requests wait already", fix="Try again in a moment.")
        self._pending += size

    def _make_routes(self) -> dict[str, _Route]:
        """Every path there is, so that finding one costs one look; nothing of a path is ever interpreted."""
        routes = {
            "/v2": _Route(page=lambda: (200, _server_metadata())),
            "/v2/models": _Route(page=lambda: (200, {"models": list(self.models)})),
            "/v2/health/live": _Route(page=lambda: (200, {"live": True})),
            "/v2/health/ready": _Route(page=self._readiness),
        }
        for model in self.models.values():
            for path in (f"/v2/models/{model.name}", f"/v2/models/{model.name}/versions/{model.version}"):
                routes[path] = _Route(page=functools.partial(_page, model.metadata))
                routes[f"{path}/ready"] = _Route(page=functools.partial(_page, {"name": model.name, "ready": True}))
                routes[f"{path}/infer"] = _Route(infer=model)
        return routes

    def _readiness(self) -> tuple[int, Any]:
        if self.ready:
            return 200, {"ready": True}
        return 503, {"ready": False, "error": "the server is stopping"}

    def _not_found(self, path: str) -> NotFoundError:
        parts = path.split("/")
        if parts[:3] == ["", "v2", "models"] and len(parts) > 3:
            model = self.models.get(parts[3])
            if model is None:
                return NotFoundError(str(unknown_name("model", parts[3], list(self.models))))
            if len(parts) > 5 and parts[4] == "versions" and parts[5] != model.version:
                return NotFoundError(
                    f"model {model.name!r} has no version {parts[5]!r}", fix=f"Known: {model.version}."
                )
        return NotFoundError(f"nothing is here: {path!r}", fix="The addresses begin with /v2.")

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await receive()
            await send({"type": "websocket.close"})
            return
        while True:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                await self.close()
                await send({"type": "lifespan.shutdown.complete"})
                return
            await send({"type": "lifespan.startup.complete"})


def _blame(error: BaseException) -> tuple[int, str]:
    """Whose fault it is, and what may be said of it. Our own faults are logged, and told without their details."""
    if isinstance(error, RequestError):
        return error.status, str(error)
    if isinstance(error, (ShapeError, DataError, ConfigError)):
        return 400, str(error)
    if isinstance(error, asyncio.CancelledError):
        return UnavailableError.status, "the server is stopping"
    if isinstance(error, MemoryError):
        return UnavailableError.status, "not enough memory for this request"
    _LOG.error("a request failed", exc_info=error)
    return LeptonError.status, "internal error; the server's log has the details"


def _error(text: str) -> bytes:
    return orjson.dumps({"error": text})


def _page(content: dict[str, Any]) -> tuple[int, Any]:
    return 200, content


@functools.cache
def _server_metadata() -> dict[str, Any]:
    version = importlib.metadata.version("lepton-ai")
    return {"name": "lepton", "version": version, "extensions": ["binary_tensor_data"]}


async def _send(
    send: Send,
    status: int,
    content: bytes,
    json_length: int | None = None,
    *,
    allow: bytes | None = None,
    close: bool = False,
) -> None:
    headers = [_JSON if json_length is None else _BINARY, (b"content-length", b"%d" % len(content))]
    if json_length is not None:
        headers.append((_JSON_LENGTH, b"%d" % json_length))
    if allow is not None:
        headers.append((b"allow", allow))
    if status == UnavailableError.status:
        headers.append((b"retry-after", b"1"))
    if close:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})
