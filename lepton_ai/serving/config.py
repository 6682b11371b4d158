"""The server's limits."""

import msgspec


class ServerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """`max_body` bytes of one request, `max_pending` bytes of all requests that are not answered yet; per model,
    `max_batch` rows in a batch and `max_queue` waiting requests; `threads` compute one batch (default: all cores).

    A body must be complete after `body_seconds`. When the server stops, requests get `stop_seconds` to finish.
    """

    max_body: int = 64 * 2**20
    max_pending: int = 2**30
    max_batch: int = 64
    max_queue: int = 1024
    threads: int | None = None
    body_seconds: float = 60.0
    stop_seconds: int = 30
