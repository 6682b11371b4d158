"""The client for programs on an event loop."""

import asyncio
import io
import ssl
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from lepton_ai.core import LeptonError
from lepton_ai.serving.calls import Ask, Caller, Heard, ModelMetadata, Outputs, Pause, Talk, model_path
from lepton_ai.serving.client import distrusted, lost, too_late, trusting

T = TypeVar("T")
_LARGE = 1 << 20  # aiohttp wants larger bodies as files, which it writes in parts


class AsyncClient:
    """`Client` with methods to await; see there. Belongs to the loop of its first call; cancelling a call tells the
    server, which drops it if it was not begun.

    Example:
        >>> async def main():
        ...     async with AsyncClient("http://127.0.0.1:8080", timeout=5) as client:
        ...         return await client.live()
        >>> asyncio.run(main())
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
        import aiohttp

        self._caller = Caller(url, token=token, timeout=timeout, retries=retries, binary=binary)
        self._aiohttp = aiohttp
        self._tls = trusting(tls) if self._caller.url.startswith("https:") else False
        self._connections = connections
        self._session: aiohttp.ClientSession | None = None

    @property
    def url(self) -> str:
        """Whom it asks."""
        return self._caller.url

    async def infer(
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
        """The outputs of a model, by name; see `Client.infer`."""
        return await self._run(
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

    async def live(self) -> bool:
        """Whether the server answers."""
        return await self._run(self._caller.is_true("/v2/health/live"))

    async def ready(self, model: str = "", version: int | str = "") -> bool:
        """Whether the server, or one of its models, answers requests."""
        path = f"{model_path(model, str(version))}/ready" if model else "/v2/health/ready"
        return await self._run(self._caller.is_true(path))

    async def metadata(self, model: str, version: int | str = "") -> ModelMetadata:
        """A model's inputs and outputs, versions and labels."""
        return await self._run(self._caller.metadata(model, str(version)))

    async def server(self) -> dict[str, Any]:
        """Name, version and extensions of the server."""
        found: dict[str, Any] = await self._run(self._caller.fetch("GET", "/v2"))
        return found

    async def config(self, model: str, version: int | str = "") -> dict[str, Any]:
        """A model's configuration in Triton's words."""
        found: dict[str, Any] = await self._run(self._caller.fetch("GET", f"{model_path(model, str(version))}/config"))
        return found

    async def statistics(self, model: str = "", version: int | str = "") -> list[dict[str, Any]]:
        """Counts and durations of a model, or of all; see `Client.statistics`."""
        path = f"{model_path(model, str(version))}/stats" if model else "/v2/models/stats"
        found: list[dict[str, Any]] = (await self._run(self._caller.fetch("GET", path)))["model_stats"]
        return found

    async def index(self, *, ready: bool = False) -> list[dict[str, Any]]:
        """What is in the repository, or of it what is ready. For the management address."""
        body = {"ready": ready}
        found: list[dict[str, Any]] = await self._run(self._caller.fetch("POST", "/v2/repository/index", body))
        return found

    async def load(self, model: str, version: int | str = "", *, timeout: float | None = None) -> None:
        """Load a model, or a newer version; see `Client.load`."""
        await self._run(self._caller.control("load", model, str(version), timeout=timeout))

    async def unload(self, model: str, version: int | str = "", *, timeout: float | None = None) -> None:
        """Stop serving a model once its last request is answered. For the management address."""
        await self._run(self._caller.control("unload", model, str(version), timeout=timeout))

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _run(self, talk: Talk[T]) -> T:
        """Hold a conversation."""
        try:
            step = next(talk)
            while True:
                if isinstance(step, Pause):
                    await asyncio.sleep(step.seconds)
                    step = talk.send(None)
                    continue
                try:
                    heard = await self._exchange(step)
                except LeptonError as error:
                    step = talk.throw(error)
                else:
                    step = talk.send(heard)
        except StopIteration as stop:
            result: T = stop.value
            return result

    async def _exchange(self, ask: Ask) -> Heard:
        library = self._aiohttp
        if self._session is None:
            connector = library.TCPConnector(limit=self._connections, ssl=self._tls)
            self._session = library.ClientSession(connector=connector)
        content = io.BytesIO(ask.body) if ask.body is not None and len(ask.body) > _LARGE else ask.body
        url = library.client.URL(self.url + ask.path, encoded=True)
        timeout = library.ClientTimeout(total=ask.seconds)
        try:
            asked = self._session.request(
                ask.method, url, data=content, headers=ask.headers, timeout=timeout, allow_redirects=False
            )
            async with asked as response:
                body = bytearray()
                async for part in response.content.iter_any():
                    body += part
                return Heard(response.status, {name.lower(): value for name, value in response.headers.items()}, body)
        except library.ClientSSLError as error:
            raise distrusted(self.url, error) from error
        except library.ClientConnectorError as error:
            raise lost(self.url, "cannot be reached", sent=False) from error
        except TimeoutError as error:
            raise too_late(ask) from error
        except (library.ClientError, OSError) as error:
            raise lost(self.url, "closed the connection without an answer", sent=True) from error
