"""A server's life: it starts to listen, answers, and stops without losing a request.

Stopping has an order: not ready; a time of grace in which it still answers, so that whoever sends requests learns of
it; no more connections; what was begun is finished; what takes too long is told so with 503.
"""

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Coroutine, Sequence
from signal import SIGINT, SIGTERM
from typing import Any, Protocol

from lepton_ai.serving.access_log import AccessLog
from lepton_ai.serving.app import App
from lepton_ai.serving.http import Engine
from lepton_ai.serving.listening import connect_no_more
from lepton_ai.serving.service import Service

try:
    import uvloop

    new_event_loop: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
except ImportError:  # Windows
    new_event_loop = asyncio.new_event_loop

_BACKLOG = 2048
_SETTLE = 0.05  # seconds in which the loop closes its listener, and the engine hears of the last connections


class Front(Protocol):
    """A way to ask beside HTTP."""

    async def start(self, service: Service) -> str:
        """Bind and answer; where, as the ready line has it."""

    async def stop(self, seconds: float) -> None:
        """Refuse what comes, finish what was begun within `seconds`, cancel the rest."""


class Life:
    """Runs `app` on a bound socket, and `fronts` beside it. `stop` may be called once it is started."""

    def __init__(
        self, app: App, bound: socket.socket, *, tls: ssl.SSLContext | None = None, fronts: Sequence[Front] = ()
    ) -> None:
        self._app, self._bound, self._tls, self._fronts = app, bound, tls, fronts
        config = app.service.config
        log = AccessLog(config.access_log).write if config.access_log else None
        self._engine = Engine(app.begin, app.service, log=log)
        self._listener: asyncio.Server | None = None
        self._spare: socket.socket | None = None
        self._hurry = asyncio.Event()

    async def start(self) -> list[str]:
        """Listen; the addresses of the fronts."""
        loop = asyncio.get_running_loop()
        self._spare = self._bound.dup()
        self._spare.setblocking(False)
        self._listener = await loop.create_server(
            self._engine.protocol, sock=self._bound, ssl=self._tls, backlog=_BACKLOG
        )
        return [await front.start(self._app.service) for front in self._fronts]

    def hurry(self) -> None:
        """No time for grace."""
        self._hurry.set()

    async def stop(self, grace: float, *, shared: bool = False) -> None:
        """Stop, in the order above; then free the models. With `shared`, others go on to listen on the same socket."""
        service = self._app.service
        service.ready = False
        self._engine.closing = True  # each answer is its connection's last: nobody is cut off when the time is over
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._hurry.wait(), grace)
        await self._stop_listening(shared)
        seconds = service.config.stop_seconds
        await asyncio.gather(self._engine.finish(seconds), *(front.stop(seconds) for front in self._fronts))
        await service.close()

    async def _stop_listening(self, shared: bool) -> None:
        """Close the port, but take those first whom the kernel has connected: it would cut them off."""
        if self._listener is None or self._spare is None:
            return
        if not shared:
            with contextlib.suppress(OSError):  # where it is not allowed, few are cut off
                connect_no_more(self._spare)
        await asyncio.sleep(_SETTLE)
        self._listener.close()
        await asyncio.sleep(_SETTLE)
        if shared:  # who waits is for the others
            self._spare.close()
            return
        waiting: list[socket.socket] = []
        with contextlib.suppress(OSError):  # nobody is left
            while True:
                waiting.append(self._spare.accept()[0])
        self._spare.close()
        loop = asyncio.get_running_loop()
        for each in waiting:
            with contextlib.suppress(OSError):
                await loop.connect_accepted_socket(self._engine.protocol, each, ssl=self._tls)
        await asyncio.sleep(_SETTLE)


def run_loop(main: Coroutine[Any, Any, None]) -> None:
    """Run to its end on the fastest event loop there is."""
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(main)


def on_signals(stop: Callable[[bool], object]) -> None:
    """Call `stop` on SIGTERM (False) and on Ctrl-C (True: in a hurry). Only the main thread gets signals."""
    if threading.current_thread() is not threading.main_thread():
        return
    loop = asyncio.get_running_loop()
    for number in (SIGTERM, SIGINT):
        with contextlib.suppress(NotImplementedError):  # Windows
            loop.add_signal_handler(number, stop, number == SIGINT)
