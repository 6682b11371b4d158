"""Optimisers with a step size for each weight, by Keras' formulas: RMSprop, Adagrad, Adadelta, Adamax, Nadam,
Ftrl.

Where torch has one of the name, its epsilon stands elsewhere or its defaults differ. The rate `r` is that of the step.
"""

from functools import lru_cache
from typing import Unpack

import torch
from torch import Tensor

from lepton_ai.training.component import number
from lepton_ai.training.optimizer import Rate
from lepton_ai.training.policies import StepPolicies
from lepton_ai.training.rule import RuleOptimizer, Slots, zeros


class RMSprop(RuleOptimizer):
    """The gradient over a running root mean square of itself, each weight on its own.

    `v = rho v + (1 - rho) g²` (less the square of a running mean of g, if `centered`), `u = r g / sqrt(v + epsilon)`,
    then `w -= u`, or with momentum `b = momentum b + u` and `w -= b`.

    Source: Hinton 2012, lecture 6e; Graves 2013 for the centred form, https://arxiv.org/abs/1308.0850.
    """

    def __init__(
        self,
        learning_rate: Rate = 0.001,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        centered: bool = False,
        weight_decay: float | None = None,
        **policies: Unpack[StepPolicies],
    ) -> None:
        super().__init__(learning_rate, weight_decay, **policies)
        self.rho = number("RMSprop.rho", rho, "[0, 1)")
        self.momentum = number("RMSprop.momentum", momentum, "[0, 1]")
        self.epsilon = number("RMSprop.epsilon", epsilon, "[0, inf)")
        self.centered = centered

    def start(self, weight: Tensor) -> dict[str, Tensor]:
        kept = {"velocity": zeros(weight)}
        if self.centered:
            kept["average_gradient"] = zeros(weight)
        if self.momentum:
            kept["momentum"] = zeros(weight)
        return kept

    def update(self, rate: float, step: int, weights: list[Tensor], gradients: list[Tensor], kept: Slots) -> None:
        squares = kept["velocity"]
        torch._foreach_mul_(squares, self.rho)
        torch._foreach_addcmul_(squares, gradients, gradients, value=1 - self.rho)
        roots = torch._foreach_add(squares, self.epsilon)
        if self.centered:
            means = kept["average_gradient"]
            torch._foreach_lerp_(means, gradients, 1 - self.rho)
            torch._foreach_addcmul_(roots, means, means, value=-1)
        torch._foreach_sqrt_(roots)
        if self.momentum:
            torch._foreach_mul_(kept["momentum"], self.momentum)
            torch._foreach_addcdiv_(kept["momentum"], gradients, roots, value=rate)
            torch._foreach_sub_(weights, kept["momentum"])
        else:
            torch._foreach_addcdiv_(weights, gradients, roots, value=-rate)


class Adagrad(RuleOptimizer):
    """`a = a + g²` from `initial_accumulator_value` on, `w -= r g / sqrt(a + epsilon)`: rates only ever fall.

    Source: Duchi, Hazan & Singer 2011, https://www.jmlr.org/papers/v12/duchi11a.html.

    Example:
        >>> weight = torch.nn.Parameter(torch.zeros(1))
        >>> optimizer = Adagrad(0.1, initial_accumulator_value=0.0).build([("weight", weight)])
        >>> weight.grad = torch.tensor([5.0])
        >>> _ = optimizer.step()
        >>> round(weight.item(), 4)
        -0.1
    """

    def __init__(
        self,
        learning_rate: Rate = 0.001,
        initial_accumulator_value: float = 0.1,
        epsilon: float = 1e-7,
        weight_decay: float | None = None,
        **policies: Unpack[StepPolicies],
    ) -> None:
        super().__init__(learning_rate, weight_decay, **policies)
        self.initial_accumulator_value = number(
            "Adagrad.initial_accumulator_value", initial_accumulator_value, "[0, inf)"
        )
        self.epsilon = number("Adagrad.epsilon", epsilon, "(0, inf)")

    def start(self, weight: Tensor) -> dict[str, Tensor]:
        return {"accumulator": zeros(weight).fill_(self.initial_accumulator_value)}

    def update(self, rate: float, step: int, weights: list[Tensor], gradients: list[Tensor], kept: Slots) -> None:
        torch._foreach_addcmul_(kept["accumulator"], gradients, gradients)
        roots = torch._foreach_add(kept["accumulator"], self.epsilon)
        torch._foreach_sqrt_(roots)
        torch._foreach_addcdiv_(weights, gradients, roots, value=-rate)


