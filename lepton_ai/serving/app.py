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
from collections.abc import Callable, Iterable
from typing import Any

from lepton_ai.core import Channel, NotFoundError
from lepton_ai.serving.access import Hosts
from lepton_ai.serving.answers import answer, failure, not_allowed
from lepton_ai.serving.asgi import Scope, Send, run_lifespan, serve_request
from lepton_ai.serving.asking import pass_on
from lepton_ai.serving.body import Receive
from lepton_ai.serving.config import ServerConfig
from lepton_ai.serving.errors import ForbiddenError
from lepton_ai.serving.events import RequestFinished
from lepton_ai.serving.exchange import Exchange
from lepton_ai.serving.messages import Reply, Request, Response, Work
from lepton_ai.serving.model import ServedModel
from lepton_ai.serving.openapi import document
from lepton_ai.serving.pages import front_page
from lepton_ai.serving.service import Service

_LONG = 300  # characters of an address that is not remembered
_OPEN = ("/v2/health/live", "/v2/health/ready")  # without a token, for those who only look whether it lives


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
        """The answer, for those who wait in a task."""
        future: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        work = self.begin(request, functools.partial(pass_on, future))
        try:
            return await future
        except asyncio.CancelledError as error:
            if work is not None:
                work.cancel()
            return failure(error)

    def begin(self, request: Request, reply: Reply) -> Work | None:
        """Answer, whatever happens: errors are answers too. It is `messages.Begin`."""
        admission = self.service.admission
        try:
            self._check_sender(request)
            if admission.limited:
                admission.enter(request.client)
                reply = functools.partial(self._leave, request.client, reply)
        except Exception as error:
            reply(failure(error))
            return None
        try:
            path = request.path
            target = _known_target(path) if len(path) < _LONG else _target(path)
            if target is None:
                response = self._show(request, request.path.split("/"))
            elif request.method != "POST":
                response = not_allowed(request.method, "POST")
            else:
                return Exchange(self.service, self.service.model(*target), request, reply).begin()
        except Exception as error:
            response = failure(error)
        reply(response)
        return None

    def _leave(self, client: str, reply: Reply, response: Response) -> None:
        self.service.admission.leave(client)
        reply(response)

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


def _target(path: str) -> tuple[str, str] | None:
    """The model and the version, "" for the newest, of an address for inference; None for other addresses."""
    parts = path.split("/")
    if parts[-1] != "infer" or not 5 <= len(parts) <= 7 or parts[1:3] != ["v2", "models"]:
        return None
    if len(parts) == 5:
        return parts[3], ""
    if len(parts) == 7 and parts[4] == "versions" and parts[5]:
        return parts[3], parts[5]
    raise NotFoundError(f"nothing is here: {path[:200]!r}", fix="The addresses begin with /v2.")


_known_target = functools.lru_cache(256)(_target)


def _readiness(service: Service, name: str, version: str) -> dict[str, Any]:
    service.model(name, version)
    return {"name": name, "ready": True}
