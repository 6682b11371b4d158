"""The server's limits and settings."""

import msgspec


class ServerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What the server allows itself and others. Bytes, seconds, counts; a rate is in requests a second.

    One model: `max_batch` rows in a batch; `max_queue` waiting requests of together `max_queue_bytes`; `instances`
    batches computed at a time, by `threads` each (default: the cores, shared among the instances).

    One request: `max_body` bytes of its body, unpacked if it came compressed; its head must be complete after
    `head_seconds`, its body after `body_seconds`; an answer must be taken within `write_seconds`. A connection may
    idle for `idle_seconds`. All requests that are not answered yet: `max_pending` bytes.

    One client (an address): `client_requests` in flight, and `client_rate` a second with bursts of `client_burst`;
    0 is no limit. All clients: `max_connections`; a further one is answered 503 and closed.

    `hosts` are the names by which the server may be addressed (the header Host). By default, one that listens on
    this machine alone takes this machine's names, any other takes all.

    When it is told to stop, it is not ready at once, takes requests for `grace_seconds` more (default: 5 where others
    can reach it, 0 otherwise), and gives those that it took `stop_seconds` to finish. `access_log` is the share of
    requests that are logged.
    """

    max_body: int = 64 * 2**20
    max_pending: int = 2**30
    max_batch: int = 64
    max_queue: int = 1024
    max_queue_bytes: int = 2**29
    instances: int = 1
    threads: int | None = None
    max_connections: int = 900  # 1024 open files is the usual limit of a process
    client_requests: int = 0
    client_rate: float = 0.0
    client_burst: int = 20
    head_seconds: float = 10.0
    body_seconds: float = 60.0
    idle_seconds: float = 75.0
    write_seconds: float = 60.0
    grace_seconds: float | None = None
    stop_seconds: float = 30.0
    hosts: tuple[str, ...] = ()
    access_log: float = 0.0
