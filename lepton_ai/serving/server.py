"""The server process: from bundles on disk to a port that answers, and back down without losing a request."""

import asyncio
import gc
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType

from lepton_ai.bundle import Bundle
from lepton_ai.core import ConfigError, UsageError
from lepton_ai.serving.access import Access, is_loopback
from lepton_ai.serving.app import App
from lepton_ai.serving.config import ServerConfig
from lepton_ai.serving.grpc_front import GrpcFront
from lepton_ai.serving.lifecycle import Front, Life, on_signals, run_loop
from lepton_ai.serving.managing import manage
from lepton_ai.serving.model import ServedModel
from lepton_ai.serving.repository import Repository
from lepton_ai.serving.security import Security, bind, url_of
from lepton_ai.serving.service import Service
from lepton_ai.serving.supervisor import Supervisor
from lepton_ai.serving.wire import Task

_START_SECONDS = 30.0
_GRACE = 5.0  # for those who are told of it by a balancer that looks every few seconds
_LOCAL = "127.0.0.1"


def serve(
    path: str | Path | None = None,
    *,
    repository: str | Path | None = None,
    host: str = "127.0.0.1",
    port: int = 8080,
    name: str | None = None,
    variant: str | None = None,
    grpc: int | None = None,
    management: int | None = None,
    workers: int = 1,
    insecure: bool = False,
    security: Security | None = None,
    config: ServerConfig | None = None,
) -> None:
    """Serve the bundle at `path`, or all in the folder `repository`, until SIGTERM or SIGINT; then finish what began.

    Prints a line once it answers, such as `lepton: serving digits at http://127.0.0.1:8080`. Port 0 takes a free one.
    `grpc` is a port for gRPC, `management` one on which it is controlled, from this machine alone; `workers` processes
    share the work. A `host` that others can reach needs
    a token: `security=Security(token=...)`; or `insecure=True`.

    Raises: BundleError for a bundle that is damaged, has no graph or fails its golden pairs; ConfigError for a port
    that is taken or a host that is refused.
    """
    security = security or Security(insecure=insecure)
    if workers > 1:
        _check_choice(path, repository)
        task = Task(
            path=None if path is None else str(path),
            repository=None if repository is None else str(repository),
            name=name,
            variant=variant,
            host=host,
            grpc=grpc,
            token=security.token,
            tls=security.tls,
            config=config or ServerConfig(),
        )
        supervisor = Supervisor(task, workers=workers, port=port, management=management, insecure=security.insecure)
        supervisor.run(announce=print_line)
        return
    fronts = [] if grpc is None else [GrpcFront(grpc, host=host, tls=security.tls)]
    server = Server.open(
        path,
        repository=repository,
        host=host,
        port=port,
        name=name,
        variant=variant,
        management=management,
        fronts=fronts,
        security=security,
        config=config,
    )
    gc.collect()
    gc.freeze()  # what the imports and the model made stays: no later collection need look at it
    server.run(announce=print_line)


