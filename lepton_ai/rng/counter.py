"""Counter-based randomness: every draw is a hash of its place, so nothing has to be remembered or shared.

The same integer arithmetic runs on numpy arrays and torch tensors (32-bit, wrapping) and gives the same
bits on both. The finaliser is the low-bias 32-bit hash found by C. Wellons' search
("Prospecting for hash functions", 2018), written for signed integers.
"""

import hashlib
from typing import Any

import numpy as np

from lepton_ai.core import ConfigError

_M1, _M2 = 0x7FEB352D, 0x846CA68B - 2**32
COLUMN = 0x9E3779B9 - 2**32  # odd: distinct columns stay distinct


def mix(x: Any) -> Any:
    """Scramble int32 values (numpy or torch): a bijection in which every input bit moves every output bit.

    Example:
        >>> mix(np.array([0, 1, 2], dtype=np.int32)).tolist()
        [0, 1753845952, -787275391]
    """
    x = x ^ ((x >> 16) & 0xFFFF)
    x = x * _M1
    x = x ^ ((x >> 15) & 0x1FFFF)
    x = x * _M2
    return x ^ ((x >> 16) & 0xFFFF)


def draw(rows: Any, columns: Any, key: Any) -> Any:
    """Random int32 of shape (rows, columns): element (i, j) depends on rows[i], columns[j] and key alone.

    A shard of the rows is therefore exactly the slice of the whole.
    """
    seeds = mix(rows ^ key)
    return mix(seeds[:, None] + columns[None, :] * COLUMN)


def derive(seed: int, *path: object) -> int:
    """A 31-bit key from a seed and a path of names and numbers; equal paths give equal keys.

    Example:
        >>> derive(0, "dense", "weight") == derive(0, "dense", "weight") != derive(1, "dense", "weight")
        True
    """
    text = "\0".join(str(part) for part in (seed, *path)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=4).digest(), "little") >> 1


def permutation(seed: int, epoch: int, size: int) -> np.ndarray:
    """The order of `size` rows in an epoch (int64): a pure function of its arguments."""
    generator = np.random.Generator(np.random.Philox(key=derive(seed, "order", epoch)))
    return generator.permutation(size)


_seed = 0


def set_seed(seed: int) -> None:
    """Set the seed of everything that is not given one: weights when they are made, and `fit`.

    Raises: ConfigError if it is not an int in [0, 2**63).
    """
    global _seed  # noqa: PLW0603 - one process-wide default is what the call promises
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**63:
        raise ConfigError(at="set_seed", got=seed, expected="an int from 0 to 2**63 - 1")
    _seed = seed


def get_seed() -> int:
    """The seed that `set_seed` set; 0 until then."""
    return _seed
