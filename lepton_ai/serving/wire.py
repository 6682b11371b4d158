"""What a supervisor and its workers say to each other: JSON, a line each, over a pair of sockets nobody else has."""

import asyncio

import msgspec

from lepton_ai.serving.config import ServerConfig
from lepton_ai.serving.tls import Tls


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker serves: the bundle at `path`, or `models` (name and version) out of `repository`."""

    path: str | None = None
    repository: str | None = None
    models: tuple[tuple[str, str], ...] = ()
    name: str | None = None
    variant: str | None = None
    host: str = "127.0.0.1"
    grpc: int | None = None
    token: str | None = None
    tls: Tls | None = None
    config: ServerConfig = ServerConfig()


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """`verb` is prepare, switch, discard, unload or stop (`grace` seconds); `number` comes back with the answer."""

    number: int
    verb: str
    name: str = ""
    version: str = ""
    grace: float = 0.0


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """From a worker: the answer to command `number`, or 0: it is ready. `error` says why not, by `status`."""

    number: int
    error: str = ""
    status: int = 200
    models: tuple[tuple[str, str], ...] = ()
    addresses: tuple[str, ...] = ()


async def send(writer: asyncio.StreamWriter, content: msgspec.Struct) -> None:
    """One line."""
    writer.write(msgspec.json.encode(content) + b"\n")
    await writer.drain()
