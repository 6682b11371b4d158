"""Activation functions under their Keras names. None works in place."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from lepton_ai.core import ConfigError, Registry

Function = Callable[[Tensor], Tensor]


def linear(x: Tensor) -> Tensor:
    """`x`"""
    return x


def relu(x: Tensor) -> Tensor:
    """`max(x, 0)`"""
    return torch.relu(x)


def relu6(x: Tensor) -> Tensor:
    """`min(max(x, 0), 6)`"""
    return F.relu6(x)


def leaky_relu(x: Tensor) -> Tensor:
    """`x` if positive, else `0.2 x` (Keras 3's slope)"""
    return F.leaky_relu(x, 0.2)


def elu(x: Tensor) -> Tensor:
    """`x` if positive, else `exp(x) - 1`"""
    return F.elu(x)


def selu(x: Tensor) -> Tensor:
    """Scaled ELU (Klambauer et al., 2017, arXiv:1706.02515)"""
    return F.selu(x)


def gelu(x: Tensor) -> Tensor:
    """`x * Phi(x)`, exact (Hendrycks and Gimpel, arXiv:1606.08415)"""
    return F.gelu(x)


def silu(x: Tensor) -> Tensor:
    """`x * sigmoid(x)`"""
    return F.silu(x)


def mish(x: Tensor) -> Tensor:
    """`x * tanh(softplus(x))` (Misra, arXiv:1908.08681)"""
    return F.mish(x)


def sigmoid(x: Tensor) -> Tensor:
    """`1 / (1 + exp(-x))`"""
    return torch.sigmoid(x)


def hard_sigmoid(x: Tensor) -> Tensor:
    """`relu6(x + 3) / 6`"""
    return F.hardsigmoid(x)


def tanh(x: Tensor) -> Tensor:
    """Hyperbolic tangent"""
    return torch.tanh(x)


def softmax(x: Tensor) -> Tensor:
    """`exp(x) / sum(exp(x))` over the last axis"""
    return torch.softmax(x, -1)


def log_softmax(x: Tensor) -> Tensor:
    """`x - log(sum(exp(x)))` over the last axis"""
    return torch.log_softmax(x, -1)


def softplus(x: Tensor) -> Tensor:
    """`log(1 + exp(x))`"""
    return F.softplus(x)


def softsign(x: Tensor) -> Tensor:
    """`x / (1 + |x|)`"""
    return F.softsign(x)


def exponential(x: Tensor) -> Tensor:
    """`exp(x)`"""
    return torch.exp(x)


_names: Registry[Function] = Registry("activation")
for _function in (
    linear, relu, relu6, leaky_relu, elu, selu, gelu, mish, sigmoid,
    hard_sigmoid, tanh, softmax, log_softmax, softplus, softsign, exponential,
):  # fmt: skip
    _names.add(_function.__name__, _function)
_names.add("silu", silu, "swish")


def get_activation(activation: str | Function | None) -> Function:
    """A function from its Keras name, itself, or None for linear.

    Raises: UnknownNameError with the nearest name, ConfigError.
    """
    if activation is None:
        return linear
    if isinstance(activation, str):
        return _names.get(activation)
    if not callable(activation):
        raise ConfigError(at="activation", got=activation, expected="a name, a function or None")
    return activation
