"""What can be wrong with a request beyond its content, and whose fault an error is.

RequestError
├── UnauthorizedError 401, ForbiddenError 403
├── TooSlowError 408, UnsupportedEncodingError 415
├── TooManyRequestsError 429       the client's own limit
├── DisconnectedError 499          nobody will read the answer
├── UnavailableError 503
│   └── QueueFullError             the model's limit
└── LateError 504                  the request's own deadline
"""

import asyncio
import logging

from lepton_ai.core import ConfigError, DataError, LeptonError, RequestError, ShapeError, UnavailableError

_LOG = logging.getLogger("lepton_ai.serving")


class UnauthorizedError(RequestError):
    """The token is missing or wrong."""

    status = 401


class ForbiddenError(RequestError):
    """Not allowed here, whoever asks."""

    status = 403


class TooSlowError(RequestError):
    """The request did not arrive in time."""

    status = 408


class UnsupportedEncodingError(RequestError):
    """A body in an encoding that the server does not read."""

    status = 415


class TooManyRequestsError(RequestError):
    """The client is over its own limit; it may come again after `retry_after` seconds."""

    status = 429

    def __init__(self, message: str, *, retry_after: int = 1) -> None:
        super().__init__(message, fix=_again(retry_after))
        self.retry_after = retry_after


class HeadTooLargeError(RequestError):
    """Too many or too long headers."""

    status = 431


class DisconnectedError(RequestError):
    """The client is gone; nobody will read the answer."""

    status = 499


class QueueFullError(UnavailableError):
    """The model's queue is full; by its pace there will be room after `retry_after` seconds."""

    def __init__(self, message: str, *, retry_after: int = 1) -> None:
        super().__init__(message, fix=_again(retry_after))
        self.retry_after = retry_after


class LateError(RequestError):
    """The request's own deadline passed before its answer was there."""

    status = 504


def retry_after(error: BaseException) -> int:
    """After how many seconds the same request may succeed; 0 if trying again is no use."""
    if isinstance(error, (UnavailableError, TooManyRequestsError)):
        return int(getattr(error, "retry_after", 1))
    return 1 if isinstance(error, (MemoryError, asyncio.CancelledError)) else 0


def status_of(error: BaseException) -> int:
    """The HTTP status of an error; of a cancelled request, the client's: it is the client that cancels."""
    if isinstance(error, RequestError):
        return error.status
    if isinstance(error, (ShapeError, DataError, ConfigError)):
        return RequestError.status
    if isinstance(error, asyncio.CancelledError):
        return DisconnectedError.status
    return UnavailableError.status if isinstance(error, MemoryError) else LeptonError.status


def blame(error: BaseException) -> tuple[int, str]:
    """The HTTP status of an error, and what may be told of it. Our own faults are logged and told without details."""
    if isinstance(error, RequestError):
        return error.status, str(error)
    if isinstance(error, (ShapeError, DataError, ConfigError)):
        return RequestError.status, str(error)
    if isinstance(error, asyncio.CancelledError):
        return UnavailableError.status, "the server is stopping"
    if isinstance(error, MemoryError):
        return UnavailableError.status, "not enough memory for this request"
    _LOG.error("a request failed", exc_info=error)
    return LeptonError.status, "internal error; the server's log has the details"


def _again(seconds: int) -> str:
    return "Try again in a moment." if seconds <= 1 else f"Try again in {seconds} s."
