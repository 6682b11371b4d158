"""Penalties on weights, added to the loss."""

import abc

from torch import Tensor

from lepton_ai.core import ConfigError, Registry
from lepton_ai.layers.config import Configured


class Regularizer(Configured, abc.ABC):
    """A penalty: tensor to scalar tensor."""

    @abc.abstractmethod
    def __call__(self, weight: Tensor) -> Tensor:
        """The penalty of one weight."""


class L1L2(Regularizer):
    """`l1 * sum(|w|) + l2 * sum(w^2)`."""

    def __init__(self, l1: float = 0.0, l2: float = 0.0) -> None:
        for name, value in (("l1", l1), ("l2", l2)):
            if not value >= 0:
                raise ConfigError(at=f"{type(self).__name__}.{name}", got=value, expected="a number >= 0")
        self.l1, self.l2 = l1, l2

    def __call__(self, weight: Tensor) -> Tensor:
        penalty = weight.new_zeros(())
        if self.l1:
            penalty = penalty + self.l1 * weight.abs().sum()
        if self.l2:
            penalty = penalty + self.l2 * weight.square().sum()
        return penalty


class L1(L1L2):
    """`l1 * sum(|w|)`."""

    def __init__(self, l1: float = 0.01) -> None:
        super().__init__(l1=l1)


class L2(L1L2):
    """`l2 * sum(w^2)`."""

    def __init__(self, l2: float = 0.01) -> None:
        super().__init__(l2=l2)


_names: Registry[type[L1L2]] = Registry("regularizer")
_names.add("l1", L1)
_names.add("l2", L2)
_names.add("l1_l2", L1L2, "l1l2")


def get_regularizer(regularizer: str | Regularizer | None) -> Regularizer | None:
    """A regulariser from its Keras name, itself, or None.

    Raises: UnknownNameError, ConfigError.
    """
    if isinstance(regularizer, str):
        return L1L2(0.01, 0.01) if regularizer in ("l1_l2", "l1l2") else _names.get(regularizer)()
    if regularizer is not None and not isinstance(regularizer, Regularizer):
        raise ConfigError(at="regularizer", got=regularizer, expected="a name, a Regularizer or None")
    return regularizer
