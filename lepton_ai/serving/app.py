"""The HTTP face: the Open Inference Protocol v2, and a page for people.

    GET  /                                      a page: what is served, and a form to try it
    GET  /openapi.json                          the description of all this for programs
    GET  /v2                                    the server            GET /v2/models          their names (ours)
    GET  /v2/health/live, /v2/health/ready      200, or 503
    GET  /v2/models/{m}[/versions/{v}]          the signature         GET .../ready, .../config, .../stats
    POST /v2/models/{m}[/versions/{v}]/infer    inference, JSON or with binary tensors
    GET  /v2/models/stats                       what all models did

Every answer that is not 200 is JSON with `error`. `App` is a bare ASGI application as well.
"""

import asyncio
import functools
import math
import re
import time
from collections.abc import Callable, Iterable
from typing import Any

from lepton_ai.bundle import LENGTH_HEADER, parse_request, render_response
from lepton_ai.core import Channel, NotFoundError, RequestError
from lepton_ai.serving.access import Hosts
from lepton_ai.serving.answers import answer, failure, not_allowed
from lepton_ai.serving.asgi import Scope, Send, run_lifespan, serve_request
from lepton_ai.serving.body import Receive
from lepton_ai.serving.config import ServerConfig
from lepton_ai.serving.encoding import choose, pack, unpack
from lepton_ai.serving.errors import ForbiddenError
from lepton_ai.serving.events import RequestFinished
from lepton_ai.serving.messages import BINARY, JSON, Request, Response
from lepton_ai.serving.model import InferReply, ServedModel
from lepton_ai.serving.openapi import document
from lepton_ai.serving.pages import front_page
from lepton_ai.serving.service import Service
from lepton_ai.serving.trace import follow

_LENGTH = LENGTH_HEADER.lower().encode()
_DIGITS = re.compile(rb"[0-9]{1,12}")
_OPEN = ("/v2/health/live", "/v2/health/ready")  # without a token, for those who only look whether it lives
_LARGE = 2**18  # bytes from which packing is done beside the event loop


