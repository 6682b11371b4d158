"""Where workers meet: a store that listens on one address alone; those that torch opens listen on all."""

import socket
from typing import Any

import torch.distributed as dist


def open_store(host: str) -> Any:
    """A `TCPStore` on a free port of `host`; `port` says which."""
    server = socket.create_server((host, 0))
    port = server.getsockname()[1]
    return dist.TCPStore(  # type: ignore[attr-defined]
        host, port, is_master=True, wait_for_workers=False, master_listen_fd=server.detach()
    )
