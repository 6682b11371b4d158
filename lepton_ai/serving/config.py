"""The server's limits."""

import msgspec


class ServerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """`max_body` in bytes; `max_batch` in rows, `max_queue` in requests, both per model; `threads` compute one batch.

    A body must be complete after `body_seconds`. When the server stops, requests get `stop_seconds` to finish.
    """

    max_body: int = 64 * 2**20
    max_batch: int = 64
    max_queue: int = 1024
    threads: int | None = None
    body_seconds: float = 60.0
    stop_seconds: float = 30.0
