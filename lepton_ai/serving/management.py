"""The management address: load, unload, drain, metrics, and the live page. It listens on this machine alone.

POST /v2/repository/index                                       every version that is known, and its state
POST /v2/repository/models/{m}[/versions/{v}]/load, /unload     control (the protocol's extension)
POST /drain                                                     stop as SIGTERM does
GET  /metrics                                                   Prometheus
GET  /, /events                                                 the live page, and what feeds it
GET  /v2, /v2/health/live, /v2/health/ready
"""

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from lepton_ai.core import BundleError, NotFoundError, RequestError
from lepton_ai.serving.access import Access, Hosts
from lepton_ai.serving.answers import answer, failure, not_allowed
from lepton_ai.serving.errors import ForbiddenError
from lepton_ai.serving.live import Rows, stream
from lepton_ai.serving.messages import EVENTS, TEXT, Request, Response
from lepton_ai.serving.metrics import render_metrics
from lepton_ai.serving.pages import live_page

_MAX_BODY = 65_536


class Controls(Protocol):
    """What is managed: one process, or several that are one server."""

    def index(self, *, ready: bool = False) -> list[dict[str, str]]:
        """Every version that is known, with its state."""

    async def load(self, name: str, version: str = "") -> object:
        """Load a version and let it answer."""

    async def unload(self, name: str, version: str = "") -> None:
        """Let a version answer no more."""

    def drain(self) -> None:
        """Begin to stop."""

    def rows(self) -> Rows:
        """The counters."""

    def state(self) -> dict[str, Any]:
        """`ready`, `workers`, `restarts`."""

    def server_metadata(self) -> dict[str, Any]:
        """Name, version, extensions."""


class _Command(msgspec.Struct):
    parameters: dict[str, str | int | float | bool] = {}


class _Wanted(msgspec.Struct):
    ready: bool = False


class Management:
    """Answers on the management address."""

    def __init__(self, controls: Controls, *, access: Access, host: str = "127.0.0.1") -> None:
        self._controls, self._access = controls, access
        self._hosts = Hosts((), host=host)

    async def handle(self, request: Request) -> Response:
        """The answer, whatever happens: errors are answers too."""
        try:
            host = request.text(b"host")
            if host:
                self._hosts.check(host)
            origin = request.text(b"origin")
            if origin and origin.partition("://")[2] != host:
                raise ForbiddenError("pages of other sites may not ask")
            if request.method != "GET":  # a browser that looks at the live page has no way to send a token
                self._access.check(request.text(b"authorization"))
            return await self._route(request)
        except (Exception, asyncio.CancelledError) as error:
            return failure(error)

    async def _route(self, request: Request) -> Response:
        page = self._pages().get(request.path)
        if page is not None:
            return page() if request.method == "GET" else not_allowed(request.method, "GET")
        parts = request.path.split("/")
        if request.path == "/drain":
            act: Callable[[], Any] = self._drain
        elif parts[:3] == ["", "v2", "repository"] and len(parts) > 3:
            act = self._repository(parts[3:], request)
        else:
            raise NotFoundError(f"nothing is here: {request.path[:200]!r}", fix="Models answer on the main address.")
        if request.method != "POST":
            return not_allowed(request.method, "POST")
        if len(request.body) > _MAX_BODY:
            raise RequestError(f"more than {_MAX_BODY} bytes", at="body")
        made: Response = await act()
        return made

    def _pages(self) -> dict[str, Callable[[], Response]]:
        return {
            "/": live_page,
            "/events": self._events,
            "/metrics": self._metrics,
            "/v2": lambda: answer(self._controls.server_metadata()),
            "/v2/health/live": lambda: answer({"live": True}),
            "/v2/health/ready": self._ready,
        }

    def _repository(self, parts: list[str], request: Request) -> Callable[[], Any]:
        match parts:
            case ["index"]:
                return lambda: self._index(request)
            case ["models", name, ("load" | "unload") as verb]:
                return lambda: self._change(verb, name, "", request)
            case ["models", name, "versions", version, ("load" | "unload") as verb]:
                return lambda: self._change(verb, name, version, request)
        raise NotFoundError(f"nothing is here: {request.path[:200]!r}", fix="See /v2/repository/index.")

    async def _index(self, request: Request) -> Response:
        return answer(self._controls.index(ready=_read(request, _Wanted).ready))

    async def _change(self, verb: str, name: str, version: str, request: Request) -> Response:
        for key in _read(request, _Command).parameters:
            if key != "unload_dependents":
                raise RequestError(f"the parameter {key[:100]!r} is not supported: bundles bring what they need")
        try:
            await (self._controls.load(name, version) if verb == "load" else self._controls.unload(name, version))
        except BundleError as error:
            raise RequestError(str(error)) from error
        return answer({})

    async def _drain(self) -> Response:
        self._controls.drain()
        return answer({})

    def _ready(self) -> Response:
        ready = bool(self._controls.state()["ready"])
        return answer({"ready": ready}, status=200 if ready else 503)

    def _metrics(self) -> Response:
        return Response(200, render_metrics(self._controls.rows(), **self._controls.state()), TEXT)

    def _events(self) -> Response:
        def describe() -> dict[str, Any]:
            return {**self._controls.state(), "states": self._controls.index()}

        return Response(200, b"", EVENTS, events=stream(self._controls.rows, describe))


def _read(request: Request, kind: type[Any]) -> Any:
    if not request.body:
        return kind()
    try:
        return msgspec.json.decode(request.body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RequestError(str(error), at="body") from error
