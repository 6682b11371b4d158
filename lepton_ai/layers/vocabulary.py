"""Vocabularies: terms counted in the training data, put in order, and given numbers. Shared by all lookups."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from lepton_ai.core import ConfigError

T = TypeVar("T", str, int)


class Places(NamedTuple):
    """Where things stand among the numbers: the mask (if there is one) first, then unknown terms, then the vocabulary.

    Example:
        >>> places = Places(mask=True, oov=2)
        >>> places.first_oov, places.first_term, places.size(10)
        (1, 3, 13)
    """

    mask: bool
    oov: int

    @property
    def first_oov(self) -> int:
        """The number of the first bucket of unknown terms."""
        return int(self.mask)

    @property
    def first_term(self) -> int:
        """The number of the vocabulary's first term."""
        return int(self.mask) + self.oov

    def size(self, terms: int) -> int:
        """How many numbers there are."""
        return self.first_term + terms

    def room(self, max_tokens: int | None) -> int | None:
        """How many terms fit, where `max_tokens` counts everything."""
        return None if max_tokens is None else max_tokens - self.first_term


def learn(counts: Mapping[T, int], room: int | None = None) -> tuple[T, ...]:
    """The terms by falling count, at most `room` of them; equal counts from the last term to the first, as in Keras.

    Example:
        >>> learn({"a": 1, "b": 3, "c": 1}, 2)
        ('b', 'c')
    """
    ordered = sorted(counts, key=lambda term: (counts[term], term), reverse=True)
    return tuple(ordered[:room])


def inverse_frequencies(terms: Sequence[T], documents: int, found: Mapping[T, int]) -> tuple[float, ...]:
    """How much a term tells: `log(1 + documents / (1 + documents with the term))`, for each.

    Example:
        >>> [round(weight, 4) for weight in inverse_frequencies(["the", "rare"], 9, {"the": 9, "rare": 1})]
        [0.6419, 1.7047]
    """
    return tuple(math.log(1 + documents / (1 + found[term])) for term in terms)


def checked_terms(terms: Any, at: str, reserved: Sequence[Any] = (), room: int | None = None) -> tuple[Any, ...]:
    """A vocabulary that was given: a sequence of terms, once each, without the `reserved` ones that stand before it.

    Raises: ConfigError for a term that comes twice or is reserved, for more than there is room for, and for none.
    """
    if isinstance(terms, str) or not hasattr(terms, "__iter__"):
        raise ConfigError(at=at, got=terms, expected="a list of terms")
    listed = tuple(term.item() if hasattr(term, "item") else term for term in terms)
    held = [term for term in reserved if term is not None]
    if listed[: len(held)] == tuple(held):  # as `get_vocabulary` gives it
        listed = listed[len(held) :]
    seen: set[Any] = set()
    for index, term in enumerate(listed):
        if term in seen or term in held:
            why = "comes twice" if term in seen else "is not for the vocabulary: it stands for something else"
            raise ConfigError(f"{term!r} {why}", at=f"{at}[{index}]", fix="Leave it out.")
        seen.add(term)
    if room is not None and len(listed) > room:
        raise ConfigError(at=at, got=f"{len(listed)} terms", expected=f"at most {room}, as max_tokens says")
    if not listed:
        raise ConfigError("an empty vocabulary", at=at, fix="Leave it out, and call adapt(x_train).")
    return listed
