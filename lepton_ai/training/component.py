"""Techniques that are named, made by their constructor's arguments, and stored as just these.

Losses, metrics, optimisers and schedules are components: each keeps every constructor argument as an attribute of
the same name, so that `config()` can read them back and any family rebuilds its member from `{"class", "config"}`.
"""

import inspect
import math
from collections.abc import Mapping
from typing import TypeVar

import numpy as np

from lepton_ai.core import (
    ConfigError,
    Registry,
    constructor_arguments,
    constructor_values,
    snake_case,
    unknown_name,
)


class Component:
    """The base of the four families; `name` is given or spelled from the class, as Keras does."""

    _name: str | None = None

    @property
    def name(self) -> str:
        """The name in logs and in the history."""
        return self._name or snake_case(type(self).__name__)

    @name.setter
    def name(self, name: str | None) -> None:
        self._name = name

    @classmethod
    def arguments(cls) -> tuple[str, ...]:
        """The names of the constructor's arguments."""
        return constructor_arguments(cls)

    def config(self) -> dict[str, object]:
        """What rebuilds this: `{"class": name, "config": {argument: value}}`, made of JSON types alone.

        Raises: ConfigError if an argument cannot be stored, such as a function.
        """
        made = type(self).__name__
        values = constructor_values(self)
        return {"class": made, "config": {key: _stored(value, f"{made}.{key}") for key, value in values.items()}}

    def __repr__(self) -> str:
        shown = (f"{key}={getattr(self, key, ...)!r}" for key in self.arguments() if key != "name")
        return f"{type(self).__name__}({', '.join(shown)})"


def _stored(value: object, at: str) -> object:
    if isinstance(value, Component):
        return value.config()
    if isinstance(value, tuple | list):
        return [_stored(each, f"{at}[{index}]") for index, each in enumerate(value)]
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: _stored(each, f"{at}[{key!r}]") for key, each in value.items()}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise ConfigError(
        f"{value!r} cannot be stored",
        at=at,
        fix="Write a class for it, with numbers and names as arguments, and register that.",
    )


C = TypeVar("C", bound=Component)


def from_config(family: Registry[type[C]], config: Mapping[str, object]) -> C:
    """The member of `family` that `config()` described.

    Raises: ConfigError, UnknownNameError if the description is of no known class or does not fit it.
    """
    name, values = config.get("class"), config.get("config", {})
    if not isinstance(name, str) or not isinstance(values, Mapping):
        raise ConfigError(
            at=f"{family.kind} config", got=dict(config), expected='{"class": name, "config": {argument: value}}'
        )
    made = family.get(name)
    known = made.arguments()
    for key in values:
        if key not in known:
            raise unknown_name(f"argument {name}", key, list(known), at=f"{family.kind} config")
    return _made(made, values, f"{family.kind} config")


def _made(kind: type[C], values: Mapping[str, object], at: str) -> C:
    """A member with these arguments.

    Raises: ConfigError if one that it cannot do without is missing, as where a name alone is given.
    """
    parameters = (each for each in inspect.signature(kind).parameters.values() if each.kind is not each.VAR_KEYWORD)
    missing = [each.name for each in parameters if each.default is each.empty and each.name not in values]
    if missing:
        written = ", ".join(f"{each}=..." for each in missing)
        raise ConfigError(
            f"{kind.__name__} needs {' and '.join(missing)}", at=at, fix=f"Write {kind.__name__}({written})."
        )
    return kind(**values)


def resolve(family: Registry[type[C]], given: object, base: type[C], *, at: str) -> C:
    """A member of `family` from a name, a class, a stored config, or itself.

    Raises: UnknownNameError with the nearest name; ConfigError for anything else.
    """
    if isinstance(given, base):
        return given
    if isinstance(given, str):
        if given not in family:
            raise unknown_name(family.kind, given, list(family), at=at)
        return _made(family.get(given), {}, at)
    if isinstance(given, Mapping):
        return from_config(family, given)
    if isinstance(given, type) and issubclass(given, base):
        return _made(given, {}, at)
    raise ConfigError(at=at, got=given, expected=f"a name, or an object of class {base.__name__}")


def number(at: str, value: object, interval: str) -> float:
    """`value` as a float if it lies in `interval`, written as in mathematics.

    Raises: ConfigError.

    Example:
        >>> number("Adam.beta_1", 0.9, "[0, 1)")
        0.9
    """
    low, high = (float(bound) for bound in interval[1:-1].split(","))
    if isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool):
        result = float(value)
        above = result > low if interval[0] == "(" else result >= low
        below = result < high if interval[-1] == ")" else result <= high
        if math.isfinite(result) and above and below:
            return result
    raise ConfigError(f"got {value!r}", at=at, expected=f"a number in {interval}")


def whole(at: str, value: object, least: int) -> int:
    """`value` as an int if it is whole and at least `least`.

    Raises: ConfigError.
    """
    if isinstance(value, int | np.integer) and not isinstance(value, bool) and value >= least:
        return int(value)
    raise ConfigError(f"got {value!r}", at=at, expected=f"an int of at least {least}")
