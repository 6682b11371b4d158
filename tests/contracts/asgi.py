"""A client that calls an ASGI application in the process."""

import asyncio
import json
from typing import Any, NamedTuple

from lepton_ai.bundle import LENGTH_HEADER
from lepton_ai.serving import App


class Reply(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def json_length(self) -> int | None:
        length = self.headers.get(LENGTH_HEADER.lower())
        return None if length is None else int(length)


class Client:
    """One request at a time, or several with asyncio.gather."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def call(
        self,
        method: str,
        path: str,
        body: bytes | list[bytes] = b"",
        headers: dict[str, str] | None = None,
        disconnect: asyncio.Event | None = None,
    ) -> Reply | None:
        """The reply; None if the application answered nothing. `disconnect` is when the client leaves."""
        chunks = list(body) if isinstance(body, list) else [body]
        sent: list[dict[str, Any]] = []
        answered = asyncio.Event()

        async def receive() -> dict[str, Any]:
            if chunks:
                return {"type": "http.request", "body": chunks.pop(0), "more_body": bool(chunks)}
            await (disconnect or answered).wait()
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in (headers or {}).items()],
        }
        await self.app(scope, receive, send)
        answered.set()
        if not sent:
            return None
        start, *parts = sent
        fields = {name.decode(): value.decode() for name, value in start["headers"]}
        content = b"".join(part["body"] for part in parts)
        assert int(fields["content-length"]) == len(content)
        return Reply(start["status"], fields, content)

    async def get(self, path: str) -> Reply:
        reply = await self.call("GET", path)
        assert reply is not None
        return reply

    async def post(self, path: str, body: Any, headers: dict[str, str] | None = None) -> Reply:
        """`body` may be bytes, a list of bytes (chunks), or an object to send as JSON."""
        content = body if isinstance(body, bytes | list) else json.dumps(body).encode()
        reply = await self.call("POST", path, content, headers)
        assert reply is not None
        return reply
