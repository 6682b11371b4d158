"""The trace that a request is part of, as W3C's Trace Context writes it."""

import os
import re

_PARENT = re.compile(rb"00-([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})")


def follow(parent: bytes) -> tuple[str, bytes]:
    """The id of the trace of a `traceparent`, and a `traceresponse` that tells the caller of our part in it; nothing of
    either if it is not valid.

    Example:
        >>> follow(b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")[0]
        '0af7651916cd43dd8448eb211c80319c'
        >>> follow(b"00-0")
        ('', b'')
    """
    found = _PARENT.fullmatch(parent)
    if found is None or not int(found[1], 16):
        return "", b""
    return found[1].decode(), b"00-%s-%s-%s" % (found[1], os.urandom(8).hex().encode(), found[2])
