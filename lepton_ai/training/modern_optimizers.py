"""Optimisers for large models and batches, by Keras' formulas: Lion, Lamb, Adafactor, Muon, schedule-free AdamW."""

import re
from collections.abc import Sequence
from typing import Unpack

import torch
from torch import Tensor

from lepton_ai.core import ConfigError
from lepton_ai.training.component import number, whole
from lepton_ai.training.optimizer import Named, Rate
from lepton_ai.training.policies import StepPolicies
from lepton_ai.training.rule import RuleOptimizer, RuleStep, Slots, zeros


class Lion(RuleOptimizer):
    """`w -= r sign(beta_1 m + (1 - beta_1) g)`, then `m = beta_2 m + (1 - beta_2) g`: one array of state, not two.

    All weights move by the same amount, so the rate is 3 to 10 times smaller than Adam's, and the decay as much larger.

    Source: Chen et al. 2023, https://arxiv.org/abs/2302.06675.

    Example:
        >>> weight = torch.nn.Parameter(torch.zeros(2))
        >>> optimizer = Lion(0.1).build([("weight", weight)])
        >>> weight.grad = torch.tensor([5.0, -0.01])
        >>> _ = optimizer.step()
        >>> weight.data
        tensor([-0.1000,  0.1000])
    """

    def __init__(
        self,
        learning_rate: Rate = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.99,
        weight_decay: float | None = None,
        **policies: Unpack[StepPolicies],
    ) -> None:
        super().__init__(learning_rate, weight_decay, **policies)
        self.beta_1 = number("Lion.beta_1", beta_1, "(0, 1]")
        self.beta_2 = number("Lion.beta_2", beta_2, "[0, 1]")

    def start(self, weight: Tensor) -> dict[str, Tensor]:
        return {"momentum": zeros(weight)}

    def update(self, rate: float, step: int, weights: list[Tensor], gradients: list[Tensor], kept: Slots) -> None:
        moves = torch._foreach_mul(kept["momentum"], self.beta_1)
        torch._foreach_add_(moves, gradients, alpha=1 - self.beta_1)
        torch._foreach_sign_(moves)
        torch._foreach_add_(weights, moves, alpha=-rate)
        torch._foreach_mul_(kept["momentum"], self.beta_2)
        torch._foreach_add_(kept["momentum"], gradients, alpha=1 - self.beta_2)


class Lamb(RuleOptimizer):
    """Adam's step u for each weight tensor, scaled to its length: `w -= r (|w| / |u|) u`; for very large batches.

    The ratio is 1 where either length is 0. Weight decay is decoupled as in Keras, so it is not scaled along, where
    the paper adds it to u.

    Source: You et al. 2020, https://arxiv.org/abs/1904.00962.
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
        self.beta_1 = number("Lamb.beta_1", beta_1, "[0, 1)")
        self.beta_2 = number("Lamb.beta_2", beta_2, "[0, 1)")
        self.epsilon = number("Lamb.epsilon", epsilon, "[0, inf)")

    def start(self, weight: Tensor) -> dict[str, Tensor]:
        return {"momentum": zeros(weight), "velocity": zeros(weight)}

    def update(self, rate: float, step: int, weights: list[Tensor], gradients: list[Tensor], kept: Slots) -> None:
        moves = adam_moves(kept, gradients, step, self.beta_1, self.beta_2, self.epsilon)
        lengths = zip(torch._foreach_norm(weights), torch._foreach_norm(moves), strict=True)
        ratios = [torch.where((own > 0) & (length > 0), own / length, 1.0) for own, length in lengths]
        torch._foreach_mul_(moves, ratios)
        torch._foreach_add_(weights, moves, alpha=-rate)


def adam_moves(
    kept: Slots, gradients: list[Tensor], step: int, beta_1: float, beta_2: float, epsilon: float
) -> list[Tensor]:
    """Adam's directions `(m / (1 - beta_1^t)) / (sqrt(v / (1 - beta_2^t)) + epsilon)`, after updating both means."""
    torch._foreach_lerp_(kept["momentum"], gradients, 1 - beta_1)
    torch._foreach_mul_(kept["velocity"], beta_2)
    torch._foreach_addcmul_(kept["velocity"], gradients, gradients, value=1 - beta_2)
    roots = torch._foreach_div(kept["velocity"], 1 - beta_2**step)
    torch._foreach_sqrt_(roots)
    torch._foreach_add_(roots, epsilon)
    moves: list[Tensor] = list(torch._foreach_div(kept["momentum"], 1 - beta_1**step))
    torch._foreach_div_(moves, roots)
    return moves


