"""The access log: one line of JSON for a request, for a share of them and for all that the server failed at."""

import logging
import time

import orjson

from lepton_ai.serving.messages import Request

LOG = logging.getLogger("lepton_ai.access")
_LONGEST = 200


def show_access_log() -> None:
    """Write the access log to standard error, as a command does; in a program of yours, that is your choice."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    LOG.addHandler(handler)
    LOG.setLevel(logging.INFO)
    LOG.propagate = False


class AccessLog:
    """Logs `share` of the requests (1.0: all), evenly, and every one with a status of 500 or more.

    What is logged was written by strangers: JSON escapes it, so that no line can pretend to be two. No header but
    the trace's is logged, and no query.
    """

    def __init__(self, share: float) -> None:
        self._share, self._owed = share, 0.0

    def write(self, request: Request, status: int, seconds: float) -> None:
        """Log it, if it is its turn."""
        self._owed += self._share
        if self._owed >= 1.0:
            self._owed -= 1.0
        elif status < 500:
            return
        line = {
            "time": round(time.time(), 3),
            "client": request.client,
            "method": request.method[:20],
            "path": request.path[:_LONGEST],
            "status": status,
            "ms": round(seconds * 1000, 3),
            "bytes": len(request.body),
        }
        trace = request.text(b"traceparent")[:_LONGEST]
        if trace:
            line["trace"] = trace
        LOG.info(orjson.dumps(line).decode())
