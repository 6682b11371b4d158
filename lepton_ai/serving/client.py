"""A client for programs that wait for their answers."""

import ssl
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar
from urllib.parse import urlsplit

from lepton_ai.core import ConfigError, LeptonError, RequestError
from lepton_ai.serving.calls import Ask, Caller, Heard, LostError, ModelMetadata, Outputs, Pause, Talk, model_path
from lepton_ai.serving.errors import LateError

T = TypeVar("T")
_PART = 1 << 18


class Client:
    """Asks a server of the Open Inference Protocol v2. May be shared by threads; keeps up to `connections` open.

    `timeout` is how long a call may take in seconds, all of its attempts included; the server is told, and drops what
    it cannot answer in time. A call is tried up to `retries` times more where the server says that it is busy (429,
    502, 503; no sooner than its Retry-After asks for) or cannot be reached. `token` goes out as a bearer token. `tls`
    is a file of the certificates to trust for https, or a context of yours. `binary` sends and asks for raw tensors;
    otherwise JSON.

    Raises: ConfigError for an address or a setting that cannot be.

    Example:
        >>> with Client("http://127.0.0.1:8080", timeout=5) as client:
        ...     client.live()
        False
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        timeout: float = 60.0,
        retries: int = 3,
        binary: bool = True,
        tls: str | Path | ssl.SSLContext | None = None,
        connections: int = 64,
    ) -> None:
        import urllib3

        self._caller = Caller(url, token=token, timeout=timeout, retries=retries, binary=binary)
        options: dict[str, Any] = {"maxsize": connections, "block": True, "retries": False}
        if self._caller.url.startswith("https:"):
            options["ssl_context"] = trusting(tls)
        self._prefix = urlsplit(self._caller.url).path
        self._urllib3 = urllib3
        self._pool = urllib3.connection_from_url(self._caller.url, **options)

    @property
    def url(self) -> str:
        """Whom it asks."""
        return self._caller.url

    def infer(
        self,
        model: str,
        inputs: Mapping[str, Any] | None = None,
        *,
        version: int | str = "",
        outputs: Sequence[str] | None = None,
        top: int = 0,
        id: str = "",
        priority: int = 0,
        timeout: float | None = None,
        binary: bool | None = None,
        **arrays: Any,
    ) -> Outputs:
        """The outputs of a model, by name: `client.infer("digits", image=array)`.

        An input whose name is one of the words above, or no word at all, goes into `inputs`. Arrays are sent as they
        are; lists and numbers take the model's dtype. `outputs` are those that are wanted, all by default; `top` asks
        for the best classes of each instead, as texts `value:index:label`. `priority` goes from 1, the highest, to 10.

        Raises: before anything is sent, UnknownNameError, ShapeError and DataError for inputs that do not fit the
        model; NotFoundError for a model or version that is not there; RequestError and its children for what the
        server refuses; LateError; LostError where no server answers; ServerFaultError.
        """
        return self._run(
            self._caller.infer(
                model,
                {**(inputs or {}), **arrays},
                version=str(version),
                outputs=outputs,
                top=top,
                id=id,
                priority=priority,
                timeout=timeout,
                binary=binary,
            )
        )

    def live(self) -> bool:
        """Whether the server answers."""
        return self._run(self._caller.is_true("/v2/health/live"))

    def ready(self, model: str = "", version: int | str = "") -> bool:
        """Whether the server, or one of its models, answers requests."""
        path = f"{model_path(model, str(version))}/ready" if model else "/v2/health/ready"
        return self._run(self._caller.is_true(path))

    def metadata(self, model: str, version: int | str = "") -> ModelMetadata:
        """A model's inputs and outputs, versions and labels.

        Raises: NotFoundError.
        """
        return self._run(self._caller.metadata(model, str(version)))

    def server(self) -> dict[str, Any]:
        """Name, version and extensions of the server."""
        found: dict[str, Any] = self._run(self._caller.fetch("GET", "/v2"))
        return found

    def config(self, model: str, version: int | str = "") -> dict[str, Any]:
        """A model's configuration in Triton's words."""
        found: dict[str, Any] = self._run(self._caller.fetch("GET", f"{model_path(model, str(version))}/config"))
        return found

    def statistics(self, model: str = "", version: int | str = "") -> list[dict[str, Any]]:
        """Counts and durations of a model, or of all: one entry for each version, times in nanoseconds."""
        path = f"{model_path(model, str(version))}/stats" if model else "/v2/models/stats"
        found: list[dict[str, Any]] = self._run(self._caller.fetch("GET", path))["model_stats"]
        return found

    def index(self, *, ready: bool = False) -> list[dict[str, Any]]:
        """What is in the repository, or of it what is ready. For the management address."""
        found: list[dict[str, Any]] = self._run(self._caller.fetch("POST", "/v2/repository/index", {"ready": ready}))
        return found

    def load(self, model: str, version: int | str = "", *, timeout: float | None = None) -> None:
        """Load a model, or a newer version in place of the one that is served. For the management address.

        Raises: RequestError if it cannot be served; what was served before still is.
        """
        self._run(self._caller.control("load", model, str(version), timeout=timeout))

    def unload(self, model: str, version: int | str = "", *, timeout: float | None = None) -> None:
        """Stop serving a model once its last request is answered. For the management address."""
        self._run(self._caller.control("unload", model, str(version), timeout=timeout))

    def close(self) -> None:
        """Close the connections."""
        self._pool.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self, talk: Talk[T]) -> T:
        """Hold a conversation."""
        try:
            step = next(talk)
            while True:
                if isinstance(step, Pause):
                    time.sleep(step.seconds)
                    step = talk.send(None)
                    continue
                try:
                    heard = self._exchange(step)
                except LeptonError as error:
                    step = talk.throw(error)
                else:
                    step = talk.send(heard)
        except StopIteration as stop:
            result: T = stop.value
            return result

    def _exchange(self, ask: Ask) -> Heard:
        errors = self._urllib3.exceptions
        deadline = time.monotonic() + ask.seconds
        response = None
        try:
            response = self._pool.urlopen(
                ask.method,
                self._prefix + ask.path,
                body=ask.body,
                headers=ask.headers,
                redirect=False,
                preload_content=False,
                timeout=self._urllib3.Timeout(connect=ask.seconds, read=ask.seconds),
                pool_timeout=ask.seconds,  # type: ignore[arg-type]  # it takes fractions, too
            )
            body = bytearray()  # what is read from it may be written to, as arrays of one's own may
            while part := response.read1(_PART):
                body += part
                if time.monotonic() > deadline:
                    raise too_late(ask)
            response.release_conn()
            return Heard(response.status, {name.lower(): value for name, value in response.headers.items()}, body)
        except errors.SSLError as error:
            raise distrusted(self.url, error) from error
        except (errors.NewConnectionError, errors.NameResolutionError) as error:
            raise lost(self.url, "cannot be reached", sent=False) from error
        except (errors.TimeoutError, errors.EmptyPoolError) as error:
            raise too_late(ask) from error
        except (errors.HTTPError, OSError) as error:
            raise lost(self.url, "closed the connection without an answer", sent=True) from error
        finally:
            if response is not None and not response.closed:
                response.close()


def trusting(tls: str | Path | ssl.SSLContext | None) -> ssl.SSLContext:
    """The context for https.

    Raises: ConfigError for a file that holds no certificates.
    """
    if isinstance(tls, ssl.SSLContext):
        return tls
    try:
        return ssl.create_default_context(cafile=str(tls) if tls is not None else None)
    except OSError as error:
        raise ConfigError(
            f"{tls} holds no certificates ({error.strerror or error})", at="Client.tls", expected="a PEM file"
        ) from error


def too_late(ask: Ask) -> LateError:
    """The error for an answer that did not come in time."""
    return LateError(f"no answer after {ask.seconds:.3g} s", at=ask.path)


def lost(url: str, what: str, *, sent: bool) -> LostError:
    """The error for a server that does not answer."""
    error = LostError(f"{url} {what}", fix="" if sent else "Is the server running there?")
    error.sent = sent
    return error


def distrusted(url: str, error: Exception) -> RequestError:
    """The error for a certificate that is not to be trusted."""
    return RequestError(f"{url} is not to be trusted ({error})", fix='Name its authority: tls="authority.pem".')
