"""The optimisers by name: torch's under Keras' names and defaults, Keras' others, and Lepton's own.

Where torch's formula differs from Keras':
- Adam, AdamW: torch adds epsilon to the bias-corrected root, Keras to the uncorrected one. Torch's epsilon therefore
  counts `1 / sqrt(1 - beta_2 ** t)` times as much: 30 times at the first step, once after some thousand.
- Momentum in SGD: torch multiplies the accumulated gradients by the current rate, Keras accumulates gradients each
  times the rate of its step. They differ only while the rate changes.
The others, in `adaptive_optimizers` and `modern_optimizers`, are by Keras' formulas.
"""

from collections.abc import Mapping
from typing import Unpack

import torch

from lepton_ai.core import Registry, snake_case
from lepton_ai.training.adaptive_optimizers import Adadelta, Adagrad, Adamax, Ftrl, Nadam, RMSprop
from lepton_ai.training.channel_adaptive import ChannelAdaptive
from lepton_ai.training.component import number, resolve
from lepton_ai.training.light_step import FusedAdamW, FusedSGD
from lepton_ai.training.modern_optimizers import Adafactor, Lamb, Lion, Muon, ScheduleFreeAdamW
from lepton_ai.training.optimizer import Named, Optimizer, Rate, decouple_decay
from lepton_ai.training.policies import StepPolicies

__all__ = [
    "OPTIMIZERS",
    "SGD",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "ChannelAdaptive",
    "Ftrl",
    "Lamb",
    "Lion",
    "Muon",
    "Nadam",
    "Optimizer",
    "RMSprop",
    "ScheduleFreeAdamW",
    "get_optimizer",
]


class SGD(Optimizer):
    """`b = momentum * b + g`, then `w -= rate * b`; with `nesterov`, `w -= rate * (g + momentum * b)`.

    Source: Sutskever et al. 2013, https://proceedings.mlr.press/v28/sutskever13.html (the order of momentum).

    Example:
        >>> weight = torch.nn.Parameter(torch.ones(1))
        >>> optimizer = SGD(0.1).build([("weight", weight)])
        >>> (weight * 2).backward()
        >>> _ = optimizer.step()
        >>> weight.item()
        0.800000011920929
    """

    def __init__(
        self,
        learning_rate: Rate = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float | None = None,
        **policies: Unpack[StepPolicies],
    ) -> None:
        super().__init__(learning_rate, weight_decay, **policies)
        self.momentum = number("SGD.momentum", momentum, "[0, 1]")
        self.nesterov = nesterov

    def make(self, parameters: Named, learning_rate: float, fused: bool) -> torch.optim.Optimizer:
        # Keras allows nesterov without momentum, which is plain descent; torch refuses it.
        nesterov = self.nesterov and self.momentum > 0
        made: torch.optim.Optimizer
        if fused:
            made = FusedSGD(parameters, learning_rate, self.momentum, nesterov)
        else:
            made = torch.optim.SGD(parameters, learning_rate, self.momentum, nesterov=nesterov)
        return decouple_decay(made, self.weight_decay)


class Adam(Optimizer):
    """Momentum over a running root mean square, each weight on its own, both corrected for starting at zero.

    `m = beta_1 m + (1 - beta_1) g`, `v = beta_2 v + (1 - beta_2) g²`, with the t-th step
    `w -= rate * (m / (1 - beta_1^t)) / (sqrt(v / (1 - beta_2^t)) + epsilon)`; `amsgrad` takes the largest v so far.

    Source: Kingma & Ba 2015, https://arxiv.org/abs/1412.6980.
    """

    def __init__(
        self,
        learning_rate: Rate = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        weight_decay: float | None = None,
        **policies: Unpack[StepPolicies],
    ) -> None:
        super().__init__(learning_rate, weight_decay, **policies)
        at = type(self).__name__
        self.beta_1 = number(f"{at}.beta_1", beta_1, "[0, 1)")
        self.beta_2 = number(f"{at}.beta_2", beta_2, "[0, 1)")
        self.epsilon = number(f"{at}.epsilon", epsilon, "[0, inf)")
        self.amsgrad = amsgrad

    def make(self, parameters: Named, learning_rate: float, fused: bool) -> torch.optim.Optimizer:
        made = FusedAdamW if fused else torch.optim.AdamW
        betas = (self.beta_1, self.beta_2)
        return made(parameters, learning_rate, betas, self.epsilon, self.weight_decay or 0.0, self.amsgrad)


class AdamW(Adam):
    """Adam with decoupled weight decay.

    Source: Loshchilov & Hutter 2019, https://arxiv.org/abs/1711.05101.
    """

    def __init__(
        self,
        learning_rate: Rate = 0.001,
        weight_decay: float = 0.004,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        **policies: Unpack[StepPolicies],
    ) -> None:
        decay = number("AdamW.weight_decay", weight_decay, "[0, inf)")
        super().__init__(learning_rate, beta_1, beta_2, epsilon, amsgrad, decay, **policies)


OPTIMIZERS = Registry[type[Optimizer]]("optimizer")
"""Every optimiser by its class name and in small letters; add your own to load models that use it."""

for _class in (
    SGD,
    Adadelta,
    Adafactor,
    Adagrad,
    Adam,
    AdamW,
    Adamax,
    ChannelAdaptive,
    Ftrl,
    Lamb,
    Lion,
    Muon,
    Nadam,
    RMSprop,
    ScheduleFreeAdamW,
):
    OPTIMIZERS.add(_class.__name__.lower(), _class, snake_case(_class.__name__), _class.__name__)


def get_optimizer(optimizer: str | Optimizer | type[Optimizer] | Mapping[str, object]) -> Optimizer:
    """An optimiser from its name (in any case), itself, or its stored `config()`.

    Raises: UnknownNameError with the nearest name; ConfigError for anything else.

    Example:
        >>> get_optimizer("sgd")
        SGD(learning_rate=0.01, momentum=0.0, nesterov=False, weight_decay=None)
    """
    if isinstance(optimizer, str) and optimizer.lower() in OPTIMIZERS:
        optimizer = optimizer.lower()
    return resolve(OPTIMIZERS, optimizer, Optimizer, at="compile(optimizer=...)")  # type: ignore[type-abstract]
