"""What the server does, whatever the transport: models by name and version, and all that the protocol asks of them.

HTTP and gRPC are fronts of it. To be used on the server's event loop only.
"""

import asyncio
import functools
import importlib.metadata
import math
import time
from collections.abc import Callable, Iterable
from typing import Any

from lepton_ai.bundle import InferRequest, check_name
from lepton_ai.core import BundleError, Channel, NotFoundError, UnavailableError, unknown_name
from lepton_ai.serving import ledger
from lepton_ai.serving.access import Access, Admission
from lepton_ai.serving.asking import Asking, pass_on
from lepton_ai.serving.config import ServerConfig
from lepton_ai.serving.errors import status_of
from lepton_ai.serving.events import RequestFinished
from lepton_ai.serving.model import InferReply, ServedModel
from lepton_ai.serving.outbox import Outbox
from lepton_ai.serving.repository import Repository

EXTENSIONS = ["binary_tensor_data", "classification", "model_configuration", "model_repository", "statistics"]


class Service:
    """Answers for `models` and for what is loaded from `repository`. `finished` tells of every infer request.

    `ready` is what the health check says; requests are answered either way.
    """

    def __init__(
        self,
        models: Iterable[ServedModel] = (),
        *,
        config: ServerConfig | None = None,
        repository: Repository | None = None,
        access: Access | None = None,
        counters: ledger.Ledger | None = None,
    ) -> None:
        self.config = config or ServerConfig()
        self.access = access or Access()
        self.admission = Admission(self.config)
        self.finished = Channel[RequestFinished]()
        self.ledger = counters or ledger.Ledger()
        self.outbox = Outbox()
        self.ready = True
        self.pending = 0
        self.on_drain: Callable[[], object] = lambda: None
        self._repository = repository
        self._versions: dict[str, dict[str, ServedModel]] = {}
        self._newest: dict[str, ServedModel] = {}
        self._states: dict[tuple[str, str], tuple[str, str]] = {}  # of what is not ready: state and reason
        self._changing = asyncio.Lock()
        self._leaving: set[asyncio.Task[None]] = set()
        for model in models:
            self.add(model)

    # -- models --------------------------------------------------------------------------------------------------

    @property
    def models(self) -> list[ServedModel]:
        """Every version that answers."""
        return [model for versions in self._versions.values() for model in versions.values()]

    def names(self) -> list[str]:
        """The names of the models that answer."""
        return list(self._versions)

    def add(self, model: ServedModel) -> ServedModel | None:
        """Let `model` answer from the next request on; gives back what answered in its place until now."""
        model.counters = self.ledger.row(model.name, model.version)
        model.batcher.outbox = self.outbox
        versions = self._versions.setdefault(model.name, {})
        before = versions.get(model.version)
        versions[model.version] = model
        self._states.pop((model.name, model.version), None)
        self._sort(model.name)
        return before

    def model(self, name: str, version: str = "") -> ServedModel:
        """The model that answers; without `version` the newest.

        Raises: NotFoundError; UnavailableError for one that is known but not loaded.
        """
        model = self._newest.get(name) if not version else self._versions.get(name, {}).get(version)
        if model is None:
            raise self._missing(name, version)
        return model

    def is_ready(self) -> bool:
        """Whether requests should be sent here."""
        return self.ready

    def is_model_ready(self, name: str, version: str = "") -> bool:
        """Whether the model answers.

        Raises: NotFoundError if there is no such model.
        """
        try:
            self.model(name, version)
        except UnavailableError:
            return False
        return True

    # -- inference -----------------------------------------------------------------------------------------------

    async def infer(
        self,
        name: str,
        version: str,
        request: InferRequest,
        *,
        deadline: float | None = None,
        gone: Callable[[], bool] | None = None,
        started: float | None = None,
        trace: str = "",
    ) -> InferReply:
        """The answer, for those who wait in a task; see `submit`.

        Raises: NotFoundError, UnavailableError, ShapeError, DataError, RequestError and its children.
        """
        future: asyncio.Future[InferReply] = asyncio.get_running_loop().create_future()
        tell = functools.partial(pass_on, future)
        model = self.model(name, version)
        asking = self.submit(model, request, tell, deadline=deadline, gone=gone, started=started, trace=trace)
        try:
            return await future
        except asyncio.CancelledError:
            asking.cancel()
            raise

    def submit(
        self,
        model: ServedModel,
        request: InferRequest,
        tell: Callable[[InferReply | BaseException], object],
        *,
        deadline: float | None = None,
        gone: Callable[[], bool] | None = None,
        started: float | None = None,
        trace: str = "",
    ) -> Asking:
        """Ask without a task: `tell` is called once, after this returned, with the answer or with why there is none.
        `deadline` and `started` are times of `time.perf_counter`.

        Raises: what is wrong with the request, if that is known at once; `tell` is not called then.
        """
        began = time.perf_counter() if started is None else started
        asking = Asking(model, request, functools.partial(self._finish, model, began, trace, tell))
        row = model.counters
        row[ledger.IN_FLIGHT] += 1
        try:
            model.submit(request, asking, gone=gone, deadline=math.inf if deadline is None else deadline)
        except BaseException as error:
            row[ledger.IN_FLIGHT] -= 1
            self.count_failure(model, error, began, trace=trace)
            raise
        return asking

    def _finish(
        self,
        model: ServedModel,
        began: float,
        trace: str,
        tell: Callable[[InferReply | BaseException], object],
        outcome: InferReply | BaseException,
    ) -> None:
        model.counters[ledger.IN_FLIGHT] -= 1
        if isinstance(outcome, InferReply):
            self._count(model, 200, began, outcome, trace)
        else:
            self.count_failure(model, outcome, began, trace=trace)
        tell(outcome)

    def count_failure(self, model: ServedModel, error: BaseException, started: float, *, trace: str = "") -> None:
        """A request for `model` failed before it could be asked: its content could not be read."""
        self._count(model, status_of(error), started, None, trace)

    def _count(self, model: ServedModel, status: int, started: float, reply: InferReply | None, trace: str) -> None:
        seconds = time.perf_counter() - started
        queue, compute = (reply.queue_seconds, reply.compute_seconds) if reply else (0.0, 0.0)
        ledger.count_request(model.counters, status, seconds, queue, compute)
        if self.finished.heard:
            self.finished.emit(
                RequestFinished(
                    model=model.name,
                    version=model.version,
                    status=status,
                    seconds=seconds,
                    queue_seconds=queue,
                    compute_seconds=compute,
                    rows=reply.rows if reply else 0,
                    id=reply.id if reply else "",
                    trace=trace,
                )
            )

    def hold(self, size: int) -> None:
        """Room for bytes that came (fewer than 0: given back). What a client merely declares takes no room.

        Raises: UnavailableError, and then nothing is held.
        """
        if size > 0 and self.pending + size > self.config.max_pending:
            raise UnavailableError("too many bytes of requests wait already", fix="Try again in a moment.")
        self.pending += size

    # -- what the protocol asks ----------------------------------------------------------------------------------

    def server_metadata(self) -> dict[str, Any]:
        """Name, version, extensions."""
        return server_metadata()

    def model_metadata(self, name: str, version: str = "") -> dict[str, Any]:
        """Versions, platform, inputs, outputs."""
        return {**self.model(name, version).metadata, "versions": sorted(self._versions[name], key=rank)}

    def model_config(self, name: str, version: str = "") -> dict[str, Any]:
        """The model's configuration."""
        return self.model(name, version).config()

    def model_statistics(self, name: str = "", version: str = "") -> dict[str, Any]:
        """What the models did: one version, all versions of one, or all."""
        if version:
            chosen = [self.model(name, version)]
        elif name:
            self.model(name)
            chosen = list(self._versions[name].values())
        else:
            chosen = self.models
        return {"model_stats": [model.statistics() for model in chosen]}

    # -- for those who manage it ---------------------------------------------------------------------------------

    def rows(self) -> dict[tuple[str, str], list[float]]:
        """The counters of every model and version."""
        self.refresh()
        return ledger.read_rows([self.ledger.memory])

    def refresh(self) -> None:
        """Bring those counters up to date that say how it is now."""
        for model in self.models:
            model.counters[ledger.WAITING] = model.batcher.waiting
            model.counters[ledger.WAITING_BYTES] = model.batcher.waiting_bytes

    def state(self) -> dict[str, Any]:
        """Whether it is ready, and how many processes it is."""
        return {"ready": self.ready, "workers": 1, "restarts": 0}

    def drain(self) -> None:
        """Begin to stop; whoever runs the server says what that is."""
        self.on_drain()

    # -- the repository ------------------------------------------------------------------------------------------

    def index(self, *, ready: bool = False) -> list[dict[str, str]]:
        """Every version that is known, with its state: READY, LOADING, UNLOADING or UNAVAILABLE, and why."""
        found = {(model.name, model.version): ("READY", "") for model in self.models}
        if not ready:
            known = self._repository.scan() if self._repository else {}
            for name, versions in known.items():
                for version in versions:
                    found.setdefault((name, version), ("UNAVAILABLE", "not loaded"))
            found.update({key: state for key, state in self._states.items() if found.get(key, ("",))[0] != "READY"})
        ordered = sorted(found.items(), key=lambda item: (item[0][0], rank(item[0][1])))
        return [
            {"name": name, "version": version, "state": state, "reason": reason}
            for (name, version), (state, reason) in ordered
        ]

    async def prepare(self, name: str, version: str = "") -> ServedModel:
        """A version (default: the newest) from the repository, loaded, warm and proven, but not answering yet.

        Raises: NotFoundError, BundleError, UnavailableError; what answered before still does.
        """
        if self._repository is None:
            raise NotFoundError("this server has no repository to load from", fix="Start it with --repository FOLDER.")
        version, path = self._repository.find(name, version)
        self._states[name, version] = ("LOADING", "")
        try:
            loading = functools.partial(self._repository.load, name, version, path, self.config)
            return await asyncio.get_running_loop().run_in_executor(None, loading)
        except BaseException as error:
            self._states[name, version] = ("UNAVAILABLE", _reason(error))
            raise

    async def load(self, name: str, version: str = "") -> ServedModel:
        """Load a version (default: the newest) and let it answer; a version that answered before finishes what it has.

        Raises: NotFoundError, BundleError, UnavailableError; what answered before still does.
        """
        async with self._changing:
            model = await self.prepare(name, version)
            self.switch(model)
            return model

    def switch(self, model: ServedModel) -> None:
        """Let a prepared model answer; what it replaces leaves when its last request is done."""
        before = self.add(model)
        if before is not None:
            self._leave(before)

    async def unload(self, name: str, version: str = "") -> None:
        """Let a version (default: all) answer no more, and free it when its last request is done.

        Raises: NotFoundError, UnavailableError if it is not loaded.
        """
        async with self._changing:
            self.model(name, version)
            for model in [self.model(name, version)] if version else list(self._versions[name].values()):
                del self._versions[name][model.version]
                self._states[name, model.version] = ("UNAVAILABLE", "unloaded")
                self._leave(model)
            if not self._versions[name]:
                del self._versions[name]
            self._sort(name)
        await asyncio.sleep(0)

    async def close(self) -> None:
        """Finish what waits in every model and free them."""
        self.ready = False
        await asyncio.gather(*(model.close() for model in self.models), *self._leaving)

    def _leave(self, model: ServedModel) -> None:
        task = asyncio.get_running_loop().create_task(model.close())
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    def _sort(self, name: str) -> None:
        versions = self._versions.get(name)
        if versions:
            self._newest[name] = versions[max(versions, key=rank)]
        else:
            self._newest.pop(name, None)

    def _missing(self, name: str, version: str) -> NotFoundError | UnavailableError:
        try:
            check_name(name)
        except BundleError:
            return NotFoundError(f"unknown model {name[:128]!r}")
        for (known, number), (state, _) in self._states.items():
            if known == name and version in ("", number):
                # Why it is so names files: that is for the index, not for whoever asks for an answer.
                if state == "LOADING":
                    return UnavailableError(f"version {number} of the model {name!r} is loading")
                return NotFoundError(f"version {number} of the model {name!r} is not loaded")
        loaded = self._versions.get(name)
        if loaded is None:
            return NotFoundError(str(unknown_name("model", name, list(self._versions))))
        return NotFoundError(
            f"model {name!r} has no version {version[:32]!r}", fix=f"Known: {', '.join(sorted(loaded, key=rank))}."
        )


def rank(version: str) -> tuple[int, str]:
    """By what versions are ordered: as numbers."""
    return (int(version) if version.isdigit() else -1, version)


def _reason(error: BaseException) -> str:
    """Why a load failed, for those who manage the server."""
    return str(error) or type(error).__name__


@functools.cache
def server_metadata() -> dict[str, Any]:
    """What a server says of itself."""
    return {"name": "lepton", "version": importlib.metadata.version("lepton-ai"), "extensions": EXTENSIONS}