class Adadelta(RuleOptimizer):
    """`u = g rms(past u) / rms(g)` with running means by `rho` and `epsilon` under the roots, `w -= r u`.

    Source: Zeiler 2012, https://arxiv.org/abs/1212.5701, where the rate is 1; Keras' default of 0.001 is very small.
    """

    def __init__(
        self,
        learning_rate: Rate = 0.001,
        rho: float = 0.95,
        epsilon: float = 1e-7,
        weight_decay: float | None = None,
        **policies: Unpack[StepPolicies],
    ) -> None:
        super().__init__(learning_rate, weight_decay, **policies)
        self.rho = number("Adadelta.rho", rho, "[0, 1)")
        self.epsilon = number("Adadelta.epsilon", epsilon, "(0, inf)")

    def start(self, weight: Tensor) -> dict[str, Tensor]:
        return {"accumulated_grad": zeros(weight), "accumulated_delta": zeros(weight)}

    def update(self, rate: float, step: int, weights: list[Tensor], gradients: list[Tensor], kept: Slots) -> None:
        squares, deltas = kept["accumulated_grad"], kept["accumulated_delta"]
        torch._foreach_mul_(squares, self.rho)
        torch._foreach_addcmul_(squares, gradients, gradients, value=1 - self.rho)
        moves = torch._foreach_add(deltas, self.epsilon)
        torch._foreach_div_(moves, torch._foreach_add(squares, self.epsilon))
        torch._foreach_sqrt_(moves)
        torch._foreach_mul_(moves, gradients)
        torch._foreach_mul_(deltas, self.rho)
        torch._foreach_addcmul_(deltas, moves, moves, value=1 - self.rho)
        torch._foreach_add_(weights, moves, alpha=-rate)


class Adamax(RuleOptimizer):
    """Adam by the largest gradient: `u = max(beta_2 u, |g|)`, `w -= r m / ((1 - beta_1^t) (u + epsilon))`.

    Source: Kingma & Ba 2015, section 7.1, https://arxiv.org/abs/1412.6980.
    """

    def __init__(
        self,
        learning_rate: Rate = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        weight_decay: float | None = None,
        **policies: Unpack[StepPolicies],
    ) -> None:
        super().__init__(learning_rate, weight_decay, **policies)
        self.beta_1 = number("Adamax.beta_1", beta_1, "[0, 1)")
        self.beta_2 = number("Adamax.beta_2", beta_2, "[0, 1)")
        self.epsilon = number("Adamax.epsilon", epsilon, "(0, inf)")

    def start(self, weight: Tensor) -> dict[str, Tensor]:
        return {"momentum": zeros(weight), "norm": zeros(weight)}

    def update(self, rate: float, step: int, weights: list[Tensor], gradients: list[Tensor], kept: Slots) -> None:
        torch._foreach_lerp_(kept["momentum"], gradients, 1 - self.beta_1)
        torch._foreach_mul_(kept["norm"], self.beta_2)
        torch._foreach_maximum_(kept["norm"], torch._foreach_abs(gradients))
        norms = torch._foreach_add(kept["norm"], self.epsilon)
        torch._foreach_addcdiv_(weights, kept["momentum"], norms, value=-rate / (1 - self.beta_1**step))


class Nadam(RuleOptimizer):
    """Adam with Nesterov's look ahead, whose momentum warms up: `beta_1 (1 - 0.96^t / 2)` at step t.

    Source: Dozat 2016, https://openreview.net/forum?id=OM0jvwB8jIp57ZJjtNEZ.
    """

    def __init__(
        self,
        learning_rate: Rate = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        weight_decay: float | None = None,
        **policies: Unpack[StepPolicies],
    ) -> None:
        super().__init__(learning_rate, weight_decay, **policies)
        self.beta_1 = number("Nadam.beta_1", beta_1, "[0, 1)")
        self.beta_2 = number("Nadam.beta_2", beta_2, "[0, 1)")
        self.epsilon = number("Nadam.epsilon", epsilon, "[0, inf)")

    def start(self, weight: Tensor) -> dict[str, Tensor]:
        return {"momentum": zeros(weight), "velocity": zeros(weight)}

    def update(self, rate: float, step: int, weights: list[Tensor], gradients: list[Tensor], kept: Slots) -> None:
        momenta, squares = kept["momentum"], kept["velocity"]
        torch._foreach_lerp_(momenta, gradients, 1 - self.beta_1)
        torch._foreach_mul_(squares, self.beta_2)
        torch._foreach_addcmul_(squares, gradients, gradients, value=1 - self.beta_2)
        roots = torch._foreach_div(squares, 1 - self.beta_2**step)
        torch._foreach_sqrt_(roots)
        torch._foreach_add_(roots, self.epsilon)
        now, ahead = (self.beta_1 * (1 - 0.5 * 0.96**each) for each in (step, step + 1))
        product = self.beta_1**step * _warm_up(step)
        torch._foreach_addcdiv_(weights, momenta, roots, value=-rate * ahead / (1 - product * ahead))
        torch._foreach_addcdiv_(weights, gradients, roots, value=-rate * (1 - now) / (1 - product))