class App:
    """Answers over HTTP for a `service`, or for `models`. `host` is where it listens: by it the names are known by
    which it may be called.
    """

    def __init__(
        self, models: Iterable[ServedModel] | Service, config: ServerConfig | None = None, *, host: str = "127.0.0.1"
    ) -> None:
        self.service = models if isinstance(models, Service) else Service(models, config=config)
        self._hosts = Hosts(self.service.config.hosts, host=host)
        self._known_hosts: set[bytes] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, as ASGI has it."""
        if scope["type"] == "http":
            await serve_request(self.handle, self.service, scope, receive, send)
        else:
            await run_lifespan(self.close, scope, receive, send)

    @property
    def finished(self) -> Channel[RequestFinished]:
        """Tells of every infer request."""
        return self.service.finished

    async def close(self) -> None:
        """Finish what waits in every model and free them."""
        await self.service.close()

    async def handle(self, request: Request) -> Response:
        """The answer, whatever happens: errors are answers too."""
        admission = self.service.admission
        try:
            self._check_sender(request)
            if admission.limited:
                admission.enter(request.client)
            try:
                parts = request.path.split("/")
                if parts[-1] == "infer" and 5 <= len(parts) <= 7 and parts[1:3] == ["v2", "models"]:
                    if request.method != "POST":
                        return not_allowed(request.method, "POST")
                    return await self._infer(parts[3], _version(request.path, parts), request)
                return self._show(request, parts)
            finally:
                if admission.limited:
                    admission.leave(request.client)
        except (Exception, asyncio.CancelledError) as error:
            return failure(error)

    def _show(self, request: Request, parts: list[str]) -> Response:
        make = self.page(request.path, parts)
        if make is None:
            raise NotFoundError(f"nothing is here: {request.path[:200]!r}", fix="The addresses begin with /v2.")
        if request.method != "GET":
            return not_allowed(request.method, "GET")
        return make()

    def page(self, path: str, parts: list[str]) -> Callable[[], Response] | None:
        """What answers a GET of this path; None if nothing does."""
        fixed = self._fixed.get(path)
        if fixed is not None:
            return functools.partial(fixed, self)
        if parts[:3] == ["", "v2", "models"] and len(parts) > 3:
            name, service = parts[3], self.service
            if len(parts) >= 6 and parts[4] == "versions":
                version, verb = parts[5], parts[6:]
            else:
                version, verb = "", parts[4:]
            kinds: dict[str, Callable[[], Any]] = {
                "": lambda: service.model_metadata(name, version),
                "config": lambda: service.model_config(name, version),
                "stats": lambda: service.model_statistics(name, version),
                "ready": lambda: _readiness(service, name, version),
            }
            if len(verb) <= 1 and "".join(verb) in kinds and verb != [""]:
                return lambda: answer(kinds["".join(verb)]())
        if path.startswith("/v2/repository"):
            raise ForbiddenError("models are loaded and listed on the management address")
        return None

    def _check_sender(self, request: Request) -> None:
        """Raises: ForbiddenError, UnauthorizedError."""
        headers, access = request.headers, self.service.access
        host = headers.get(b"host", b"")
        if host and host not in self._known_hosts:
            self._hosts.check(host.decode("latin-1"))
            if len(self._known_hosts) < 100:
                self._known_hosts.add(host)
        if b"origin" in headers and headers[b"origin"].partition(b"://")[2] != host:
            raise ForbiddenError("pages of other sites may not ask")
        if not access.open and request.path not in _OPEN:
            access.check(request.text(b"authorization"))

    async def _infer(self, name: str, version: str, request: Request) -> Response:
        service, headers = self.service, request.headers
        model = service.model(name, version)
        trace = ""
        answer_headers: list[tuple[bytes, bytes]] = []
        if b"traceparent" in headers:
            trace, told = follow(headers[b"traceparent"])
            answer_headers = [(b"traceresponse", told)] if told else []
        try:
            body = request.body
            if b"content-encoding" in headers:
                body = await self._unpack(request)
            length = _json_length(headers)
            asked = parse_request(body, length, signature=model.signature)
            deadline = _deadline(request)
        except BaseException as error:
            service.count_failure(model, error, request.started, trace=trace)
            raise
        reply = await service.infer(
            name, version, asked, deadline=deadline, gone=request.gone, started=request.started, trace=trace
        )
        content, header_length = render_response(
            reply.model_name,
            reply.outputs,
            model_version=reply.model_version,
            id=reply.id,
            binary=asked.outputs or asked.binary,
        )
        if header_length is not None:
            answer_headers.append((_LENGTH, b"%d" % header_length))
        if b"accept-encoding" in headers:
            encoding = choose(request.text(b"accept-encoding"))
            if encoding:
                content = await _pack(content, encoding, answer_headers)
        if b"lepton-timing" in headers:
            answer_headers.append((b"server-timing", _timing(request, reply)))
        return Response(200, content, JSON if header_length is None else BINARY, tuple(answer_headers))

    async def _unpack(self, request: Request) -> bytes:
        """Unpacked, and what it grew by is held as well until the request ends; large bodies beside the event loop."""
        limit, encoding = self.service.config.max_body, request.text(b"content-encoding")
        if len(request.body) < _LARGE // 16:
            return unpack(request.body, encoding, limit=limit)
        work = functools.partial(unpack, request.body, encoding, limit=limit)
        return await asyncio.get_running_loop().run_in_executor(None, work)

    def _server(self) -> Response:
        return answer(self.service.server_metadata())

    def _names(self) -> Response:
        return answer({"models": self.service.names()})

    def _live(self) -> Response:
        return answer({"live": True})

    def _ready(self) -> Response:
        if self.service.is_ready():
            return answer({"ready": True})
        return answer({"ready": False, "error": "the server is stopping"}, status=503)

    def _statistics(self) -> Response:
        return answer(self.service.model_statistics())

    def _document(self) -> Response:
        return answer(document(self.service))

    def _front_page(self) -> Response:
        return front_page(self.service)

    _fixed: dict[str, Callable[["App"], Response]] = {
        "/": _front_page,
        "/openapi.json": _document,
        "/v2": _server,
        "/v2/models": _names,
        "/v2/models/stats": _statistics,
        "/v2/health/live": _live,
        "/v2/health/ready": _ready,
    }


def _version(path: str, parts: list[str]) -> str:
    if len(parts) == 5:
        return ""
    if len(parts) == 7 and parts[4] == "versions" and parts[5]:
        return parts[5]
    raise NotFoundError(f"nothing is here: {path[:200]!r}", fix="The addresses begin with /v2.")


def _readiness(service: Service, name: str, version: str) -> dict[str, Any]:
    service.model(name, version)
    return {"name": name, "ready": True}


def _json_length(headers: dict[bytes, bytes]) -> int | None:
    value = headers.get(_LENGTH)
    if value is None:
        return None
    if not _DIGITS.fullmatch(value):
        raise RequestError(at=LENGTH_HEADER, got=value[:100].decode("latin-1"), expected="a number, once")
    return int(value)


def _deadline(request: Request) -> float | None:
    value = request.headers.get(b"lepton-timeout-ms")
    if value is None:
        return None
    if not _DIGITS.fullmatch(value) or not int(value):
        raise RequestError(at="Lepton-Timeout-Ms", got=value[:100].decode("latin-1"), expected="milliseconds")
    return request.started + int(value) / 1000


async def _pack(content: bytes, encoding: str, headers: list[tuple[bytes, bytes]]) -> bytes:
    if len(content) < _LARGE:
        packed = pack(content, encoding)
    else:
        packed = await asyncio.get_running_loop().run_in_executor(None, pack, content, encoding)
    if packed is None:
        return content
    headers += ((b"content-encoding", encoding.encode()), (b"vary", b"accept-encoding"))
    return packed


def _timing(request: Request, reply: InferReply) -> bytes:
    """Where the time went, as the header Server-Timing has it: milliseconds."""
    total = time.perf_counter() - request.started
    rest = max(0.0, total - reply.queue_seconds - reply.compute_seconds)
    parts = {"queue": reply.queue_seconds, "compute": reply.compute_seconds, "other": rest, "total": total}
    shown = {name: seconds for name, seconds in parts.items() if math.isfinite(seconds)}
    return ", ".join(f"{name};dur={seconds * 1000:.3f}" for name, seconds in shown.items()).encode()
