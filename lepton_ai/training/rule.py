"""Optimisers that torch has not, or not with Keras' formula: the formula over lists of weights, the state kept here."""

from abc import abstractmethod
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from lepton_ai.training.light_step import LightStep
from lepton_ai.training.optimizer import Named, Optimizer, decouple_decay

Slots = dict[str, list[Tensor]]


class RuleOptimizer(Optimizer):
    """An optimiser given by what it keeps of a weight and how one step goes; weight decay is decoupled."""

    def make(self, parameters: Named, learning_rate: float, fused: bool) -> torch.optim.Optimizer:
        return decouple_decay(RuleStep(parameters, learning_rate, self), self.weight_decay)

    @abstractmethod
    def start(self, weight: Tensor) -> dict[str, Tensor]:
        """What is kept of a weight, at the first step."""

    @abstractmethod
    def update(self, rate: float, step: int, weights: list[Tensor], gradients: list[Tensor], kept: Slots) -> None:
        """Change weights and what is kept of them, in place; `step` counts from 1. Gradients stay as they are."""


class RuleStep(LightStep):
    """The torch optimiser of a `RuleOptimizer`; its rate is the group's "lr". A group may bring a "rule" of its own.

    State of a parameter: "step", on the CPU, and what the rule keeps. Nothing waits for a device.
    """

    def __init__(self, params: Iterable[Any], lr: float, rule: RuleOptimizer) -> None:
        super().__init__(params, {"lr": lr, "rule": rule})

    def step_group(self, group: dict[str, Any]) -> None:
        # Weights that once had no gradient are behind in their count, which corrections for the start go by.
        alike: dict[int, list[nn.Parameter]] = {}
        rule: RuleOptimizer = group["rule"]
        for weight in group["params"]:
            if weight.grad is not None:
                alike.setdefault(self._count(weight, rule), []).append(weight)
        for count, weights in alike.items():
            kept = {name: [self.state[each][name] for each in weights] for name in self.state[weights[0]]}
            kept.pop("step")
            gradients = [each.grad for each in weights if each.grad is not None]
            rule.update(group["lr"], count, list(weights), gradients, kept)

    def _count(self, weight: nn.Parameter, rule: RuleOptimizer) -> int:
        state: dict[str, Any] = self.state[weight]
        if not state:
            state["step"] = torch.zeros(())
            state.update(rule.start(weight))
        state["step"] += 1
        return int(state["step"])


def zeros(weight: Tensor) -> Tensor:
    """Zeros laid out in memory as the weight."""
    return torch.zeros_like(weight, memory_format=torch.preserve_format)
