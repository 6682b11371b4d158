from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lepton_ai.core import ConfigError
from lepton_ai.data.cache import BoundedCache


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 8), max_size=60), st.integers(0, 100))
def test_never_above_its_bound_and_always_right(keys: list[int], bound: int) -> None:
    cache: BoundedCache[np.ndarray[tuple[int], np.dtype[np.uint8]]] = BoundedCache(bound)
    for key in keys:
        value = cache.get(key, lambda key=key: np.full(key * 7, key, np.uint8))  # type: ignore[misc]
        assert value.tolist() == [key] * (key * 7)
        assert cache.bytes <= cache.peak <= bound
    assert cache.hits + cache.misses == len(keys)


def test_the_longest_unused_goes_first() -> None:
    cache: BoundedCache[np.ndarray[tuple[int], np.dtype[np.uint8]]] = BoundedCache(20)
    for key in "abacabd":
        cache.get(key, lambda: np.zeros(8, np.uint8))
    assert (cache.hits, cache.misses, len(cache)) == (2, 5, 2)


def test_threads_may_share_it() -> None:
    cache: BoundedCache[np.ndarray[tuple[int], np.dtype[np.int64]]] = BoundedCache(400)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda i: int(cache.get(i % 13, lambda: np.full(10, i % 13))[0]), range(400)))
    assert found == [i % 13 for i in range(400)]
    assert cache.bytes == sum(80 for _ in range(len(cache))) <= 400


def test_a_bound_that_cannot_be() -> None:
    with pytest.raises(ConfigError, match="cache_bytes: got -1, expected a number of bytes, 0 for none"):
        BoundedCache(-1)
