"""What a bundle says of how its model is built."""

from typing import Any, Literal

import msgspec

ARCHITECTURE = "architecture.json"


class Architecture(msgspec.Struct, kw_only=True, frozen=True):
    """`kind` "config": `model` is {"class", "config"} of registered classes. "reference": a foreign module, by name.

    `frozen` are the paths of layers and weights that training leaves alone. `training` is how it was compiled, as far
    as that can be written down.
    """

    format: int = 1
    kind: Literal["config", "reference"]
    model: dict[str, Any]
    inputs: list[dict[str, Any]]
    frozen: list[str] = []
    training: dict[str, Any] = {}
