"""Answers as HTTP/1.1 writes them."""

from http import HTTPStatus

from lepton_ai.serving.messages import Response

SMALL = 2**16  # bytes of answers that go out in one piece with their head
_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}
_LINES[499] = b"HTTP/1.1 499 Client Closed Request\r\n"
_OK = b"HTTP/1.1 200 OK\r\n%bcontent-type: %b\r\ncontent-length: %d\r\n\r\n%b"


def whole(response: Response, date: bytes) -> bytes | None:
    """Head and content of an answer after which the connection stays, if it is as most are: good, small, and without
    headers of its own. `date` is a whole line.
    """
    content = response.content
    if response.status != 200 or response.headers or len(content) > SMALL:
        return None
    return _OK % (date, response.type, len(content), content)


def head_of(response: Response, date: bytes, *, keep: bool) -> bytes:
    """The head of any answer of a known length."""
    status = response.status
    lines = [_LINES.get(status) or b"HTTP/1.1 %d Error\r\n" % status, date]
    lines.append(b"content-type: %s\r\ncontent-length: %d\r\n" % (response.type, len(response.content)))
    lines += [b"%s: %s\r\n" % header for header in response.headers]
    lines.append(b"\r\n" if keep else b"connection: close\r\n\r\n")
    return b"".join(lines)


def event_head(response: Response, date: bytes) -> bytes:
    """The head of a stream, which ends with the connection."""
    head = b"content-type: %s\r\ncache-control: no-store\r\nconnection: close\r\n\r\n" % response.type
    return _LINES[response.status] + date + head
