"""How many workers train together, and how."""

from typing import Literal

import msgspec

from lepton_ai.core import ConfigError, unknown_name

_CHOICES = {
    "reduction": ("sum", "exact"),
    "batch_norm": ("global", "local"),
    "sync": ("gradients", "parameters"),
    "wire": ("float32", "bfloat16"),
}


class Workers(msgspec.Struct, frozen=True, kw_only=True):
    """`count` processes on this machine; a program that torchrun started has the workers that torchrun made.

    `reduction`: "sum" adds gradients in the order that is fastest. "exact" makes them for each of `shards` parts of the
    global batch and adds them in the order of the parts, so that every number of workers that divides `shards` gives
    the same bits; batches are normalised shard by shard.
    `batch_norm`: over the "global" batch, or by each worker over its own part, "local".
    `sync`: "gradients" before each step, or "parameters" averaged after `every` steps that each worker takes alone.
    `wire`: what gradients travel as; "bfloat16" halves their bytes and keeps 8 bits of each.
    `timeout`: seconds to wait for another worker in one exchange before the run ends with an error that names it; and
    for room in a cluster.
    `restarts`: how often workers that were killed, or did not answer, are replaced before the run is given up.
    `cpus`, `gpus`: what each worker is given of a cluster.

    Raises: ConfigError, UnknownNameError from `check_workers`.
    """

    count: int = 1
    reduction: Literal["sum", "exact"] = "sum"
    shards: int = 4
    batch_norm: Literal["global", "local"] = "global"
    sync: Literal["gradients", "parameters"] = "gradients"
    every: int = 1
    wire: Literal["float32", "bfloat16"] = "float32"
    timeout: float = 300.0
    restarts: int = 3
    cpus: float = 1
    gpus: float = 0

    @property
    def exact(self) -> bool:
        """Whether the bits do not depend on the number of workers."""
        return self.reduction == "exact"


def check_workers(given: int | Workers, at: str, count: str = "num_workers") -> Workers:
    """What `given` means, checked.

    Raises: ConfigError, UnknownNameError.

    Example:
        >>> check_workers(4, "fit").count
        4
    """
    workers = given if isinstance(given, Workers) else Workers(count=given)
    for name, least in ((count, 1), ("shards", 1), ("every", 1), ("restarts", 0)):
        value = workers.count if name == count else getattr(workers, name)
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            expected = "a positive int" if least else "an int of at least 0"
            raise ConfigError(at=f"{at}({name}=...)", got=value, expected=expected)
    if isinstance(workers.timeout, bool) or not isinstance(workers.timeout, int | float) or not workers.timeout > 0:
        raise ConfigError(at=f"{at}(timeout=...)", got=workers.timeout, expected="a positive number of seconds")
    for name in ("cpus", "gpus"):
        value = getattr(workers, name)
        if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
            raise ConfigError(at=f"{at}({name}=...)", got=value, expected="a number of at least 0")
    for name, choices in _CHOICES.items():
        value = getattr(workers, name)
        if value not in choices:
            raise unknown_name(name, str(value), list(choices), at=f"{at}({name}=...)")
    check_shards(workers, at, count)
    if workers.exact and workers.sync == "parameters":
        raise ConfigError(
            "reduction='exact' is of gradients, and sync='parameters' exchanges none", at=at, fix="Drop one of them."
        )
    if workers.exact and workers.wire != "float32":
        raise ConfigError("reduction='exact' keeps every bit, wire='bfloat16' does not", at=at, fix="Drop one of them.")
    return workers


def check_shards(workers: Workers, at: str, count: str = "workers") -> None:
    """Whether the shards of an exact reduction can be dealt out.

    Raises: ConfigError.
    """
    if workers.exact and workers.shards % workers.count:
        raise ConfigError(
            f"{workers.shards} shards cannot be dealt out evenly to {workers.count} workers",
            at=at,
            fix=f"Take {count}= a divisor of shards={workers.shards}, or other shards.",
        )
