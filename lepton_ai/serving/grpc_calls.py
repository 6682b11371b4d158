"""What the protocol's gRPC service answers: each call of it, over the service that HTTP is a front of too."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from lepton_ai.core import NotFoundError
from lepton_ai.serving.errors import ForbiddenError, UnauthorizedError, blame, retry_after
from lepton_ai.serving.grpc_codec import FINAL, read_request, write_response
from lepton_ai.serving.grpc_messages import SERVICE, messages
from lepton_ai.serving.service import Service
from lepton_ai.serving.trace import follow

AT_ONCE = 64  # requests of one stream that may be under way
_WATCH = 0.1  # seconds between two looks at whether the server is ready

_CODES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    408: "INVALID_ARGUMENT",
    413: "RESOURCE_EXHAUSTED",
    415: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


class Calls:
    """The calls, by the names that the protocol gives them. `status` is `grpc.StatusCode`.

    `management` lets in those that list, load and unload models.
    """

    def __init__(self, service: Service, status: Any, *, management: bool) -> None:
        self._service, self._status, self._management = service, status, management
        self._messages = messages()

    def unary(self) -> dict[str, Callable[[Any, Any], Awaitable[Any]]]:
        """The calls with one request and one answer; errors come as the call's status."""
        calls: dict[str, Callable[[Any, Any], Awaitable[Any]]] = {
            "ServerLive": self._live,
            "ServerReady": self._ready,
            "ModelReady": self._model_ready,
            "ServerMetadata": self._server_metadata,
            "ModelMetadata": self._model_metadata,
            "ModelConfig": self._model_config,
            "ModelStatistics": self._model_statistics,
            "ModelInfer": self._infer,
            "RepositoryIndex": self._index,
            "RepositoryModelLoad": self._load,
            "RepositoryModelUnload": self._unload,
        }
        return {name: self._guarded(call) for name, call in calls.items()}

    def health(self) -> Callable[[Any, Any], Awaitable[Any]]:
        """`Check` of gRPC's own health service: needs no token, as the health addresses of HTTP need none."""
        return self._guarded(self._check, open_to_all=True)

    # -- one by one ----------------------------------------------------------------------------------------------

    async def _live(self, _: Any, __: Any) -> Any:
        return self._messages["ServerLiveResponse"](live=True)

    async def _ready(self, _: Any, __: Any) -> Any:
        return self._messages["ServerReadyResponse"](ready=self._service.is_ready())

    async def _model_ready(self, request: Any, _: Any) -> Any:
        try:
            ready = self._service.is_model_ready(request.name, request.version)
        except NotFoundError:
            ready = False
        return self._messages["ModelReadyResponse"](ready=ready)

    async def _server_metadata(self, _: Any, __: Any) -> Any:
        return self._messages.from_json("ServerMetadataResponse", self._service.server_metadata())

    async def _model_metadata(self, request: Any, _: Any) -> Any:
        found = self._service.model_metadata(request.name, request.version)
        return self._messages.from_json("ModelMetadataResponse", found)

    async def _model_config(self, request: Any, _: Any) -> Any:
        found = self._service.model_config(request.name, request.version)
        return self._messages.from_json("ModelConfigResponse", {"config": found})

    async def _model_statistics(self, request: Any, _: Any) -> Any:
        found = self._service.model_statistics(request.name, request.version)
        return self._messages.from_json("ModelStatisticsResponse", found)

    async def _index(self, request: Any, _: Any) -> Any:
        self._manage()
        return self._messages.from_json("RepositoryIndexResponse", {"models": self._service.index(ready=request.ready)})

    async def _load(self, request: Any, _: Any) -> Any:
        self._manage()
        await self._service.load(request.model_name, _version(request))
        return self._messages["RepositoryModelLoadResponse"]()

    async def _unload(self, request: Any, _: Any) -> Any:
        self._manage()
        await self._service.unload(request.model_name, _version(request))
        return self._messages["RepositoryModelUnloadResponse"]()

    async def _check(self, request: Any, _: Any) -> Any:
        if request.service not in ("", SERVICE):
            raise NotFoundError(f"no service {request.service[:100]!r}")
        return self._health()

    async def watch(self, request: Any, _: Any) -> AsyncIterator[Any]:
        """`Watch` of the health service: what `Check` says, now and when it changes. It ends when the server stops."""
        known, ready = request.service in ("", SERVICE), self._service.is_ready()
        unknown = self._messages.from_json("HealthCheckResponse", {"status": "SERVICE_UNKNOWN"})
        yield self._health() if known else unknown
        while self._service.is_ready():
            await asyncio.sleep(_WATCH)
        if known and ready:
            yield self._health()

    def _health(self) -> Any:
        status = "SERVING" if self._service.is_ready() else "NOT_SERVING"
        return self._messages.from_json("HealthCheckResponse", {"status": status})

    def _manage(self) -> None:
        if not self._management:
            raise ForbiddenError("models are loaded and listed on the management address")

    # -- inference -----------------------------------------------------------------------------------------------

    async def _infer(self, request: Any, context: Any) -> Any:
        started, service = time.perf_counter(), self._service
        trace, told = follow(str(dict(_metadata(context)).get("traceparent", "")).encode("latin-1", "replace"))
        if told:
            context.set_trailing_metadata((("traceresponse", told.decode()),))
        model = service.model(request.model_name, request.model_version)
        size = request.ByteSize()
        service.hold(size)
        try:
            try:
                asked = read_request(request)
            except BaseException as error:
                service.count_failure(model, error, started, trace=trace)
                raise
            left = context.time_remaining()
            deadline = None if left is None else started + left
            reply = await service.infer(
                request.model_name, request.model_version, asked, deadline=deadline, started=started, trace=trace
            )
            final = FINAL in request.parameters and request.parameters[FINAL].bool_param
            return write_response(reply.model_name, reply.model_version, reply.id, reply.outputs, final=final)
        finally:
            service.hold(-size)

    async def stream(self, requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        """`ModelStreamInfer`: up to 64 requests under way at a time, answered in their order.

        A request that fails is answered with its error, and the stream goes on; with the metadata
        `triton_grpc_error: true` it ends the stream with its status.
        """
        try:
            self._service.access.check(_authorization(context))
        except UnauthorizedError as error:
            await context.abort(self._status.UNAUTHENTICATED, str(error))
        strict = ("triton_grpc_error", "true") in _metadata(context)
        answer = self._guarded(self._infer) if strict else self._told
        room = asyncio.Semaphore(AT_ONCE)
        begun: asyncio.Queue[asyncio.Task[Any] | None] = asyncio.Queue()
        tasks: set[asyncio.Task[Any]] = set()

        async def read() -> None:
            try:
                async for request in requests:
                    await room.acquire()
                    task = asyncio.ensure_future(answer(request, context))
                    tasks.add(task)
                    begun.put_nowait(task)
            finally:
                begun.put_nowait(None)

        reader = asyncio.ensure_future(read())
        try:
            while (task := await begun.get()) is not None:
                response = await task
                tasks.discard(task)
                room.release()
                yield response if not strict else self._messages["ModelStreamInferResponse"](infer_response=response)
            await reader
        finally:
            reader.cancel()
            for each in tasks:
                each.cancel()
            await asyncio.gather(reader, *tasks, return_exceptions=True)

    async def _told(self, request: Any, context: Any) -> Any:
        """The answer to a request of a stream, or its error in words."""
        response = self._messages["ModelStreamInferResponse"]
        try:
            self._enter(context)
        except Exception as error:
            return response(error_message=blame(error)[1])
        try:
            return response(infer_response=await self._infer(request, context))
        except Exception as error:
            about = self._messages["ModelInferResponse"](model_name=request.model_name, id=request.id)
            return response(error_message=blame(error)[1], infer_response=about)
        finally:
            self._service.admission.leave(_client(context))

    # -- around every call ---------------------------------------------------------------------------------------

    def _guarded(
        self, call: Callable[[Any, Any], Awaitable[Any]], *, open_to_all: bool = False
    ) -> Callable[[Any, Any], Awaitable[Any]]:
        """The call after the checks of who asks, and with its errors as statuses."""

        async def guarded(request: Any, context: Any) -> Any:
            try:
                if open_to_all:
                    return await call(request, context)
                self._enter(context)
                try:
                    return await call(request, context)
                finally:
                    self._service.admission.leave(_client(context))
            except Exception as error:
                status, text = blame(error)
                seconds = retry_after(error)
            code = getattr(self._status, _CODES.get(status, "INTERNAL"))
            return await context.abort(code, text, (("retry-after", str(seconds)),) if seconds else ())

        return guarded

    def _enter(self, context: Any) -> None:
        """Raises: UnauthorizedError, TooManyRequestsError."""
        if not self._service.access.open:
            self._service.access.check(_authorization(context))
        self._service.admission.enter(_client(context))


def _metadata(context: Any) -> tuple[tuple[str, Any], ...]:
    return tuple((str(key), value) for key, value in context.invocation_metadata() or ())


def _authorization(context: Any) -> str:
    return str(dict(_metadata(context)).get("authorization", ""))


def _client(context: Any) -> str:
    """Who asks, without the port: `ipv4:127.0.0.1:4711` is 127.0.0.1, `ipv6:%5B::1%5D:4711` is ::1."""
    kind, _, address = str(context.peer()).partition(":")
    if kind not in ("ipv4", "ipv6"):
        return str(context.peer())
    return address.rpartition(":")[0].replace("%5B", "").replace("%5D", "").strip("[]")


def _version(request: Any) -> str:
    """The version to load or unload: a parameter of that name; without it the newest, or all."""
    parameter = request.parameters.get("version")
    return str(parameter.string_param or parameter.int64_param or "") if parameter is not None else ""
