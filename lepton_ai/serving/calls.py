"""What a client says and how it reads the answers, without a socket: both clients drive the same conversations.

A conversation is a generator. It yields an `Ask`, and is sent the `Heard` that answers it, or gets a `LostError` thrown
in; or it yields a `Pause`, which the driver waits for. What it returns is what the client's method returns.
"""

import email.utils
import random
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar
from urllib.parse import quote, urlsplit

import msgspec

from lepton_ai.bundle import (
    LENGTH_HEADER,
    Array,
    Signature,
    TensorSpec,
    parse_response,
    render_request,
)
from lepton_ai.core import (
    ConfigError,
    LeptonError,
    NotFoundError,
    RequestError,
    TooLargeError,
    UnavailableError,
    unknown_name,
)
from lepton_ai.serving.errors import ForbiddenError, LateError, TooManyRequestsError, UnauthorizedError
from lepton_ai.serving.given import as_feed

T = TypeVar("T")

AGAIN = frozenset({429, 502, 503})  # statuses that another attempt may change
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 5.0  # seconds; the pauses between double
_ERRORS: dict[int, type[LeptonError]] = {
    401: UnauthorizedError,
    403: ForbiddenError,
    404: NotFoundError,
    413: TooLargeError,
    502: UnavailableError,
    503: UnavailableError,
    504: LateError,
}


class Ask(NamedTuple):
    """One HTTP request, which may take `seconds`."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes | None
    seconds: float


class Heard(NamedTuple):
    """Its answer; the names of `headers` in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes | bytearray


class Pause(NamedTuple):
    """Wait so long before going on."""

    seconds: float


class LostError(UnavailableError):
    """No answer came: nobody is there, or the connection broke. `sent` tells whether the request may have arrived."""

    sent = False


class ServerFaultError(LeptonError, RuntimeError):
    """The server failed in a way that it did not expect; its log has the details."""


Talk = Generator[Ask | Pause, Heard | None, T]


class _Tensor(msgspec.Struct):
    name: str
    datatype: str
    shape: tuple[int, ...]


class _Metadata(msgspec.Struct):
    name: str
    inputs: tuple[_Tensor, ...]
    outputs: tuple[_Tensor, ...]
    versions: tuple[str, ...] = ()
    platform: str = ""
    labels: tuple[str, ...] = ()


class ModelMetadata(msgspec.Struct, frozen=True, kw_only=True):
    """What a server says of a model: `signature` holds inputs and outputs, -1 for sizes that are free."""

    name: str
    versions: tuple[str, ...]
    platform: str
    signature: Signature
    labels: tuple[str, ...] = ()


class Outputs(dict[str, Array]):
    """The answer: arrays by the names of the outputs. `model`, `version` and `id` are what the server says they are."""

    model: str = ""
    version: str = ""
    id: str = ""


