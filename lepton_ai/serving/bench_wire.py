"""One connection of a bench: it carries one request at a time and never blocks while it does."""

import socket
import ssl
from typing import Any

import httptools

from lepton_ai.serving.bench_target import Target

_READ = 1 << 18
_CONNECT_SECONDS = 5.0


class Wire:
    """A connection. `number` is the request that it carries, -1 for none; `open` whether it can carry one, `lasting`
    whether the server keeps it after the last answer.

    `begin` sends, `flush` goes on with it where the system would take no more, `take` reads; both of the latter are
    called when the selector says that the socket is ready for it.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        self.number = -1
        self.status = 0
        self.lasting = True
        self._whole = False
        self._answer: list[bytes] = []
        self._rest: list[memoryview] = []
        self.socket: Any = self._connect()
        self.open = True
        self._parser = httptools.HttpResponseParser(self)

    def begin(self, number: int) -> bool:
        """Send a request; False if a part of it waits for `flush`.

        Raises: OSError if the connection is gone.
        """
        self.number, self._whole, self.status = number, False, 0
        self._answer.clear()
        self._rest = [memoryview(part) for part in self._target.parts(number)]
        return self.flush()

    def flush(self) -> bool:
        """Send what is left; False if some still is.

        Raises: OSError if the connection is gone.
        """
        try:
            while self._rest:
                plain = self._target.tls is None
                sent = self.socket.sendmsg(self._rest) if plain else self.socket.send(self._rest[0])
                while self._rest and sent >= len(self._rest[0]):
                    sent -= len(self._rest.pop(0))
                if sent:
                    self._rest[0] = self._rest[0][sent:]
        except (BlockingIOError, ssl.SSLWantWriteError):
            return False
        return True

    def take(self) -> bool:
        """Read what came; True once the answer is whole.

        Raises: OSError if the connection is gone, or if what comes is not HTTP.
        """
        while True:
            try:
                content = self.socket.recv(_READ)
            except (BlockingIOError, ssl.SSLWantReadError):
                return False
            if not content:
                raise ConnectionResetError("the server closed the connection")
            try:
                self._parser.feed_data(content)
            except httptools.HttpParserError as error:
                raise ConnectionAbortedError(f"not HTTP: {error}") from error
            if self._whole:
                return True
            if self._target.tls is None and len(content) < _READ:
                return False

    def holds(self, text: bytes) -> bool:
        """Whether the answer's body contains `text`."""
        return text in self._answer[0] or text in b"".join(self._answer) if self._answer else False

    def renew(self) -> None:
        """A new connection in place of this one.

        Raises: OSError if nobody listens.
        """
        self.close()
        self.socket = self._connect()
        self.open = True
        self._parser = httptools.HttpResponseParser(self)

    def close(self) -> None:
        """Close it."""
        self.number, self.open = -1, False
        self.socket.close()

    # -- what httptools calls --------------------------------------------------------------------------------------

    def on_body(self, body: bytes) -> None:
        """A part of the answer's body."""
        self._answer.append(body)

    def on_message_complete(self) -> None:
        """The answer is whole; it may be an interim one, behind which the real one comes."""
        self.status = self._parser.get_status_code()
        self._whole = self.status >= 200
        self.lasting = bool(self._parser.should_keep_alive())  # which it knows only now

    def _connect(self) -> socket.socket:
        made = socket.create_connection((self._target.host, self._target.port), timeout=_CONNECT_SECONDS)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._target.tls is not None:
            made = self._target.tls.wrap_socket(made, server_hostname=self._target.host)
        made.setblocking(False)
        return made
