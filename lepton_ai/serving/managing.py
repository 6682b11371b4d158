"""The management address, listening."""

import asyncio
import socket

from lepton_ai.serving.access import Access
from lepton_ai.serving.answers import in_task
from lepton_ai.serving.http import Engine
from lepton_ai.serving.management import Controls, Management
from lepton_ai.serving.service import Service


class Manager:
    """What listens, until it is closed."""

    def __init__(self, engine: Engine | None, listener: asyncio.Server | None) -> None:
        self._engine, self._listener = engine, listener

    async def close(self) -> None:
        """Take no more commands; streams end."""
        if self._listener is not None and self._engine is not None:
            self._listener.close()
            await self._engine.finish(1.0)


async def manage(controls: Controls, bound: socket.socket | None, *, access: Access) -> Manager:
    """Take commands for `controls` on a bound socket; without one, do nothing."""
    if bound is None:
        return Manager(None, None)
    management = Management(controls, access=access)
    engine = Engine(in_task(management.handle), Service())
    listener = await asyncio.get_running_loop().create_server(engine.protocol, sock=bound)
    return Manager(engine, listener)
