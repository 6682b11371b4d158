"""gzip and deflate, both ways, within limits: what unpacks to too much is refused while it unpacks."""

import zlib

from lepton_ai.core import RequestError, TooLargeError
from lepton_ai.serving.errors import UnsupportedEncodingError

MAX_RATIO = 100  # of unpacked to packed bytes, once there is more than a little of either
_LITTLE = 2**20
_STEP = 2**18
_WORTH_IT = 1024  # bytes below which packing costs more than it saves
_LEVEL = 1
_WINDOWS = {"gzip": 31, "deflate": 15}


def unpack(body: bytes, encoding: str, *, limit: int) -> bytes:
    """The body as it was before it was compressed by `encoding`: gzip, deflate (zlib's format) or identity.

    Raises: UnsupportedEncodingError; RequestError for what is broken, cut short or followed by more; TooLargeError
    beyond `limit` bytes, or 100 times the body's own.
    """
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        return body
    window = _WINDOWS.get(encoding)
    if window is None:
        raise UnsupportedEncodingError(
            f"Content-Encoding {encoding[:50]!r} is not supported", fix="Use gzip or deflate, or send it as it is."
        )
    most = min(limit, max(_LITTLE, MAX_RATIO * len(body)))
    machine = zlib.decompressobj(window)
    parts: list[bytes] = []
    size = 0
    rest = body
    try:
        while rest and not machine.eof:
            part = machine.decompress(rest, _STEP)
            rest = machine.unconsumed_tail
            size += len(part)
            if size > most:
                raise TooLargeError(f"the body unpacks to more than {most} bytes", fix="Send fewer rows at a time.")
            parts.append(part)
    except zlib.error as error:
        raise RequestError(f"the body is not {encoding} ({error})") from error
    if not machine.eof or machine.unused_data or rest:
        what = "is followed by more" if machine.eof else "was cut short"
        raise RequestError(f"the {encoding} body {what}")
    return b"".join(parts)


def choose(accepted: str) -> str:
    """The encoding for an answer, by the header Accept-Encoding: the best of gzip and deflate, or "" for none.

    Example:
        >>> choose("gzip;q=0.5, deflate"), choose("br"), choose("gzip;q=0")
        ('deflate', '', '')
    """
    best, weight = "", 0.0
    for part in accepted.split(","):
        name, _, parameter = part.strip().lower().partition(";")
        name = name.strip()
        if name in _WINDOWS:
            key, _, value = parameter.strip().partition("=")
            try:
                share = float(value) if key.strip() == "q" else 1.0
            except ValueError:
                share = 0.0
            if share > weight:
                best, weight = name, share
    return best


def pack(content: bytes, encoding: str) -> bytes | None:
    """The content compressed; None if it is too short to be worth it."""
    if len(content) < _WORTH_IT:
        return None
    machine = zlib.compressobj(_LEVEL, wbits=_WINDOWS[encoding])
    return machine.compress(content) + machine.flush()