class Adafactor(RuleOptimizer):
    """Adam without momentum, whose mean squares of a matrix are kept as those of its rows and columns only.

    Per weight tensor, with `rho = min(r, 1 / sqrt(t))` and `b = 1 - t^beta_2_decay`: the mean squares
    `v = b v + (1 - b)(g² + epsilon_1)` (of a matrix: `v = rows columns / mean(rows)`), `u = g / sqrt(v)` cut to a root
    mean square of `clip_threshold`, and `w -= max(epsilon_2, rms(w)) rho u`. As in Keras, rho is never above
    `1 / sqrt(t)`; `relative_step` so has no effect of its own, and is kept for its name. Rows and columns are the first
    two axes, output and input channels, as Keras' last two are.

    Source: Shazeer & Stern 2018, https://arxiv.org/abs/1804.04235.
    """

    def __init__(
        self,
        learning_rate: Rate = 0.001,
        beta_2_decay: float = -0.8,
        epsilon_1: float = 1e-30,
        epsilon_2: float = 0.001,
        clip_threshold: float = 1.0,
        relative_step: bool = True,
        weight_decay: float | None = None,
        **policies: Unpack[StepPolicies],
    ) -> None:
        super().__init__(learning_rate, weight_decay, **policies)
        self.beta_2_decay = number("Adafactor.beta_2_decay", beta_2_decay, "(-inf, 0)")
        self.epsilon_1 = number("Adafactor.epsilon_1", epsilon_1, "(0, inf)")
        self.epsilon_2 = number("Adafactor.epsilon_2", epsilon_2, "[0, inf)")
        self.clip_threshold = number("Adafactor.clip_threshold", clip_threshold, "(0, inf)")
        self.relative_step = relative_step

    def start(self, weight: Tensor) -> dict[str, Tensor]:
        if weight.ndim < 2:
            return {"rows": zeros(weight), "columns": weight.new_zeros(())}
        return {"rows": zeros(weight[:, 0]), "columns": zeros(weight[0])}

    def update(self, rate: float, step: int, weights: list[Tensor], gradients: list[Tensor], kept: Slots) -> None:
        rho, share = min(rate, step**-0.5), step**self.beta_2_decay
        for weight, gradient, rows, columns in zip(weights, gradients, kept["rows"], kept["columns"], strict=True):
            square = gradient.square().add_(self.epsilon_1)
            if weight.ndim < 2:
                mean = rows.lerp_(square, share)
            else:
                rows.lerp_(square.mean(1), share)
                columns.lerp_(square.mean(0), share)
                mean = (rows / rows.mean(0, keepdim=True)).unsqueeze(1) * columns.unsqueeze(0)
            move = gradient / mean.sqrt()
            move /= (_rms(move) / self.clip_threshold).clamp_min(1)
            weight.sub_(move.mul_(_rms(weight).clamp_min(self.epsilon_2)), alpha=rho)


def _rms(values: Tensor) -> Tensor:
    return values.square().mean().sqrt()


