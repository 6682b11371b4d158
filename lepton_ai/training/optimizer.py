"""The base of the optimisers: settings under Keras' names that build torch's own optimiser."""

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, Unpack

import torch
from torch import nn

from lepton_ai.core import UsageError
from lepton_ai.training.component import Component, number
from lepton_ai.training.policies import DEFAULTS, Average, StepPolicies, checked_policies, clipper
from lepton_ai.training.rates import check_names, spread
from lepton_ai.training.schedules import Constant, Schedule, get_schedule

Rate = float | Schedule | Mapping[str, object]
Named = list[tuple[str, nn.Parameter]]

FUSED_DEVICES = ("cpu", "cuda")


class Optimizer(Component):
    """Settings of an optimiser. It holds no weights: `build` makes the torch optimiser that does.

    The loop sets the learning rate of every step itself, from `schedule(total_steps)`. `weight_decay` is decoupled
    as in Keras: weights shrink by `rate * weight_decay` before the step, and gradients never see it. `policies` are
    the same for all: see `StepPolicies`.
    """

    clipnorm: float | None
    clipvalue: float | None
    global_clipnorm: float | None
    use_ema: bool
    ema_momentum: float
    ema_overwrite_frequency: int | None
    gradient_accumulation_steps: int | None
    rates: Mapping[str, float] | None

    def __init__(self, learning_rate: Rate, weight_decay: float | None, **policies: Unpack[StepPolicies]) -> None:
        for name, value in checked_policies(policies, type(self).__name__).items():
            setattr(self, name, value)
        self.learning_rate: float | Schedule
        if isinstance(learning_rate, Schedule | Mapping):
            self.learning_rate = get_schedule(learning_rate)
        else:
            self.learning_rate = number(f"{type(self).__name__}.learning_rate", learning_rate, "[0, inf)")
        at = f"{type(self).__name__}.weight_decay"
        self.weight_decay = None if weight_decay is None else number(at, weight_decay, "[0, inf)")

    def schedule(self, total_steps: int | None) -> Schedule:
        """The rate of each step of a run of `total_steps` (None: not known beforehand)."""
        schedule = get_schedule(self.learning_rate)
        return schedule if total_steps is None else schedule.bind(total_steps)

    def build(self, parameters: Iterable[tuple[str, nn.Parameter]], *, fused: bool = True) -> torch.optim.Optimizer:
        """A torch optimiser over those of the named parameters that train.

        Until the loop sets a rate, it is that of `learning_rate`, or 0.0 where that is a schedule. `fused` takes
        torch's fused kernel where there is one for these parameters.

        Raises: UsageError if no parameter trains; UnknownNameError if `rates` name what is not there.
        """
        parameters = list(parameters)
        self.check_rates(name for name, _ in parameters)
        trained = [(name, parameter) for name, parameter in parameters if parameter.requires_grad]
        if not trained:
            raise UsageError(
                "no parameter trains", at=type(self).__name__, fix="Build the model first, and leave a layer unfrozen."
            )
        able = all(each.is_floating_point() and each.device.type in FUSED_DEVICES for _, each in trained)
        rate = self.learning_rate
        start = 0.0 if isinstance(rate, Schedule) and not isinstance(rate, Constant) else get_schedule(rate)(0)
        made = self.make(trained, start, fused and able)
        if self.rates:
            spread(made, self.rates)
        clip = clipper(self.clipnorm, self.clipvalue, self.global_clipnorm)
        if clip is not None:
            weights = [parameter for _, parameter in trained]

            def shorten(*_: Any) -> None:
                if gradients := [each.grad for each in weights if each.grad is not None]:
                    clip(gradients)

            made.register_step_pre_hook(shorten)
        return made

    def check_rates(self, weights: Iterable[str]) -> None:
        """Whether `rates` name layers of these weights, which are given by their paths.

        Raises: UnknownNameError with the nearest name.
        """
        check_names(self.rates, weights, f"{type(self).__name__}.rates")

    def average(self, parameters: Iterable[nn.Parameter]) -> Average | None:
        """The running mean of the weights that train, if it was asked for."""
        if not self.use_ema:
            return None
        trained = [each for each in parameters if each.requires_grad]
        return Average(trained, self.ema_momentum, self.ema_overwrite_frequency)

    def config(self) -> dict[str, object]:
        """What rebuilds this; of the policies those that are not as usual."""
        found = super().config()
        values = found["config"]
        assert isinstance(values, dict)
        kept = {key: value for key, value in values.items() if key not in DEFAULTS or value != DEFAULTS[key]}
        return found | {"config": kept}

    def __repr__(self) -> str:
        usual = (key for key in self.arguments() if key not in DEFAULTS or getattr(self, key) != DEFAULTS[key])
        return f"{type(self).__name__}({', '.join(f'{key}={getattr(self, key)!r}' for key in usual)})"

    @abstractmethod
    def make(self, parameters: Named, learning_rate: float, fused: bool) -> torch.optim.Optimizer:
        """The torch optimiser over `parameters`, which all train; `fused` only where torch can."""


def decouple_decay(optimizer: torch.optim.Optimizer, weight_decay: float | None) -> torch.optim.Optimizer:
    """Let weights shrink by `rate * weight_decay` before each step.

    torch's SGD would add the decay to the gradient instead, where momentum distorts it.
    """
    if weight_decay:

        def shrink(optimizer: torch.optim.Optimizer, *_: Any) -> None:
            for group in optimizer.param_groups:
                weights = [each for each in group["params"] if each.grad is not None]
                with torch.no_grad():
                    torch._foreach_mul_(weights, 1 - group["lr"] * weight_decay)

        optimizer.register_step_pre_hook(shrink)
    return optimizer
