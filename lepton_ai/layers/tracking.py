"""Layers kept in lists and dicts, as modules that torch finds: else they would neither train nor be saved."""

from collections.abc import Iterator
from typing import Any

from torch import nn

from lepton_ai.core import ConfigError


def tracked(value: Any, at: str) -> Any:
    """A list or tuple of modules as a `ModuleList`, a dict of them as a `ModuleDict`, nested ones too; else `value`.

    Raises: ConfigError for modules beside other things, and for keys that are no names.
    """
    if not isinstance(value, list | tuple | dict) or not any(_modules(value)):
        return value
    items = value.values() if isinstance(value, dict) else value
    inside = [tracked(each, at) for each in items]
    other = next((each for each in inside if not isinstance(each, nn.Module)), None)
    if not all(isinstance(each, nn.Module) for each in inside):
        raise ConfigError(
            f"got layers beside other things ({other!r}) in a {type(value).__name__}",
            at=at,
            fix="Keep the layers in a list of their own, and the rest in another attribute.",
        )
    if not isinstance(value, dict):
        return nn.ModuleList(inside)
    try:
        return nn.ModuleDict(dict(zip(value, inside, strict=True)))
    except (KeyError, TypeError) as error:
        fix = 'Write {"first": Dense(4)}: no dots, and no names of dict\'s own methods.'
        raise ConfigError(at=at, got=list(value), expected="keys that can be names", fix=fix) from error


def _modules(value: Any) -> Iterator[bool]:
    """For each thing inside, at any depth, whether it is a module."""
    if isinstance(value, list | tuple | dict):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _modules(each)
    else:
        yield isinstance(value, nn.Module)


def within(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The modules directly inside by path, those kept in lists and dicts in place of these."""
    for name, child in module.named_children():
        if isinstance(child, nn.ModuleList | nn.ModuleDict):
            yield from ((f"{name}.{path}", each) for path, each in within(child))
        else:
            yield name, child
