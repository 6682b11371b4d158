"""The server's limits."""

import msgspec


class ServerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """`max_body` bytes of one request, `max_pending` bytes of all requests that are not answered yet; per model,
    `max_batch` rows in a batch and `max_queue` waiting requests; `threads` compute one batch (default: all cores).

    Beyond `max_connections` open connections a new one is answered 503 and closed. The head of a request must be
    complete after `head_seconds`, its body after `body_seconds`. When the server stops, requests get
    `stop_seconds` to finish.
    """

    max_body: int = 64 * 2**20
    max_pending: int = 2**30
    max_batch: int = 64
    max_queue: int = 1024
    threads: int | None = None
    max_connections: int = 900  # 1024 open files is the usual limit of a process
    head_seconds: float = 10.0
    body_seconds: float = 60.0
    stop_seconds: int = 30
