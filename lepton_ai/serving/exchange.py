"""One infer request over HTTP, from its body to its answer, without a task: parsed at once, computed with whatever else
has come, and answered as soon as its batch is done. Only what is large is unpacked and packed in a thread.
"""

import asyncio
import functools
import math
import time
from collections.abc import Callable
from typing import Any

from lepton_ai.bundle import LENGTH_HEADER, InferRequest, parse_request, render_response
from lepton_ai.core import RequestError
from lepton_ai.serving.answers import failure
from lepton_ai.serving.asking import Asking
from lepton_ai.serving.encoding import choose, pack, unpack
from lepton_ai.serving.messages import BINARY, JSON, JSON_LENGTH, Reply, Request, Response, number_of
from lepton_ai.serving.model import InferReply, ServedModel
from lepton_ai.serving.service import Service
from lepton_ai.serving.trace import follow

# Headers that ask for more than what is in the body. Most requests have none of them.
_SPECIAL = frozenset(
    (b"accept-encoding", b"content-encoding", b"lepton-timeout-ms", b"lepton-timing", b"traceparent", JSON_LENGTH)
)
_LARGE = 2**18  # bytes from which packing is done beside the event loop


class Exchange:
    """`reply` is called once, after `begin` returned, unless that raised. It is `messages.Work`."""

    __slots__ = (
        "_asked",
        "_asking",
        "_ended",
        "_headers",
        "_model",
        "_plain",
        "_reply",
        "_request",
        "_service",
        "_trace",
    )

    def __init__(self, service: Service, model: ServedModel, request: Request, reply: Reply) -> None:
        self._service, self._model, self._request, self._reply = service, model, request, reply
        self._headers: tuple[tuple[bytes, bytes], ...] = ()
        self._trace = ""
        self._plain = request.headers.keys().isdisjoint(_SPECIAL)
        self._asking: Asking | None = None
        self._ended = False

    def begin(self) -> "Exchange":
        """Parse, and let it wait for its turn.

        Raises: what is wrong with it, if that is known at once.
        """
        request, headers = self._request, self._request.headers
        if self._plain:
            self._ask(request.body)
            return self
        if b"traceparent" in headers:
            self._trace, told = follow(headers[b"traceparent"])
            self._headers = ((b"traceresponse", told),) if told else ()
        if b"content-encoding" not in headers:
            self._ask(request.body)
            return self
        encoding, limit = request.text(b"content-encoding"), self._service.config.max_body
        work = functools.partial(unpack, bytes(request.body), encoding, limit=limit)
        if len(request.body) >= _LARGE // 16:
            self._aside(work, self._ask)
            return self
        try:
            body = work()
        except BaseException as error:
            self._count(error)
            raise
        self._ask(body)
        return self

    def cancel(self) -> None:
        """Nobody waits for it any more, or the server stops: which is then the answer."""
        if self._asking is not None and not self._asking.done():
            self._asking.cancel()
        elif not self._ended:
            error = asyncio.CancelledError()
            if self._asking is None:  # the body is being unpacked
                self._count(error)
            self._end(failure(error))

    def _ask(self, body: bytes | memoryview) -> None:
        request, model = self._request, self._model
        try:
            length, deadline = (None, None) if self._plain else (_json_length(request.headers), _deadline(request))
            asked = parse_request(body, length, signature=model.signature)
        except BaseException as error:
            self._count(error)
            raise
        self._asked: InferRequest = asked
        self._asking = self._service.submit(
            model,
            asked,
            self._answer,
            deadline=deadline,
            gone=request.gone,
            started=request.started,
            trace=self._trace,
        )

    def _count(self, error: BaseException) -> None:
        """A request that cannot be read is a failure of the model's too."""
        self._service.count_failure(self._model, error, self._request.started, trace=self._trace)

    def _answer(self, outcome: InferReply | BaseException) -> None:
        if isinstance(outcome, BaseException):
            self._end(failure(outcome))
            return
        try:
            self._render(outcome)
        except Exception as error:
            self._end(failure(error))

    def _render(self, outcome: InferReply) -> None:
        headers, asked = self._request.headers, self._asked
        content, header_length = render_response(
            outcome.model_name,
            outcome.outputs,
            model_version=outcome.model_version,
            id=outcome.id,
            binary=asked.outputs or asked.binary,
        )
        if self._plain and header_length is None:
            self._end(Response(200, content))
            return
        kind = JSON
        if header_length is not None:
            kind = BINARY
            self._headers += ((JSON_LENGTH, b"%d" % header_length),)
        if b"accept-encoding" in headers:
            encoding = choose(self._request.text(b"accept-encoding"))
            finish = functools.partial(self._finish, outcome, content, kind, encoding)
            if encoding and len(content) >= _LARGE:
                self._aside(functools.partial(pack, content, encoding), finish)
            else:
                finish(pack(content, encoding) if encoding else None)
        else:
            self._finish(outcome, content, kind, "", None)

    def _finish(self, outcome: InferReply, content: bytes, kind: bytes, encoding: str, packed: bytes | None) -> None:
        headers = self._headers
        if packed is not None:
            content = packed
            headers += ((b"content-encoding", encoding.encode()), (b"vary", b"accept-encoding"))
        if b"lepton-timing" in self._request.headers:
            headers += ((b"server-timing", _timing(self._request, outcome)),)
        self._end(Response(200, content, kind, headers))

    def _end(self, response: Response) -> None:
        if not self._ended:
            self._ended = True
            self._reply(response)

    def _aside(self, work: Callable[[], Any], then: Callable[[Any], None]) -> None:
        """In a thread, and then on the loop again."""
        job = asyncio.get_running_loop().run_in_executor(None, work)
        job.add_done_callback(functools.partial(self._resume, then))

    def _resume(self, then: Callable[[Any], None], job: "asyncio.Future[Any]") -> None:
        error = asyncio.CancelledError() if job.cancelled() else job.exception()
        if self._ended:
            return
        try:
            if error is not None:
                if self._asking is None:
                    self._count(error)
                raise error
            then(job.result())
        except (Exception, asyncio.CancelledError) as reason:
            self._end(failure(reason))


def _json_length(headers: dict[bytes, bytes]) -> int | None:
    value = headers.get(JSON_LENGTH)
    if value is None:
        return None
    length = number_of(value)
    if length is None:
        raise RequestError(at=LENGTH_HEADER, got=value[:100].decode("latin-1"), expected="a number, once")
    return length


def _deadline(request: Request) -> float | None:
    value = request.headers.get(b"lepton-timeout-ms")
    if value is None:
        return None
    milliseconds = number_of(value)
    if not milliseconds:
        raise RequestError(at="Lepton-Timeout-Ms", got=value[:100].decode("latin-1"), expected="milliseconds")
    return request.started + milliseconds / 1000


def _timing(request: Request, reply: InferReply) -> bytes:
    """Where the time went, as the header Server-Timing has it: milliseconds."""
    total = time.perf_counter() - request.started
    rest = max(0.0, total - reply.queue_seconds - reply.compute_seconds)
    parts = {"queue": reply.queue_seconds, "compute": reply.compute_seconds, "other": rest, "total": total}
    shown = {name: seconds for name, seconds in parts.items() if math.isfinite(seconds)}
    return ", ".join(f"{name};dur={seconds * 1000:.3f}" for name, seconds in shown.items()).encode()
