"""One tree of errors.

    LeptonError
    ├── ConfigError (ValueError)           a setting or a constructor argument
    │   └── UnknownNameError               a name that is not registered; suggests the nearest
    ├── ShapeError (ValueError)            an array's rank, sizes or dtype
    ├── DataError (ValueError)             the content of data: NaN, labels, lengths, types
    ├── UsageError (RuntimeError)          a call at the wrong time
    ├── DivergedError (ArithmeticError)    a loss that is not finite
    ├── WorkerError (RuntimeError)         another process failed
    ├── StorageError (OSError)             a file that cannot be read or written
    ├── BundleError (ValueError)           a bundle that cannot be trusted or used
    ├── MissingExtraError (ImportError)    an optional package
    └── RequestError (ValueError)          a request to a server; `status` is its HTTP status
        ├── NotFoundError, TooLargeError, UnavailableError

A message says where, what came, what was expected, and what to write instead.
"""

from typing import ClassVar

__all__ = [
    "BundleError",
    "ConfigError",
    "DataError",
    "DivergedError",
    "LeptonError",
    "MissingExtraError",
    "NotFoundError",
    "RequestError",
    "ShapeError",
    "StorageError",
    "TooLargeError",
    "UnavailableError",
    "UnknownNameError",
    "UsageError",
    "WorkerError",
]


class LeptonError(Exception):
    """The root. Composes its message from the parts that every message owes its reader.

    Example:
        >>> str(ConfigError(at="Dense.units", got=0, expected="a positive int", fix="Write Dense(units=64)."))
        'Dense.units: got 0, expected a positive int. Write Dense(units=64).'
    """

    status: ClassVar[int] = 500

    def __init__(
        self, message: str = "", *, at: str = "", got: object = None, expected: str = "", fix: str = ""
    ) -> None:
        facts = ", ".join(
            part
            for part in (
                message.rstrip("."),
                f"got {got!r}" if got is not None else "",
                f"expected {expected}" if expected else "",
            )
            if part
        )
        text = ": ".join(part for part in (at, facts) if part)
        super().__init__(f"{text}. {fix}" if fix else text)


class ConfigError(LeptonError, ValueError):
    """A setting or constructor argument that cannot be."""


class UnknownNameError(ConfigError):
    """A name nobody registered."""


class ShapeError(LeptonError, ValueError):
    """An array whose rank, sizes or dtype do not fit."""


class DataError(LeptonError, ValueError):
    """Data whose content does not fit: NaN, labels out of range, lengths that differ, wrong types."""


class UsageError(LeptonError, RuntimeError):
    """A call at the wrong time, such as `fit` before `compile`."""


class DivergedError(LeptonError, ArithmeticError):
    """Training produced a loss that is not finite. The model keeps its last good state.

    `history` holds the metrics of the epochs that ended before, by name.
    """

    history: dict[str, list[float]] = {}


class WorkerError(LeptonError, RuntimeError):
    """Another process of ours failed; the message carries its rank and its traceback."""


class StorageError(LeptonError, OSError):
    """A file that cannot be read or written. What was there before is still there."""


class BundleError(LeptonError, ValueError):
    """A bundle that is damaged, of a future version, incomplete, or not a bundle."""


class MissingExtraError(LeptonError, ImportError):
    """An optional package that is not installed; the message says what to install."""


class RequestError(LeptonError, ValueError):
    """A request that cannot be answered as it stands."""

    status: ClassVar[int] = 400


class NotFoundError(RequestError):
    """No such model, version or address."""

    status: ClassVar[int] = 404


class TooLargeError(RequestError):
    """A body over the limit."""

    status: ClassVar[int] = 413


class UnavailableError(RequestError):
    """The server cannot take the request now."""

    status: ClassVar[int] = 503
