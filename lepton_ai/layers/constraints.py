"""Limits on weights: projections that training applies after each step."""

import abc

import torch
from torch import Tensor

from lepton_ai.core import ConfigError, Registry
from lepton_ai.layers.config import Configured

_EPSILON = 1e-7  # Keras', which keeps a norm of 0 from dividing


class Constraint(Configured, abc.ABC):
    """A projection: a weight, its axes as Keras orders them, to the weight that takes its place."""

    @abc.abstractmethod
    def __call__(self, weight: Tensor) -> Tensor:
        """The weight within the limit."""


class NonNeg(Constraint):
    """No element below 0.

    Example:
        >>> NonNeg()(torch.tensor([-1.0, 2.0]))
        tensor([0., 2.])
    """

    def __call__(self, weight: Tensor) -> Tensor:
        return weight.clamp(min=0)


class MinMaxNorm(Constraint):
    """Euclidean norms along `axis` moved a part `rate` of the way into `min_value` to `max_value`.

    With axis 0 a norm is that of all that enters a unit of `Dense`; that of a filter of `Conv2D` needs (0, 1, 2).

    Raises: ConfigError for limits that no norm can keep.

    Example:
        >>> MinMaxNorm(1, 2)(torch.tensor([[3.0, 0.3, 1.5], [4.0, 0.4, 0.0]]))
        tensor([[1.2000, 0.6000, 1.5000],
                [1.6000, 0.8000, 0.0000]])
    """

    def __init__(
        self, min_value: float = 0.0, max_value: float = 1.0, rate: float = 1.0, axis: int | tuple[int, ...] = 0
    ) -> None:
        at = type(self).__name__
        if not 0 <= min_value <= max_value:
            raise ConfigError(at=at, got=(min_value, max_value), expected="0 <= min_value <= max_value")
        if not 0 <= rate <= 1:
            raise ConfigError(at=f"{at}.rate", got=rate, expected="a number from 0 to 1")
        self.min_value, self.max_value, self.rate = min_value, max_value, rate
        self.axis = axis

    def __call__(self, weight: Tensor) -> Tensor:
        norms = _norms(weight, self.axis)
        wanted = norms.clamp(self.min_value, self.max_value)
        return weight * (torch.lerp(norms, wanted, self.rate) / (_EPSILON + norms))


class MaxNorm(Constraint):
    """Euclidean norms along `axis` of at most `max_value`; for `axis` see `MinMaxNorm`.

    Srivastava et al., 2014. Raises: ConfigError for a limit below 0.

    Example:
        >>> MaxNorm(1)(torch.tensor([[3.0, 0.3], [4.0, 0.4]]))
        tensor([[0.6000, 0.3000],
                [0.8000, 0.4000]])
    """

    def __init__(self, max_value: float = 2, axis: int | tuple[int, ...] = 0) -> None:
        if not max_value >= 0:
            raise ConfigError(at="MaxNorm.max_value", got=max_value, expected="a number >= 0")
        self.max_value, self.axis = max_value, axis

    def __call__(self, weight: Tensor) -> Tensor:
        norms = _norms(weight, self.axis)
        return weight * (norms.clamp(max=self.max_value) / (_EPSILON + norms))


class UnitNorm(Constraint):
    """Euclidean norms along `axis` of 1; for `axis` see `MinMaxNorm`.

    Example:
        >>> UnitNorm()(torch.tensor([[3.0, 0.3], [4.0, 0.4]]))
        tensor([[0.6000, 0.6000],
                [0.8000, 0.8000]])
    """

    def __init__(self, axis: int | tuple[int, ...] = 0) -> None:
        self.axis = axis

    def __call__(self, weight: Tensor) -> Tensor:
        return weight / (_EPSILON + _norms(weight, self.axis))


def _norms(weight: Tensor, axis: int | tuple[int, ...]) -> Tensor:
    return weight.square().sum(axis, keepdim=True).sqrt()


_names: Registry[type[Constraint]] = Registry("constraint")
for _name, _kind in (("max_norm", MaxNorm), ("min_max_norm", MinMaxNorm), ("non_neg", NonNeg), ("unit_norm", UnitNorm)):
    _names.add(_name, _kind, _kind.__name__)


def get_constraint(constraint: str | Constraint | None) -> Constraint | None:
    """A constraint from its Keras name, itself, or None.

    Raises: UnknownNameError, ConfigError.
    """
    if isinstance(constraint, str):
        return _names.get(constraint)()
    if constraint is not None and not isinstance(constraint, Constraint):
        raise ConfigError(at="constraint", got=constraint, expected="a name, a Constraint or None")
    return constraint
