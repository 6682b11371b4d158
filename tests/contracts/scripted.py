"""A server that says what it was told to say, and remembers what it was asked."""

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple


class Say(NamedTuple):
    """An answer; `hang_up` closes without one, `after` waits for the event first."""

    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = {}
    hang_up: bool = False
    after: threading.Event | None = None


class Asked(NamedTuple):
    """A request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    connection: tuple[str, int]


class Scripted:
    """Answers each address with the next of its lines; the last one stays."""

    def __init__(self, **lines: Any) -> None:
        self.lines: dict[str, list[Say]] = {}
        self.asked: list[Asked] = []
        self.url = ""

    def on(self, path: str, *lines: Say) -> None:
        self.lines[path] = list(lines)


@contextmanager
def scripted(tls: ssl.SSLContext | None = None) -> Iterator[Scripted]:
    """One on a free port of this machine."""
    script = Scripted()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            script.asked.append(Asked(self.command, self.path, headers, body, self.client_address))
            lines = script.lines.get(self.path, [Say(404, b'{"error": "no such line"}')])
            line = lines.pop(0) if len(lines) > 1 else lines[0]
            if line.after is not None:
                line.after.wait(20)
            if line.hang_up:
                self.close_connection = True
                return
            self.send_response(line.status)
            for name, value in {"Content-Length": str(len(line.body)), **line.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(line.body)

        do_GET = do_POST = answer

        def log_message(self, *_: Any) -> None: ...

    class Listener(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None: ...

    with Listener(("127.0.0.1", 0), Handler) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        script.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield script
        finally:
            server.shutdown()
            thread.join()