class Caller:
    """The conversations of one client. `timeout` is the time in seconds that a call may take, all attempts included."""

    def __init__(self, url: str, *, token: str | None, timeout: float, retries: int, binary: bool) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.username:
            raise ConfigError(at="Client.url", got=url, expected='an address such as "http://127.0.0.1:8080"')
        if timeout <= 0 or retries < 0:
            raise ConfigError(at="Client", got=(timeout, retries), expected="timeout above 0, retries 0 or more")
        self.url = url.rstrip("/")
        self._timeout, self._retries, self._binary = timeout, retries, binary
        self._headers = {"Accept-Encoding": "identity"}
        if token is not None:
            if not token or not token.isascii() or not token.isprintable() or " " in token:
                raise ConfigError("a token is printable ASCII without spaces", at="Client.token")
            self._headers["Authorization"] = f"Bearer {token}"
        self._known: dict[tuple[str, str], ModelMetadata] = {}
        self._draw = random.Random()

    # -- the protocol's questions ----------------------------------------------------------------------------------

    def is_true(self, path: str, *, timeout: float | None = None) -> Talk[bool]:
        """Whether an address answers 200. A server that cannot be reached is neither live nor ready."""
        try:
            heard = yield from self._ask("GET", path, timeout=timeout, retries=0)
        except (LostError, LateError):
            return False
        if heard.status not in (200, 400, 404, 503):
            raise failure(heard)
        return heard.status == 200

    def fetch(self, method: str, path: str, body: Any = None, *, timeout: float | None = None) -> Talk[Any]:
        """The JSON that an address answers; None where it answers nothing."""
        content = None if body is None else msgspec.json.encode(body)
        heard = yield from self._ask(method, path, lambda _: ({}, content), timeout=timeout, safe=method == "GET")
        return _decode(heard, Any) if _succeeded(heard).body else None

    def control(self, verb: str, model: str, version: str, *, timeout: float | None) -> Talk[None]:
        """Load or unload."""
        path = model_path(model, version).replace("/v2/", "/v2/repository/", 1)
        yield from self.fetch("POST", f"{path}/{verb}", {}, timeout=timeout)
        self._known = {key: known for key, known in self._known.items() if key[0] != model}

    def metadata(self, model: str, version: str = "", *, timeout: float | None = None) -> Talk[ModelMetadata]:
        """Asked anew, and kept for the checks of `infer`."""
        heard = yield from self._ask("GET", model_path(model, version), timeout=timeout)
        said = _decode(_succeeded(heard), _Metadata)
        found = ModelMetadata(
            name=said.name,
            versions=said.versions,
            platform=said.platform,
            signature=Signature(inputs=_specs(said.inputs), outputs=_specs(said.outputs)),
            labels=said.labels,
        )
        self._known[model, version] = found
        return found

    def infer(
        self,
        model: str,
        given: Mapping[str, Any],
        *,
        version: str,
        outputs: Sequence[str] | None,
        top: int,
        id: str,
        priority: int,
        timeout: float | None,
        binary: bool | None,
    ) -> Talk[Outputs]:
        """Check, send, read. A model that was replaced meanwhile is looked at again before a caller is blamed."""
        seconds = self._timeout if timeout is None else timeout
        deadline = time.monotonic() + seconds
        feed, wanted = yield from self._checked(model, version, given, outputs, top, deadline)
        as_binary = self._binary if binary is None else binary

        def render(left: float) -> tuple[dict[str, str], bytes]:
            parameters: dict[str, Any] = {"timeout": max(1, int(left * 1e6))}
            if priority:
                parameters["priority"] = priority
            body = render_request(feed, binary=as_binary, id=id, outputs=wanted, top=top, parameters=parameters)
            headers = {"Content-Type": "application/json" if body.header_length is None else "application/octet-stream"}
            if body.header_length is not None:
                headers[LENGTH_HEADER] = str(body.header_length)
            return headers, body.content

        path = f"{model_path(model, version)}/infer"
        heard = yield from self._ask("POST", path, render, timeout=deadline - time.monotonic())
        if heard.status != 200:
            self._known.pop((model, version), None)
            raise failure(heard)
        length = heard.headers.get(LENGTH_HEADER.lower(), "")
        try:
            answer = parse_response(heard.body, int(length) if length.isdigit() else None)  # type: ignore[arg-type]
        except (RequestError, ValueError) as error:
            raise ServerFaultError(f"the answer cannot be read ({error})", at=path) from error
        result = Outputs(answer.outputs)
        result.model, result.version, result.id = answer.model_name, answer.model_version, answer.id
        return result

    # -- how they are asked ----------------------------------------------------------------------------------------

    def _checked(
        self,
        model: str,
        version: str,
        given: Mapping[str, Any],
        outputs: Sequence[str] | None,
        top: int,
        deadline: float,
    ) -> Talk[tuple[dict[str, Array], Sequence[str]]]:
        known = self._known.get((model, version))
        fresh = known is None
        while True:
            if known is None:
                known = yield from self.metadata(model, version, timeout=deadline - time.monotonic())
                fresh = True
            try:
                names = [spec.name for spec in known.signature.outputs]
                for name in outputs or ():
                    if name not in names:
                        raise unknown_name("output", name, names)
                return as_feed(known.signature, given), outputs or (names if top else ())
            except LeptonError:
                if fresh:
                    raise
                known = None

    def _ask(
        self,
        method: str,
        path: str,
        render: Callable[[float], tuple[dict[str, str], bytes | None]] = lambda _: ({}, None),
        *,
        timeout: float | None = None,
        retries: int | None = None,
        safe: bool = True,
    ) -> Talk[Heard]:
        """The last answer. What is not `safe` is asked again only where the server surely did not begin with it."""
        seconds = self._timeout if timeout is None else timeout
        deadline = time.monotonic() + seconds
        most = self._retries if retries is None else retries
        for attempt in range(most + 1):
            left = deadline - time.monotonic()
            if left <= 0:
                raise LateError(f"no answer after {max(seconds, 0):.3g} s", at=path)
            headers, body = render(left)
            heard: Heard | None = None
            lost: LostError | None = None
            try:
                heard = yield Ask(method, path, self._headers | headers, body, left)
            except LostError as error:
                lost = error
            if heard is not None and heard.status not in AGAIN:
                return heard
            wait = self._pause(attempt, heard)
            hopeless = lost is not None and lost.sent and not safe
            if attempt == most or hopeless or time.monotonic() + wait >= deadline:
                if heard is None:
                    assert lost is not None
                    raise lost
                return heard
            yield Pause(wait)
        raise AssertionError("the loop returns or raises")

    def _pause(self, attempt: int, heard: Heard | None) -> float:
        """As long as the server asks for; else a random part of a span that doubles, so that clients do not come back
        all at once."""
        asked = asked_pause(heard.headers.get("retry-after", "")) if heard is not None else None
        span = min(LONGEST_PAUSE, FIRST_PAUSE * 2**attempt)
        return (asked or 0.0) + self._draw.uniform(span / 2, span)


def model_path(model: str, version: str = "") -> str:
    """The address of a model."""
    path = f"/v2/models/{quote(model, safe='')}"
    return f"{path}/versions/{quote(version, safe='')}" if version else path


def asked_pause(text: str) -> float | None:
    """Seconds to wait, from a header in seconds or as a date; None for anything else.

    Example:
        >>> asked_pause("3"), asked_pause("Wed, 21 Oct 2015 07:28:00 GMT"), asked_pause("soon")
        (3.0, 0.0, None)
    """
    if text.isdigit() and len(text) < 10:
        return float(text)
    try:
        moment = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, moment.timestamp() - time.time())


def failure(heard: Heard) -> LeptonError:
    """The error for an answer that is not one."""
    text = ""
    try:
        said = msgspec.json.decode(heard.body)
        text = str(said["error"]) if isinstance(said, dict) and "error" in said else ""
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass
    if heard.status == 429:
        seconds = asked_pause(heard.headers.get("retry-after", "")) or 1
        return TooManyRequestsError(text.partition(" Try again in ")[0], retry_after=int(seconds))
    kind = _ERRORS.get(heard.status) or (ServerFaultError if heard.status >= 500 else RequestError)
    return kind(text or f"the server answered {heard.status}, without a reason")


def _succeeded(heard: Heard) -> Heard:
    if heard.status != 200:
        raise failure(heard)
    return heard


def _decode(heard: Heard, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(heard.body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ServerFaultError(f"the answer is not what the protocol says ({error})") from error


def _specs(tensors: tuple[_Tensor, ...]) -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec(name=each.name, dtype=each.datatype, shape=each.shape) for each in tensors)
