"""What `fit`, `evaluate` and `predict` are told beside the data: checked, and brought to one form."""

import math
import numbers
import operator
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lepton_ai.core import ConfigError, DataError
from lepton_ai.data import Arrays, Indexed, Subset
from lepton_ai.layers import Layer
from lepton_ai.training import Augmentation, Callback, check_augmentation


def whole(verb: str, name: str, value: Any, least: int = 1, below: int | None = None) -> int:
    """`value` as an int of at least `least`; numpy's integers are taken too.

    Raises: ConfigError.

    Example:
        >>> whole("fit", "epochs", 3)
        3
    """
    try:
        result = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        result = None
    if result is None or result < least or (below is not None and result >= below):
        expected = "a positive int" if least == 1 else f"an int of at least {least}"
        if below is not None:
            expected = f"an int from {least} to 2**63 - 1"
        raise ConfigError(at=f"{verb}({name}=...)", got=value, expected=expected)
    return result


def maybe_whole(verb: str, name: str, value: Any) -> int | None:
    """`value` as a positive int, or None.

    Raises: ConfigError.
    """
    return None if value is None else whole(verb, name, value)


def as_seed(value: Any) -> int:
    """A seed as `set_seed` takes it.

    Raises: ConfigError.
    """
    return whole("fit", "seed", value, 0, 2**63)


def as_fraction(value: Any) -> float:
    """A part to hold out; whether it leaves rows is seen once their number is known.

    Raises: ConfigError for what is no number.
    """
    if value is None:
        return 0.0
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise ConfigError(at="fit(validation_split=...)", got=value, expected="a number from 0 to below 1")
    return float(value)


def as_callbacks(given: Any) -> list[Callback]:
    """A list of callbacks; one alone is taken too.

    Raises: ConfigError for a class, or what is no callback.
    """
    listed = [] if given is None else list(given) if isinstance(given, list | tuple) else [given]
    for each in listed:
        if not isinstance(each, Callback):
            name = each.__name__ if isinstance(each, type) else None
            raise ConfigError(
                at="fit(callbacks=...)",
                got=name or each,
                expected="a list of callbacks",
                fix=f"Write {name}(), with its arguments." if name else "",
            )
    return listed


def as_augmentation(given: Any) -> tuple[Augmentation, ...]:
    """What changes inputs and targets together; its layers draw by their place in the list, as those of a model do.

    Raises: ConfigError.
    """
    listed = check_augmentation(given)
    for index, each in enumerate(listed):
        if isinstance(each, nn.Module):
            for path, module in each.named_modules():
                if isinstance(module, Layer):
                    module.path = f"augment.{index}.{path}".rstrip(".")
    return listed


def validation_parts(given: Any) -> tuple[Any, ...]:
    """x, y and weight of `validation_data`: a source or loader alone, or the pair or triple that it is usually.

    Raises: ConfigError for another number of parts.
    """
    if not isinstance(given, tuple | list):
        return (given,)
    if len(given) not in (2, 3):
        raise ConfigError(
            at="fit(validation_data=...)", got=f"{len(given)} parts", expected="(x, y) or (x, y, sample_weight)"
        )
    return tuple(given)


def as_class_weight(weights: Any, classes: int) -> Tensor:
    """The weights (classes,) float32 in the order of the classes.

    Raises: ConfigError for what is no dict of numbers; DataError unless each class has a weight.
    """
    at = "fit(class_weight=...)"
    sound = isinstance(weights, Mapping) and all(
        isinstance(value, numbers.Real) and not isinstance(value, bool) for item in weights.items() for value in item
    )
    if not sound:
        raise ConfigError(at=at, got=weights, expected="a dict from each class' number to its weight")
    known = list(range(classes))
    if sorted(weights) != known or not all(0 <= weight < math.inf for weight in weights.values()):
        raise DataError(at=at, got=weights, expected=f"a weight of at least 0 for each of the classes {known}")
    return torch.tensor([float(weights[index]) for index in sorted(weights)])


def hold_out(source: Indexed, fraction: float) -> tuple[Indexed, Indexed]:
    """The rows to train on, and the last `fraction` of them to validate on.

    Raises: ConfigError if one part would be empty.
    """
    cut = int(len(source) * (1 - fraction)) if 0 < fraction < 1 else 0
    if not 0 < cut < len(source):
        raise ConfigError(
            at="fit(validation_split=...)", got=fraction, expected="a part that leaves rows on both sides"
        )
    if isinstance(source, Arrays):
        return source.part(0, cut), source.part(cut, len(source))
    return Subset(source, range(cut)), Subset(source, range(cut, len(source)))
