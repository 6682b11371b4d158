"""What a bundle says of how its model is built."""

from typing import Any, Literal

import msgspec

ARCHITECTURE = "architecture.json"


class Adapter(msgspec.Struct, kw_only=True, frozen=True):
    """The settings of a layer's low-rank adapter."""

    rank: int
    alpha: float


class Architecture(msgspec.Struct, kw_only=True, frozen=True):
    """`kind` "config": `model` is {"class", "config"} of registered classes. "reference": a foreign module, by name.

    `frozen` are the paths of layers and weights that training leaves alone. `training` is how it was compiled, as far
    as that can be written down. `adapters` are beside the kernels of the layers at these paths.
    """

    format: int = 1
    kind: Literal["config", "reference"]
    model: dict[str, Any]
    inputs: list[dict[str, Any]]
    frozen: list[str] = []
    training: dict[str, Any] = {}
    adapters: dict[str, Adapter] = {}