class Muon(RuleOptimizer):
    """Momentum made orthogonal: every direction of a matrix moves by as much; other weights take AdamW's step.

    `m = momentum m + g`, `u = g + momentum m` (`nesterov`) or m, then `ns_steps` of Newton and Schulz's iteration
    towards the nearest orthogonal matrix, and `w -= r rms_rate sqrt(larger side) u` (without the factor if `rms_rate`
    is None). Only matrices, whose names do not hold "embedding" (`exclude_embeddings`) nor match a pattern in
    `exclude_layers`; the rest goes by `adam_*` at `adam_lr_ratio` times the rate. By the paper the last layer should
    be excluded too: name it there, and an Embedding that you gave a name without that word.

    Source: Jordan et al. 2024, https://kellerjordan.github.io/posts/muon; Liu et al. 2025,
    https://arxiv.org/abs/2502.16982 for `rms_rate`.
    """

    def __init__(
        self,
        learning_rate: Rate = 0.001,
        adam_beta_1: float = 0.9,
        adam_beta_2: float = 0.999,
        adam_weight_decay: float | None = 0.004,
        epsilon: float = 1e-7,
        weight_decay: float | None = 0.004,
        *,
        exclude_layers: Sequence[str] | None = None,
        exclude_embeddings: bool = True,
        muon_a: float = 3.4445,
        muon_b: float = -4.775,
        muon_c: float = 2.0315,
        adam_lr_ratio: float = 1,
        momentum: float = 0.95,
        ns_steps: int = 5,
        nesterov: bool = True,
        rms_rate: float | None = 0.2,
        **policies: Unpack[StepPolicies],
    ) -> None:
        super().__init__(learning_rate, weight_decay, **policies)
        self.adam_beta_1 = number("Muon.adam_beta_1", adam_beta_1, "[0, 1)")
        self.adam_beta_2 = number("Muon.adam_beta_2", adam_beta_2, "[0, 1)")
        decay = adam_weight_decay
        self.adam_weight_decay = None if decay is None else number("Muon.adam_weight_decay", decay, "[0, inf)")
        self.epsilon = number("Muon.epsilon", epsilon, "[0, inf)")
        self.exclude_layers = None if exclude_layers is None else list(exclude_layers)
        for pattern in self.exclude_layers or ():
            try:
                re.compile(pattern)
            except (re.error, TypeError) as error:
                raise ConfigError(
                    f"{pattern!r} is no regular expression ({error})", at="Muon.exclude_layers"
                ) from error
        self.exclude_embeddings = exclude_embeddings
        self.muon_a, self.muon_b, self.muon_c = muon_a, muon_b, muon_c
        self.adam_lr_ratio = number("Muon.adam_lr_ratio", adam_lr_ratio, "[0, inf)")
        self.momentum = number("Muon.momentum", momentum, "[0, 1)")
        self.ns_steps = whole("Muon.ns_steps", ns_steps, 1)
        self.nesterov = nesterov
        self.rms_rate = None if rms_rate is None else number("Muon.rms_rate", rms_rate, "(0, inf)")

    def make(self, parameters: Named, learning_rate: float, fused: bool) -> torch.optim.Optimizer:
        adam = _AdamRule(self.adam_beta_1, self.adam_beta_2, self.epsilon, self.adam_lr_ratio, self.adam_weight_decay)
        shares = (([each for each in parameters if self._takes(*each) is takes], rule) for takes, rule in
                  ((True, self), (False, adam)))  # fmt: skip
        made = RuleStep([{"params": named, "rule": rule} for named, rule in shares if named], learning_rate, self)

        def shrink(optimizer: torch.optim.Optimizer, *_: object) -> None:
            for group in optimizer.param_groups:
                weights = [each for each in group["params"] if each.grad is not None]
                with torch.no_grad():
                    torch._foreach_mul_(weights, 1 - group["lr"] * (group["rule"].weight_decay or 0.0))

        made.register_step_pre_hook(shrink)
        return made

    def _takes(self, name: str, weight: Tensor) -> bool:
        embedding = self.exclude_embeddings and "embedding" in name.lower()
        return (
            weight.ndim == 2 and not embedding and not any(re.search(each, name) for each in self.exclude_layers or ())
        )

    def start(self, weight: Tensor) -> dict[str, Tensor]:
        return {"momentum": zeros(weight)}

    def update(self, rate: float, step: int, weights: list[Tensor], gradients: list[Tensor], kept: Slots) -> None:
        torch._foreach_mul_(kept["momentum"], self.momentum)
        torch._foreach_add_(kept["momentum"], gradients)
        for weight, gradient, moment in zip(weights, gradients, kept["momentum"], strict=True):
            move = self._orthogonal(gradient + self.momentum * moment if self.nesterov else moment)
            scale = 1.0 if self.rms_rate is None else self.rms_rate * max(weight.shape) ** 0.5
            weight.sub_(move, alpha=rate * scale)

    def _orthogonal(self, matrix: Tensor) -> Tensor:
        """Near the orthogonal matrix nearest to this one: singular values between about 0.7 and 1.2."""
        tall = matrix.shape[0] > matrix.shape[1]
        x: Tensor = matrix.T if tall else matrix
        x = x / (torch.linalg.matrix_norm(x) + 1e-7)
        for _ in range(self.ns_steps):
            gram = x @ x.T
            x = self.muon_a * x + (self.muon_b * gram + self.muon_c * gram @ gram) @ x
        return x.T if tall else x


