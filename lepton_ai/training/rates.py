"""Learning rates by layer: which multiple of the run's rate each weight has."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch

from lepton_ai.core import ConfigError, unknown_name
from lepton_ai.training.component import number


def checked_rates(given: Any, at: str) -> dict[str, float] | None:
    """Multiples of the learning rate by the path of a layer or weight.

    Raises: ConfigError naming the entry.

    Example:
        >>> checked_rates({"backbone": 0.1}, "Adam.rates")
        {'backbone': 0.1}
    """
    if given is None:
        return None
    if not isinstance(given, Mapping) or not all(isinstance(name, str) and name for name in given):
        raise ConfigError(
            at=at, got=given, expected="multiples by the path of a layer", fix='Write rates={"backbone": 0.1}.'
        )
    return {name: number(f"{at}[{name!r}]", each, "[0, inf)") for name, each in given.items()}


def check_names(rates: Mapping[str, float] | None, weights: Iterable[str], at: str) -> None:
    """Whether every name in `rates` is a weight's, or begins the path of one.

    Raises: UnknownNameError with the nearest name.
    """
    known = {name for path in weights for name in _beginnings(path)}
    for name in rates or ():
        if name not in known:
            raise unknown_name("layer", name, sorted(known), at=at)


def rate_of(weight: str, rates: Mapping[str, float]) -> float:
    """The multiple for the weight at this path: that of the longest name that holds it, or 1.

    Example:
        >>> rate_of("net.stem.bias", {"net": 0.5, "net.stem": 0.1}), rate_of("network.bias", {"net": 0.5})
        (0.1, 1.0)
    """
    return next((rates[name] for name in _beginnings(weight) if name in rates), 1.0)


def spread(optimizer: torch.optim.Optimizer, rates: Mapping[str, float]) -> None:
    """Split the groups of a new optimiser, so that all weights of a group have one multiple: the group's "rate"."""
    groups = []
    for group in optimizer.param_groups:
        alike: dict[float, list[tuple[str, Any]]] = {}
        for name, weight in zip(group["param_names"], group["params"], strict=True):
            alike.setdefault(rate_of(name, rates), []).append((name, weight))
        for rate, named in alike.items():
            own = {"param_names": [name for name, _ in named], "params": [weight for _, weight in named]}
            groups.append(group | own | {"rate": rate, "lr": group["lr"] * rate})
    optimizer.param_groups[:] = groups


def _beginnings(path: str) -> list[str]:
    """The path, and those of the layers that hold it, longest first."""
    parts = path.split(".")
    return [".".join(parts[:count]) for count in range(len(parts), 0, -1)]