@lru_cache(maxsize=4)
def _warm_up(step: int) -> float:
    """The product of `1 - 0.96^i / 2` up to a step; from some thousand on it no longer changes."""
    product = 1.0
    for each in range(1, min(step, 2000) + 1):
        product *= 1 - 0.5 * 0.96**each
    return product


class Ftrl(RuleOptimizer):
    """Follow the regularised leader: weights are made anew each step from sums of gradients, exact zeros under `l1`.

    With `n = n + g²` (from `initial_accumulator_value` on), `p = -learning_rate_power` and g' the gradient plus twice
    `l2_shrinkage` times the weight: `z += g' - (n_new^p - n^p) / r w`, then
    `w = (clip(z, -l1, l1) - z) / (n_new^p / r + 2 l2 + beta / r)`. What a weight was before the first step has little
    effect on where it goes: weights of several layers that start random lose that start.

    Source: McMahan et al. 2013, https://doi.org/10.1145/2487575.2488200.
    """

    def __init__(
        self,
        learning_rate: Rate = 0.001,
        learning_rate_power: float = -0.5,
        initial_accumulator_value: float = 0.1,
        l1_regularization_strength: float = 0.0,
        l2_regularization_strength: float = 0.0,
        l2_shrinkage_regularization_strength: float = 0.0,
        beta: float = 0.0,
        weight_decay: float | None = None,
        **policies: Unpack[StepPolicies],
    ) -> None:
        super().__init__(learning_rate, weight_decay, **policies)
        self.learning_rate_power = number("Ftrl.learning_rate_power", learning_rate_power, "(-inf, 0]")
        self.initial_accumulator_value = _positive("initial_accumulator_value", initial_accumulator_value)
        self.l1_regularization_strength = _positive("l1_regularization_strength", l1_regularization_strength)
        self.l2_regularization_strength = _positive("l2_regularization_strength", l2_regularization_strength)
        self.l2_shrinkage_regularization_strength = _positive(
            "l2_shrinkage_regularization_strength", l2_shrinkage_regularization_strength
        )
        self.beta = _positive("beta", beta)

    def start(self, weight: Tensor) -> dict[str, Tensor]:
        return {"accumulator": zeros(weight).fill_(self.initial_accumulator_value), "linear": zeros(weight)}

    def update(self, rate: float, step: int, weights: list[Tensor], gradients: list[Tensor], kept: Slots) -> None:
        if rate == 0:
            return  # a rate of 0 leaves the weights, where the formula would divide by it
        sums, linear = kept["accumulator"], kept["linear"]
        before = torch._foreach_pow(sums, -self.learning_rate_power)
        torch._foreach_addcmul_(sums, gradients, gradients)
        powers = torch._foreach_pow(sums, -self.learning_rate_power)
        torch._foreach_add_(linear, gradients)
        torch._foreach_add_(linear, weights, alpha=2 * self.l2_shrinkage_regularization_strength)
        torch._foreach_addcmul_(linear, torch._foreach_sub(powers, before), weights, value=-1 / rate)
        torch._foreach_div_(powers, rate)
        torch._foreach_add_(powers, 2 * self.l2_regularization_strength + self.beta / rate)
        kept_back = torch._foreach_clamp_min(linear, -self.l1_regularization_strength)
        torch._foreach_clamp_max_(kept_back, self.l1_regularization_strength)
        torch._foreach_sub_(kept_back, linear)
        torch._foreach_copy_(weights, torch._foreach_div(kept_back, powers))


def _positive(name: str, value: float) -> float:
    return number(f"Ftrl.{name}", value, "[0, inf)")
