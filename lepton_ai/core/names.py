"""Names: registries that suggest the nearest one, and the spelling of automatic names."""

import difflib
import re
from collections.abc import Iterator
from typing import Generic, TypeVar

from lepton_ai.core.errors import ConfigError, UnknownNameError

T = TypeVar("T")


def snake_case(name: str) -> str:
    """`"MaxPooling2D"` to `"max_pooling2d"`, as Keras spells automatic names.

    Example:
        >>> snake_case("MaxPooling2D"), snake_case("LSTM"), snake_case("Conv2D")
        ('max_pooling2d', 'lstm', 'conv2d')
    """
    name = re.sub(r"(.)([A-Z][a-z0-9]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def unique_name(base: str, taken: set[str]) -> str:
    """`base`, or `base_1`, `base_2`, ... whichever `taken` does not hold yet; adds it to `taken`."""
    name, count = base, 0
    while name in taken:
        count += 1
        name = f"{base}_{count}"
    taken.add(name)
    return name


def unknown_name(kind: str, name: object, known: list[str], *, at: str = "") -> UnknownNameError:
    """The error for a name that is not in `known`, with the nearest one in it."""
    match = _nearest(str(name).lower(), known)
    fix = f"Did you mean {match!r}?" if match else f"Known: {', '.join(sorted(known)) or 'none'}."
    return UnknownNameError(f"unknown {kind} {name!r}", at=at, fix=fix)


def _nearest(name: str, known: list[str]) -> str | None:
    def likeness(other: str) -> float:
        # The ratio counts two letters that changed places as two mistakes; they are the likeliest one.
        swapped = sorted(other.lower()) == sorted(name)
        return swapped + difflib.SequenceMatcher(None, name, other.lower()).ratio()

    near = difflib.get_close_matches(name, [each.lower() for each in known], n=5, cutoff=0.5)
    return max((each for each in known if each.lower() in near), key=likeness, default=None)


class Registry(Generic[T]):
    """Things by name, with their aliases. Asking for an unknown one suggests the nearest.

    Example:
        >>> shapes = Registry[int]("shape")
        >>> shapes.add("square", 4)
        >>> shapes.get("sqare")
        Traceback (most recent call last):
        lepton_ai.core.errors.UnknownNameError: unknown shape 'sqare'. Did you mean 'square'?
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._items: dict[str, T] = {}

    def add(self, name: str, item: T, *aliases: str, replace: bool = False) -> None:
        """Register `item`; a name that is taken by something else is refused unless `replace`."""
        for each in (name, *aliases):
            held = self._items.get(each)
            if held is not None and held is not item and not replace:
                raise ConfigError(f"{self.kind} {each!r} is already registered as {held!r}", fix="Choose another name.")
        self._items |= dict.fromkeys((name, *aliases), item)

    def get(self, name: str) -> T:
        """The item called `name`.

        Raises: UnknownNameError with the nearest known name.
        """
        if name not in self._items:
            raise unknown_name(self.kind, name, list(self._items))
        return self._items[name]

    def __contains__(self, name: object) -> bool:
        return name in self._items

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)
