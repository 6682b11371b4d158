"""Objects that are described by their constructor's arguments, each kept as the attribute of the same name."""

import inspect
from typing import Any, get_args

from lepton_ai.core.errors import ConfigError


def constructor_arguments(cls: type) -> tuple[str, ...]:
    """The names that a constructor takes, those of a typed `**options: Unpack[SomeOptions]` included.

    Example:
        >>> class Point:
        ...     def __init__(self, x: int, y: int = 0) -> None: ...
        >>> constructor_arguments(Point)
        ('x', 'y')
    """
    names: list[str] = []
    for parameter in list(inspect.signature(cls.__init__).parameters.values())[1:]:  # type: ignore[misc]
        if parameter.kind is parameter.VAR_KEYWORD:
            names += [name for options in get_args(parameter.annotation) for name in options.__annotations__]
        elif parameter.kind is not parameter.VAR_POSITIONAL:
            names.append(parameter.name)
    return tuple(names)


def constructor_values(described: object) -> dict[str, Any]:
    """The arguments that an object was made with, by name.

    Raises: ConfigError naming the argument that was not kept, and the line that keeps it.
    """
    made = type(described).__name__
    for name in constructor_arguments(type(described)):
        if not hasattr(described, name):
            raise ConfigError(
                f"{made} does not keep its argument {name!r}",
                fix=f"Write self.{name} = {name} in __init__, or override its config.",
            )
    return {name: getattr(described, name) for name in constructor_arguments(type(described))}
