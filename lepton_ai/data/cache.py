"""What was decoded lately, within a bound of bytes."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, Protocol, TypeVar

from lepton_ai.core import ConfigError


class _Sized(Protocol):
    @property
    def nbytes(self) -> int: ...


V = TypeVar("V", bound=_Sized)


class BoundedCache(Generic[V]):
    """The most recently used values, of at most `max_bytes` together by their own count (`nbytes`).

    A value larger than that is made but not kept. `bytes` are those held now, `peak` the most ever held; `hits` and
    `misses` count the calls. Threads may share it: a value that two of them miss at once is made twice.

    Raises: ConfigError for a negative bound.

    Example:
        >>> import numpy as np
        >>> cache = BoundedCache(max_bytes=16)
        >>> for key in (0, 1, 0, 2, 1):
        ...     _ = cache.get(key, lambda: np.zeros(2, np.int32))
        >>> cache.hits, cache.misses, cache.bytes, cache.peak
        (1, 4, 16, 16)
    """

    def __init__(self, max_bytes: int) -> None:
        if isinstance(max_bytes, bool) or not isinstance(max_bytes, int) or max_bytes < 0:
            raise ConfigError(at="cache_bytes", got=max_bytes, expected="a number of bytes, 0 for none")
        self.max_bytes = max_bytes
        self.bytes = self.peak = self.hits = self.misses = 0
        self._held: OrderedDict[Hashable, V] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._held)

    def get(self, key: Hashable, make: Callable[[], V]) -> V:
        """The value for `key`, made by `make` unless it is held."""
        with self._lock:
            if key in self._held:
                self.hits += 1
                self._held.move_to_end(key)
                return self._held[key]
            self.misses += 1
        value = make()
        with self._lock:
            if key not in self._held and value.nbytes <= self.max_bytes:
                while self.bytes + value.nbytes > self.max_bytes:
                    _, dropped = self._held.popitem(last=False)
                    self.bytes -= dropped.nbytes
                self._held[key] = value
                self.bytes += value.nbytes
                self.peak = max(self.peak, self.bytes)
        return value
