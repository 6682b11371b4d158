"""The heads of requests that clients send again and again, byte for byte.

A client that keeps its connection repeats itself: what differs from one request to the next is the body. A head fixes
by itself how a request is framed, so that one that was parsed before need not be parsed again.
"""

from typing import NamedTuple

_MOST = 256  # heads
_LONGEST = 2048  # bytes of one
_END = b"\r\n\r\n"
# What asks for more than an answer, or is framed by more than its length; and what is secret, which nobody else keeps.
_NOT_KEPT = (b"authorization", b"cookie", b"expect", b"proxy-authorization", b"transfer-encoding", b"upgrade")


class Head(NamedTuple):
    """What a head says. `size` are its own bytes, `whole` those with the body; `headers` are not to be changed."""

    method: str
    path: str
    headers: dict[bytes, bytes]
    size: int
    whole: int


class Heads:
    """Those that were parsed lately, of all connections."""

    def __init__(self) -> None:
        self._known: dict[bytes, Head] = {}

    def find(self, data: bytes) -> Head | None:
        """The head with which `data` begins, if it is known and nothing follows its request."""
        head = self._known.get(data[: data.find(_END, 0, _LONGEST) + 4])
        return head if head is not None and head.whole >= len(data) else None

    def learn(self, data: bytes, seen: int, method: str, path: str, headers: dict[bytes, bytes]) -> None:
        """`data` was parsed as a request, from its beginning, of whose body it held so much, and another may follow."""
        size = data.find(_END, 0, _LONGEST) + 4
        if size < 4 or size + seen != len(data):  # empty lines come before it, or others' requests after it
            return
        whole = size + int(headers.get(b"content-length", 0))
        if any(name in headers for name in _NOT_KEPT):
            return
        if len(self._known) >= _MOST:
            self._known.clear()
        self._known[data[:size]] = Head(method, path, headers, size, whole)
