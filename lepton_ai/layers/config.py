"""Configs: an object as its class name and constructor arguments, which JSON can hold.

Every constructor argument is kept as the attribute of the same name; that is the whole convention.
"""

from typing import Any, Self

from torch import nn

from lepton_ai.core import ConfigError, Registry, constructor_values

registry: Registry[type["Configured"]] = Registry("class")


class Configured:
    """Gives `get_config` and `from_config`, and registers each public subclass by its name."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if not cls.__name__.startswith("_"):
            # A user's class may be defined again (a notebook's cell that runs twice); ours may not be hidden.
            ours = cls.__name__ in registry and registry.get(cls.__name__).__module__.startswith("lepton_ai.")
            registry.add(cls.__name__, cls, replace=not ours)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, as JSON can hold them."""
        return {name: serialize(value) for name, value in constructor_values(self).items()}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """The object that `get_config` described."""
        return cls(**{key: deserialize(value) for key, value in config.items()})


def serialize(value: Any) -> Any:
    """A value as JSON can hold it; configured objects become {"class": ..., "config": ...}."""
    if isinstance(value, Configured):
        return {"class": type(value).__name__, "config": value.get_config()}
    if isinstance(value, list | tuple | nn.ModuleList):
        return [serialize(each) for each in value]
    if isinstance(value, dict | nn.ModuleDict):
        return {str(key): serialize(each) for key, each in value.items()}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if hasattr(value, "tolist"):
        return value.tolist()
    if callable(value) and hasattr(value, "__name__"):
        return value.__name__
    raise ConfigError(f"{value!r} cannot be kept in a config", fix="Use numbers, strings, lists or registered classes.")


def deserialize(value: Any) -> Any:
    """What `serialize` made of it, back; lists become tuples as constructors take them."""
    if isinstance(value, dict) and value.keys() == {"class", "config"}:
        return registry.get(value["class"]).from_config(value["config"])
    if isinstance(value, list):
        return tuple(deserialize(each) for each in value)
    if isinstance(value, dict):
        return {key: deserialize(each) for key, each in value.items()}
    return value
