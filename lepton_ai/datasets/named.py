"""Data sets by name."""

from collections.abc import Callable
from typing import Any

from lepton_ai.core import Registry
from lepton_ai.datasets import (
    breast_cancer,
    chinese_reviews,
    diabetes,
    digits,
    fashion_mnist,
    iris,
    mnist,
    mnist_5k,
    wine,
)
from lepton_ai.datasets.kinds import Parts

_SETS = Registry[Callable[..., Parts]]("data set")
for _module in (breast_cancer, chinese_reviews, diabetes, digits, fashion_mnist, iris, mnist, mnist_5k, wine):
    _SETS.add(_module.__name__.rpartition(".")[2], _module.load_data)


def load_dataset(name: str, *args: Any, **kwargs: Any) -> Parts:
    """`lepton_ai.datasets.<name>.load_data(...)`, for a name that is known only when the program runs.

    Raises: UnknownNameError with the nearest name; as that `load_data`.

    Example:
        >>> (x_train, y_train), (x_test, y_test) = load_dataset("iris", test=0.2)
        >>> x_train.shape, x_test.shape
        ((120, 4), (30, 4))
    """
    return _SETS.get(name)(*args, **kwargs)


def dataset_names() -> tuple[str, ...]:
    """The names that `load_dataset` knows, sorted."""
    return tuple(sorted(_SETS))
