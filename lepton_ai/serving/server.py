"""The server process: from a bundle on disk to a port that answers, and back down without losing a request."""

import functools
import gc
import ipaddress
import socket
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import uvicorn

from lepton_ai.bundle import Bundle
from lepton_ai.core import ConfigError, UsageError
from lepton_ai.serving.app import App
from lepton_ai.serving.config import ServerConfig
from lepton_ai.serving.http import JsonHttpProtocol
from lepton_ai.serving.model import ServedModel

_START_SECONDS = 30.0


def serve(
    path: str | Path,
    *,
    host: str = "127.0.0.1",
    port: int = 8080,
    name: str | None = None,
    variant: str | None = None,
    insecure: bool = False,
    config: ServerConfig | None = None,
) -> None:
    """Serve the bundle at `path` until SIGTERM or SIGINT; then finish what was begun and return.

    Prints one line once it answers, such as `lepton: serving digits at http://127.0.0.1:8080`. Port 0 takes a free one.
    The server has no authentication yet: a `host` that others can reach needs `insecure=True`.

    Raises: BundleError for a bundle that is damaged, has no graph or fails its golden pairs; ConfigError for a port
    that is taken or a host that is refused.
    """
    server = Server.open(path, host=host, port=port, name=name, variant=variant, insecure=insecure, config=config)
    gc.collect()
    gc.freeze()  # what the imports and the model made stays: no later collection need look at it
    server.run(announce=_print_line)


class Server:
    """A server for `models`. `run` blocks; `with Server.open(path, port=0) as server:` answers from a thread at `url`.

    The port is taken before the first model is asked for, so a generator may load them. `app.finished` and each
    model's `batcher.batches` are channels to listen to.
    """

    def __init__(
        self,
        models: Iterable[ServedModel],
        *,
        host: str = "127.0.0.1",
        port: int = 8080,
        insecure: bool = False,
        config: ServerConfig | None = None,
    ) -> None:
        config = config or ServerConfig()
        _check_host(host, insecure)
        self._socket = _bind(host, port)
        try:
            self.app = App(models, config)
        except BaseException:
            self._socket.close()
            raise
        self.host, self.port = host, int(self._socket.getsockname()[1])
        self._server = _Uvicorn(self.app, config)
        self._thread: threading.Thread | None = None

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        host: str = "127.0.0.1",
        port: int = 8080,
        name: str | None = None,
        variant: str | None = None,
        insecure: bool = False,
        config: ServerConfig | None = None,
    ) -> "Server":
        """A server for the bundle at `path`, verified and replayed; see `serve`."""

        def load() -> Iterator[ServedModel]:
            yield ServedModel.load(Bundle.open(path), name=name, variant=variant, config=config)

        return cls(load(), host=host, port=port, insecure=insecure, config=config)

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    def run(self, *, announce: Callable[[str], object] | None = None) -> None:
        """Answer until a signal or `stop`. `announce` is told one line as soon as requests are answered."""
        if announce is not None:
            line = f"lepton: serving {', '.join(self.app.models)} at {self.url}"
            self._server.on_started = lambda: announce(line)
        self._server.run(sockets=[self._socket])

    def stop(self) -> None:
        """Stop answering: not ready, finish what was begun, leave. May be called from any thread."""
        self._server.begin_stop()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def __enter__(self) -> "Server":
        started = threading.Event()
        self._server.on_started = started.set
        self._thread = threading.Thread(target=self.run, name="lepton-server", daemon=True)
        self._thread.start()
        if not started.wait(_START_SECONDS):
            raise UsageError("the server did not start", at=self.url)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class _Uvicorn(uvicorn.Server):
    """uvicorn, telling when it answers, and leaving with status 0 when it is asked to leave."""

    def __init__(self, app: App, config: ServerConfig) -> None:
        protocol: Any = functools.partial(
            JsonHttpProtocol, head_seconds=config.head_seconds, max_connections=config.max_connections
        )
        super().__init__(
            uvicorn.Config(
                app,
                http=protocol,
                ws="none",
                loop="auto",
                lifespan="on",
                interface="asgi3",
                log_config=None,
                log_level="error",
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=config.stop_seconds,
            )
        )
        self.on_started: Callable[[], object] = lambda: None
        self._app = app

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.on_started()

    def begin_stop(self) -> None:
        self._app.ready = False
        self.should_exit = True

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal. uvicorn would raise it again in the end; a server that was asked to stop has not failed."""
        if self.should_exit:
            self.force_exit = True
        self.begin_stop()


def _check_host(host: str, insecure: bool) -> None:
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback and not insecure:
        raise ConfigError(
            at="serve(host)",
            got=host,
            expected="a loopback address such as 127.0.0.1: the server has no authentication yet",
            fix="Put a proxy with authentication before it, or pass insecure=True (lepton serve: --insecure) "
            "in a network you trust.",
        )


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
    except (OSError, OverflowError) as error:
        bound.close()
        raise ConfigError(
            f"cannot listen on {host}:{port} ({error})",
            at="serve(host, port)",
            fix="Choose another port, or 0 for a free one.",
        ) from error
    return bound


def _print_line(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