class Server:
    """A server for `models`. `run` blocks; `with Server.open(path, port=0) as server:` answers from a thread at `url`.

    The port is taken before the first model is asked for, so a generator may load them. `service.finished` and each
    model's `batcher.batches` are channels to listen to. With `management`, a port, it is controlled at
    `management_url`.
    """

    def __init__(
        self,
        models: Iterable[ServedModel] = (),
        *,
        repository: Repository | None = None,
        host: str = "127.0.0.1",
        port: int = 8080,
        management: int | None = None,
        fronts: Sequence[Front] = (),
        security: Security | None = None,
        config: ServerConfig | None = None,
    ) -> None:
        security = security or Security()
        security.check(host)
        access = Access(security.token)
        tls = security.tls.context() if security.tls else None
        self._socket = bind(host, port)
        self._management_socket = None
        try:
            self._management_socket = None if management is None else bind(_LOCAL, management)
            self.service = Service(models, config=config, repository=repository, access=access)
        except BaseException:
            self._socket.close()
            if self._management_socket is not None:
                self._management_socket.close()
            raise
        self.app = App(self.service, host=host)
        self.host, self.port = host, int(self._socket.getsockname()[1])
        self._management_port = self._management_socket.getsockname()[1] if self._management_socket else None
        self._tls, self._fronts = tls, fronts
        self._loop: asyncio.AbstractEventLoop | None = None
        self._life: Life | None = None
        self._stopping: asyncio.Event | None = None
        self._started: Callable[[list[str]], object] = lambda addresses: None
        self._thread: threading.Thread | None = None
        self._failed: BaseException | None = None

    @classmethod
    def open(
        cls,
        path: str | Path | None = None,
        *,
        repository: str | Path | None = None,
        host: str = "127.0.0.1",
        port: int = 8080,
        name: str | None = None,
        variant: str | None = None,
        management: int | None = None,
        fronts: Sequence[Front] = (),
        security: Security | None = None,
        config: ServerConfig | None = None,
    ) -> "Server":
        """A server for the bundle at `path`, verified and replayed, or for a folder of them; see `serve`."""
        _check_choice(path, repository)
        folder = None if repository is None else Repository(repository, variant=variant)

        def load() -> Iterator[ServedModel]:
            if path is not None:
                yield ServedModel.load(Bundle.open(path), name=name, variant=variant, config=config)
            elif folder is not None:
                yield from folder.load_all(config or ServerConfig())

        return cls(
            load(),
            repository=folder,
            host=host,
            port=port,
            management=management,
            fronts=fronts,
            security=security,
            config=config,
        )

    @property
    def url(self) -> str:
        """Where it answers."""
        return url_of(self.host, self.port, secure=self._tls is not None)

    @property
    def management_url(self) -> str | None:
        """Where it is controlled, if anywhere."""
        return None if self._management_port is None else url_of(_LOCAL, self._management_port)

    def run(self, *, announce: Callable[[str], object] | None = None) -> None:
        """Answer until a signal or `stop`. `announce` is told a line as soon as requests are answered."""
        if announce is not None:

            def tell(addresses: list[str]) -> None:
                names = ", ".join(self.service.names()) or "no model yet"
                announce(f"lepton: serving {names} at {' and '.join([self.url, *addresses])}")
                if self.management_url is not None:
                    announce(f"lepton: managed at {self.management_url}")

            self._started = tell
        run_loop(self._run())

    def stop(self) -> None:
        """Stop answering: not ready, finish what was begun, leave. May be called from any thread."""
        if self._loop is not None:
            try:
                self._loop.call_soon_threadsafe(self._begin_stop, True)
            except RuntimeError:
                pass  # it has stopped already
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        self._life = Life(self.app, self._socket, tls=self._tls, fronts=self._fronts)
        self.service.on_drain = lambda: self._begin_stop(False)
        on_signals(self._begin_stop)
        manager = await manage(self.service, self._management_socket, access=self.service.access)
        try:
            self._started(await self._life.start())
            await self._stopping.wait()
        finally:
            await self._life.stop(self._grace())
            await manager.close()

    def _begin_stop(self, hurry: bool) -> None:
        assert self._life is not None and self._stopping is not None
        if hurry or self._stopping.is_set():
            self._life.hurry()
        self.service.ready = False
        self._stopping.set()

    def _grace(self) -> float:
        grace = self.service.config.grace_seconds
        if grace is not None:
            return grace
        return 0.0 if is_loopback(self.host) else _GRACE

    def __enter__(self) -> "Server":
        started = threading.Event()
        self._started = lambda addresses: started.set()

        def run() -> None:
            try:
                self.run()
            except BaseException as error:
                self._failed = error
                started.set()

        self._thread = threading.Thread(target=run, name="lepton-server", daemon=True)
        self._thread.start()
        if not started.wait(_START_SECONDS):
            raise UsageError("the server did not start", at=self.url)
        if self._failed is not None:
            raise self._failed
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _check_choice(path: str | Path | None, repository: str | Path | None) -> None:
    if (path is None) == (repository is None):
        raise ConfigError("give a bundle, or a repository of bundles", at="serve")


def print_line(line: str) -> None:
    """To standard output, at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