class _AdamRule(RuleOptimizer):
    """What Muon does with weights that are no matrices: Keras' Adam, epsilon beside the uncorrected root."""

    def __init__(self, beta_1: float, beta_2: float, epsilon: float, ratio: float, weight_decay: float | None) -> None:
        super().__init__(0.0, weight_decay)
        self.beta_1, self.beta_2, self.epsilon, self.ratio = beta_1, beta_2, epsilon, ratio

    def start(self, weight: Tensor) -> dict[str, Tensor]:
        return {"momentum": zeros(weight), "velocity": zeros(weight)}

    def update(self, rate: float, step: int, weights: list[Tensor], gradients: list[Tensor], kept: Slots) -> None:
        epsilon = self.epsilon / (1 - self.beta_2**step) ** 0.5
        moves = adam_moves(kept, gradients, step, self.beta_1, self.beta_2, epsilon)
        torch._foreach_add_(weights, moves, alpha=-rate * self.ratio)


class ScheduleFreeAdamW(RuleOptimizer):
    """AdamW whose weights are pulled to the mean of all its steps, in place of a rate that falls.

    Beside the weights y the state keeps z, which takes Adam's steps without momentum: `x = (y - (1 - beta_1) z) /
    beta_1`, `z -= r g / (sqrt(v / (1 - beta_2^t)) + epsilon)`, `x += (z - x) / t`, `y = (1 - beta_1) z + beta_1 x`.
    The rate climbs over `warmup_steps`. The model holds y while it trains and afterwards, as in Keras; the paper
    measures x.

    Source: Defazio et al. 2024, https://arxiv.org/abs/2405.15682.
    """

    def __init__(
        self,
        learning_rate: Rate = 0.0025,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        warmup_steps: int = 0,
        weight_decay: float | None = None,
        **policies: Unpack[StepPolicies],
    ) -> None:
        super().__init__(learning_rate, weight_decay, **policies)
        self.beta_1 = number("ScheduleFreeAdamW.beta_1", beta_1, "(0, 1]")
        self.beta_2 = number("ScheduleFreeAdamW.beta_2", beta_2, "[0, 1)")
        self.epsilon = number("ScheduleFreeAdamW.epsilon", epsilon, "[0, inf)")
        self.warmup_steps = whole("ScheduleFreeAdamW.warmup_steps", warmup_steps, 0)

    def start(self, weight: Tensor) -> dict[str, Tensor]:
        return {"momentum": zeros(weight).copy_(weight), "velocity": zeros(weight)}

    def update(self, rate: float, step: int, weights: list[Tensor], gradients: list[Tensor], kept: Slots) -> None:
        rate *= min(step / self.warmup_steps, 1.0) if self.warmup_steps else 1.0
        ahead, squares = kept["momentum"], kept["velocity"]
        # y becomes x, and at the end y again
        torch._foreach_add_(weights, ahead, alpha=self.beta_1 - 1)
        torch._foreach_div_(weights, self.beta_1)
        torch._foreach_mul_(squares, self.beta_2)
        torch._foreach_addcmul_(squares, gradients, gradients, value=1 - self.beta_2)
        roots = torch._foreach_div(squares, 1 - self.beta_2**step)
        torch._foreach_sqrt_(roots)
        torch._foreach_add_(roots, self.epsilon)
        torch._foreach_addcdiv_(ahead, gradients, roots, value=-rate)
        torch._foreach_lerp_(weights, ahead, 1 / step)
        torch._foreach_lerp_(weights, ahead, 1 - self.beta_1)
