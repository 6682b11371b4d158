"""One of several processes that are one server: it answers on a socket that it was given, and does as it is told.

Started by the supervisor as `python -m lepton_ai.serving.worker LISTEN CONTROL MEMORY`, three open files.
"""

import asyncio
import functools
import gc
import mmap
import signal
import socket
import sys

import msgspec

from lepton_ai.bundle import Bundle
from lepton_ai.core import LeptonError, RequestError
from lepton_ai.serving import ledger
from lepton_ai.serving.access import Access
from lepton_ai.serving.access_log import show_access_log
from lepton_ai.serving.app import App
from lepton_ai.serving.errors import blame
from lepton_ai.serving.grpc_front import GrpcFront
from lepton_ai.serving.lifecycle import Front, Life, run_loop
from lepton_ai.serving.model import ServedModel
from lepton_ai.serving.repository import Repository
from lepton_ai.serving.service import Service
from lepton_ai.serving.wire import Command, Message, Task, send

_LAST_WORD = 0.2  # seconds in which the supervisor says that all are to stop, if they are
_REFRESH = 0.5  # seconds between looks at the queues, for the metrics


class Worker:
    """Serves a task until it is told to stop, or until nobody is left to tell it."""

    def __init__(self, task: Task, listening: socket.socket, memory: memoryview) -> None:
        self._task = task
        self._repository = None if task.repository is None else Repository(task.repository, variant=task.variant)
        self._service = Service(
            self._load(),
            config=task.config,
            repository=self._repository,
            access=Access(task.token),
            counters=ledger.Ledger(memory),
        )
        fronts: list[Front] = []
        if task.grpc is not None:
            fronts.append(GrpcFront(task.grpc, host=task.host, tls=task.tls, shared=True))
        context = task.tls.context() if task.tls else None
        self._life = Life(App(self._service, host=task.host), listening, tls=context, fronts=fronts)
        self._prepared: dict[tuple[str, str], ServedModel] = {}
        self._alone = self._told = False

    async def run(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer, and obey, until the end."""
        addresses = await self._life.start()
        loop = asyncio.get_running_loop()
        # A signal to all processes at once is the supervisor's to pass on: it may have more to say.
        loop.add_signal_handler(signal.SIGTERM, loop.call_later, _LAST_WORD, self._end_alone, reader)
        refreshing = loop.create_task(self._refresh())
        models = tuple((model.name, model.version) for model in self._service.models)
        await send(writer, Message(number=0, models=models, addresses=tuple(addresses)))
        grace = 0.0
        obeying: set[asyncio.Task[None]] = set()
        while line := await reader.readline():
            if not line.strip():
                continue
            command = msgspec.json.decode(line, type=Command)
            if command.verb == "stop":
                grace, self._told = command.grace, True
                break
            task = loop.create_task(self._obey(command, writer))
            obeying.add(task)
            task.add_done_callback(obeying.discard)
        hurry = loop.create_task(self._await_hurry(reader))
        await self._life.stop(grace, shared=self._alone)
        for each in (hurry, refreshing, *obeying):
            each.cancel()

    def _end_alone(self, reader: asyncio.StreamReader) -> None:
        """A signal to this process: the supervisor and the others go on."""
        if not self._told:
            self._alone = True
            reader.feed_eof()

    async def _await_hurry(self, reader: asyncio.StreamReader) -> None:
        """Another word, or the end of the connection: no time for grace."""
        await reader.readline()
        self._life.hurry()

    async def _obey(self, command: Command, writer: asyncio.StreamWriter) -> None:
        key = (command.name, command.version)
        try:
            if command.verb == "prepare":
                self._prepared[key] = await self._service.prepare(*key)
            elif command.verb == "switch":
                self._service.switch(self._prepared.pop(key))
            elif command.verb == "discard":
                await self._prepared.pop(key).close()
            elif command.verb == "unload":
                await self._service.unload(*key)
            done = Message(number=command.number)
        except RequestError as error:
            done = Message(number=command.number, error=str(error), status=error.status)
        except LeptonError as error:
            done = Message(number=command.number, error=str(error), status=RequestError.status)
        except Exception as error:
            status, text = blame(error)
            done = Message(number=command.number, error=text, status=status)
        await send(writer, done)

    async def _refresh(self) -> None:
        while True:
            self._service.refresh()
            await asyncio.sleep(_REFRESH)

    def _load(self) -> list[ServedModel]:
        task = self._task
        if self._repository is None:
            assert task.path is not None
            return [ServedModel.load(Bundle.open(task.path), name=task.name, variant=task.variant, config=task.config)]
        found = []
        for name, wanted in task.models:
            version, path = self._repository.find(name, wanted)
            found.append(self._repository.load(name, version, path, task.config))
        return found


async def _work(listening: socket.socket, control: socket.socket, memory: memoryview) -> None:
    reader, writer = await asyncio.open_connection(sock=control)
    task = msgspec.json.decode(await reader.readline(), type=Task)
    try:
        worker = await asyncio.get_running_loop().run_in_executor(
            None, functools.partial(Worker, task, listening, memory)
        )
    except LeptonError as error:
        await send(writer, Message(number=0, error=str(error), status=error.status))
        return
    if task.config.access_log:
        show_access_log()
    gc.collect()
    gc.freeze()
    await worker.run(reader, writer)
    writer.close()


def main(listen: int, control: int, memory: int) -> None:
    """Serve on the open files of these numbers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the supervisor, which tells us
    block = memoryview(mmap.mmap(memory, ledger.SIZE))
    run_loop(_work(socket.socket(fileno=listen), socket.socket(fileno=control), block))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:4]))
