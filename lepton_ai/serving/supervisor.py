"""Several processes that are one server: they share a port, their counters are added up, one that dies is replaced.

The listening socket is one, opened here and inherited: a connection that no worker has taken yet is not lost with a
worker. What a dead worker had begun is lost with it; its clients see the connection end, and may ask again.
"""

import asyncio
import contextlib
import itertools
import mmap
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from lepton_ai.core import LeptonError, NotFoundError, RequestError, UnavailableError, WorkerError, this_machine
from lepton_ai.serving import ledger
from lepton_ai.serving.access import Access, is_loopback
from lepton_ai.serving.lifecycle import on_signals, run_loop
from lepton_ai.serving.managing import manage
from lepton_ai.serving.repository import Repository
from lepton_ai.serving.security import Security, bind, url_of
from lepton_ai.serving.service import rank, server_metadata
from lepton_ai.serving.wire import Command, Message, Task, send

_LOCAL = "127.0.0.1"
_GRACE = 5.0
_START_SECONDS = 120.0
_STABLE = 10.0  # seconds after which a worker counts as well
_LONGEST_PAUSE = 10.0
_PACKAGE = str(Path(__file__).parents[2])


class _Process:
    """One worker, and the line to it."""

    def __init__(self, child: "subprocess.Popen[bytes]", reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        self.child, self.reader, self.writer = child, reader, writer
        self.started = time.monotonic()
        self._answers: dict[int, asyncio.Future[Message]] = {}
        self._numbers = itertools.count(1)

    async def ask(self, verb: str, name: str, version: str) -> Message:
        """Its answer; one that says why not if it is gone."""
        number = next(self._numbers)
        future: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._answers[number] = future
        try:
            await send(self.writer, Command(number=number, verb=verb, name=name, version=version))
        except OSError:
            self.end()
        return await future

    async def listen(self) -> None:
        """Take its answers until it is gone."""
        with contextlib.suppress(OSError, msgspec.DecodeError):
            while line := await self.reader.readline():
                message = msgspec.json.decode(line, type=Message)
                future = self._answers.pop(message.number, None)
                if future is not None and not future.done():
                    future.set_result(message)
        self.end()

    def end(self) -> None:
        """Nobody waits for it any more."""
        for number, future in self._answers.items():
            if not future.done():
                future.set_result(Message(number=number, error="a process ended meanwhile", status=503))
        self._answers.clear()


class Supervisor:
    """`workers` processes for one `task`, managed at one address. `run` blocks until they have ended."""

    def __init__(
        self, task: Task, *, workers: int, port: int = 8080, management: int | None = None, insecure: bool = False
    ) -> None:
        Security(token=task.token, tls=task.tls, insecure=insecure).check(task.host)
        self._access = Access(task.token)
        self._repository = None if task.repository is None else Repository(task.repository, variant=task.variant)
        self._count = workers
        self._socket = bind(task.host, port)
        self._management = None if management is None else bind(_LOCAL, management)
        self._grpc = None
        if task.grpc is not None:
            self._grpc = bind(task.host, task.grpc, shared=True)  # keeps the port for the workers
            task = msgspec.structs.replace(task, grpc=self._grpc.getsockname()[1])
        threads = task.config.threads or max(1, this_machine().cores // workers // task.config.instances)
        config = msgspec.structs.replace(task.config, threads=threads)
        if self._repository is not None:
            newest = tuple((name, max(versions, key=int)) for name, versions in self._repository.scan().items())
            task = msgspec.structs.replace(task, models=newest)
        self._task = msgspec.structs.replace(task, config=config)
        self._memory = [_shared_memory() for _ in range(workers)]
        self._processes: dict[int, _Process] = {}
        self._loaded: set[tuple[str, str]] = set()
        self._states: dict[tuple[str, str], tuple[str, str]] = {}
        self._restarts = 0
        self._addresses: Sequence[str] = ()
        self._stopping = asyncio.Event()
        self._hurry = False
        self._changing = asyncio.Lock()

    @property
    def url(self) -> str:
        """Where the workers answer."""
        return url_of(self._task.host, self._socket.getsockname()[1], secure=self._task.tls is not None)

    @property
    def management_url(self) -> str | None:
        """Where they are controlled, if anywhere."""
        return None if self._management is None else url_of(_LOCAL, self._management.getsockname()[1])

    def run(self, *, announce: Callable[[str], object] | None = None) -> None:
        """Answer until a signal; `announce` is told a line once all workers answer.

        Raises: WorkerError if a worker cannot start at all.
        """
        run_loop(self._run(announce or (lambda line: None)))

    async def _run(self, announce: Callable[[str], object]) -> None:
        self._socket.listen(2048)
        on_signals(self._begin_stop)
        starts = await asyncio.gather(*map(self._start, range(self._count)), return_exceptions=True)
        failed = [each for each in starts if each is not None]
        if failed:
            for process in self._processes.values():
                process.child.kill()
                process.child.wait()
            raise failed[0]
        manager = await manage(self, self._management, access=self._access)
        keeping = [asyncio.ensure_future(self._keep(place)) for place in range(self._count)]
        names = ", ".join(sorted({name for name, _ in self._loaded})) or "no model yet"
        announce(f"lepton: serving {names} at {' and '.join([self.url, *self._addresses])}")
        if self.management_url is not None:
            announce(f"lepton: managed at {self.management_url}")
        await self._stopping.wait()
        grace = self._task.config.grace_seconds
        if grace is None:
            grace = 0.0 if is_loopback(self._task.host) else _GRACE
        self._socket.close()  # the workers have it too; were it open here, clients would wait for nobody
        if self._grpc is not None:
            self._grpc.close()
        await asyncio.gather(*(self._tell_to_stop(each, grace) for each in self._processes.values()))
        await asyncio.gather(*keeping)
        await manager.close()

    # -- processes -----------------------------------------------------------------------------------------------

    async def _start(self, place: int) -> None:
        """Start a worker and wait until it answers.

        Raises: WorkerError with its own reason.
        """
        ours, theirs = socket.socketpair()
        files = (self._socket.fileno(), theirs.fileno(), self._memory[place][0])
        # The package is found where it is here, whatever folder the server was started in.
        command = f"import sys; sys.path.insert(0, {_PACKAGE!r}); from lepton_ai.serving.worker import main; main"
        child = subprocess.Popen([sys.executable, "-c", f"{command}{files}"], pass_fds=files, stdin=subprocess.DEVNULL)
        theirs.close()
        reader, writer = await asyncio.open_connection(sock=ours)
        process = self._processes[place] = _Process(child, reader, writer)
        line = b""
        with contextlib.suppress(OSError, TimeoutError):
            await send(writer, self._task)
            line = await asyncio.wait_for(reader.readline(), _START_SECONDS)
        told = msgspec.json.decode(line, type=Message) if line else Message(number=0, error="it did not start")
        if told.error:
            child.kill()
            await asyncio.get_running_loop().run_in_executor(None, child.wait)
            writer.close()
            raise WorkerError(told.error)
        self._addresses = told.addresses
        self._loaded |= set(told.models)
        if self._stopping.is_set():
            await self._tell_to_stop(process, 0.0)

    async def _keep(self, place: int) -> None:
        """See to it that there is a worker, until the end."""
        pause = 0.1
        while True:
            process = self._processes[place]
            await process.listen()
            await asyncio.get_running_loop().run_in_executor(None, process.child.wait)
            process.writer.close()
            if self._stopping.is_set():
                return
            del self._processes[place]
            pause = 0.1 if time.monotonic() - process.started > _STABLE else min(_LONGEST_PAUSE, 2 * pause)
            self._restarts += 1
            while place not in self._processes:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), pause)
                if self._stopping.is_set():
                    return
                async with self._changing:  # it starts with what the others have
                    models = tuple(sorted(self._loaded)) if self._repository is not None else ()
                    self._task = msgspec.structs.replace(self._task, models=models)
                    try:
                        await self._start(place)
                    except (WorkerError, OSError):
                        self._processes.pop(place, None)
                        pause = min(_LONGEST_PAUSE, 2 * pause)

    def _begin_stop(self, hurry: bool) -> None:
        if self._stopping.is_set():
            hurry = True
            for process in self._processes.values():  # another word: no time for grace
                process.writer.write(b"\n")
        self._hurry = self._hurry or hurry
        self._stopping.set()

    async def _tell_to_stop(self, process: _Process, grace: float) -> None:
        with contextlib.suppress(OSError):
            await send(process.writer, Command(number=0, verb="stop", grace=0.0 if self._hurry else grace))

    # -- control -------------------------------------------------------------------------------------------------

    def index(self, *, ready: bool = False) -> list[dict[str, str]]:
        """Every version that is known, with its state."""
        found = dict.fromkeys(self._loaded, ("READY", ""))
        if not ready:
            for name, versions in (self._repository.scan() if self._repository else {}).items():
                for version in versions:
                    found.setdefault((name, version), self._states.get((name, version), ("UNAVAILABLE", "not loaded")))
        ordered = sorted(found.items(), key=lambda item: (item[0][0], rank(item[0][1])))
        return [
            {"name": name, "version": version, "state": state, "reason": reason}
            for (name, version), (state, reason) in ordered
        ]

    async def load(self, name: str, version: str = "") -> None:
        """Let every worker load a version, and only if all could, let it answer.

        Raises: NotFoundError, RequestError with the reason of the worker that could not.
        """
        if self._repository is None:
            raise NotFoundError("this server has no repository to load from", fix="Start it with --repository FOLDER.")
        async with self._changing:
            version, _ = self._repository.find(name, version)
            key = (name, version)
            self._states[key] = ("LOADING", "")
            try:
                await self._all("prepare", *key, otherwise="discard")
                await self._all("switch", *key)
            except LeptonError as error:
                self._states[key] = ("UNAVAILABLE", str(error))
                raise
            del self._states[key]
            self._loaded.add(key)

    async def unload(self, name: str, version: str = "") -> None:
        """Let no worker answer for a version (default: all) any more.

        Raises: NotFoundError.
        """
        async with self._changing:
            gone = {key for key in self._loaded if key[0] == name and version in ("", key[1])}
            if not gone:
                raise NotFoundError(f"model {name[:128]!r} is not loaded")
            await self._all("unload", name, version)
            self._loaded -= gone
            self._states |= dict.fromkeys(gone, ("UNAVAILABLE", "unloaded"))

    def drain(self) -> None:
        """Begin to stop."""
        self._begin_stop(False)

    def rows(self) -> dict[tuple[str, str], list[float]]:
        """The counters of all workers, added up."""
        return ledger.read_rows([memory for _, memory in self._memory])

    def state(self) -> dict[str, Any]:
        """Whether it is ready, and how many processes it is."""
        alive = sum(process.child.poll() is None for process in self._processes.values())
        return {"ready": alive > 0 and not self._stopping.is_set(), "workers": alive, "restarts": self._restarts}

    def server_metadata(self) -> dict[str, Any]:
        """Name, version, extensions."""
        return server_metadata()

    async def _all(self, verb: str, name: str, version: str, *, otherwise: str = "") -> None:
        processes = list(self._processes.values())
        if not processes:
            raise UnavailableError("no process is running just now")
        answers = await asyncio.gather(*(each.ask(verb, name, version) for each in processes))
        failed = [answer for answer in answers if answer.error and answer.status != 503]
        failed = failed or [answer for answer in answers if answer.error and "ended meanwhile" not in answer.error]
        if failed:
            if otherwise:
                good = [each for each, answer in zip(processes, answers, strict=True) if not answer.error]
                await asyncio.gather(*(each.ask(otherwise, name, version) for each in good))
            kind = {404: NotFoundError, 503: UnavailableError}.get(failed[0].status, RequestError)
            raise kind(failed[0].error)


def _shared_memory() -> tuple[int, memoryview]:
    """A block that a process started from here can map, by the number of its open file."""
    with tempfile.TemporaryFile() as file:
        file.truncate(ledger.SIZE)
        number = os.dup(file.fileno())
    return number, memoryview(mmap.mmap(number, ledger.SIZE))
