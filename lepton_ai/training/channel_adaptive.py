"""Lepton's own optimiser: one step size per output channel, momentum, and a rate that decays at the end."""

from collections.abc import Iterable
from typing import Any, Unpack

import torch
from torch import Tensor, nn

from lepton_ai.training.component import number
from lepton_ai.training.light_step import LightStep
from lepton_ai.training.optimizer import Named, Optimizer, Rate
from lepton_ai.training.policies import StepPolicies
from lepton_ai.training.schedules import LateDecay, Schedule, get_schedule


def channel_axis(parameter: nn.Parameter) -> int:
    """The axis of a weight that counts output channels.

    It is 0 in Dense, Conv and recurrent weights, `(out, in, ...)`. A layer that orders them otherwise says so in an
    attribute, as for a transposed convolution: `self.weight.channel_axis = 1`.
    """
    axis = getattr(parameter, "channel_axis", 0)
    return int(axis) if parameter.ndim else 0


class ChannelAdaptive(Optimizer):
    """Gradients scaled per output channel, momentum on the scaled gradient, a rate that falls at the end of the run.

    For a weight W whose axis of output channels has entries k, with gradient G and step t = 1, 2, ...:

        s_k  = mean of G² over channel k                    (all axes but the channels')
        v_k  = rho v_k + (1 - rho) s_k                      (v = 0 at the start)
        U_k  = G_k / (sqrt(v_k / (1 - rho^t)) + epsilon)    (one divisor for the whole channel)
        M    = momentum M + (1 - momentum) U                (M = 0 at the start: a warm-up of some ten steps)
        W    = (1 - rate weight_decay) W - rate M

    A bias or a normalisation's scale `(C,)` has one entry per channel, so the same formula scales each of its
    elements on its own. The rate is `learning_rate` until the last `decay_fraction` of the run, where it falls along
    half a cosine to `final_fraction` of it; where the length of the run is not known, it does not fall.

    Within a channel the gradient keeps its direction, which scaling each weight on its own (Adam) does not; between
    channels and layers, sizes are evened out, which plain descent does not do. It keeps one array of the size of the
    weights, Adam two.

    Example:
        >>> weight = nn.Parameter(torch.zeros(2, 2))
        >>> optimizer = ChannelAdaptive(0.1, momentum=0.0).build([("weight", weight)])
        >>> weight.grad = torch.tensor([[3.0, 4.0], [300.0, 400.0]])
        >>> _ = optimizer.step()
        >>> weight.data
        tensor([[-0.0849, -0.1131],
                [-0.0849, -0.1131]])
    """

    def __init__(
        self,
        learning_rate: Rate = 0.001,
        momentum: float = 0.9,
        rho: float = 0.99,
        epsilon: float = 1e-7,
        weight_decay: float | None = None,
        decay_fraction: float = 0.3,
        final_fraction: float = 0.01,
        **policies: Unpack[StepPolicies],
    ) -> None:
        super().__init__(learning_rate, weight_decay, **policies)
        self.momentum = number("ChannelAdaptive.momentum", momentum, "[0, 1)")
        self.rho = number("ChannelAdaptive.rho", rho, "[0, 1)")
        self.epsilon = number("ChannelAdaptive.epsilon", epsilon, "(0, inf)")
        self.decay_fraction = number("ChannelAdaptive.decay_fraction", decay_fraction, "[0, 1]")
        self.final_fraction = number("ChannelAdaptive.final_fraction", final_fraction, "[0, 1]")

    def schedule(self, total_steps: int | None) -> Schedule:
        """The rate of each step, with the decay at the end of a run of `total_steps`."""
        if total_steps is None or self.decay_fraction == 0:
            return super().schedule(total_steps)
        return LateDecay(get_schedule(self.learning_rate), self.decay_fraction, self.final_fraction).bind(total_steps)

    def make(self, parameters: Named, learning_rate: float, fused: bool) -> torch.optim.Optimizer:
        return ChannelAdaptiveStep(
            parameters, learning_rate, self.momentum, self.rho, self.epsilon, self.weight_decay or 0.0
        )


class ChannelAdaptiveStep(LightStep):
    """The torch optimiser of `ChannelAdaptive`; its rate is the group's "lr".

    State of a parameter: "step"; "momentum", shaped as the parameter; "mean_square", the bias-corrected running mean
    square of each channel, with axes of size one for the others.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 0.001,
        momentum: float = 0.9,
        rho: float = 0.99,
        eps: float = 1e-7,
        weight_decay: float = 0.0,
    ) -> None:
        defaults = {"lr": lr, "momentum": momentum, "rho": rho, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, defaults)

    def step_group(self, group: dict[str, Any]) -> None:
        weights = [each for each in group["params"] if each.grad is not None]
        if not weights:
            return
        momenta: list[Tensor] = []
        squares: list[Tensor] = []
        for weight in weights:
            state = self._ready(weight)
            state["step"] += 1
            momenta.append(state["momentum"])
            squares.append(state["mean_square"])
            # Lerp by (1 - rho) / (1 - rho^t) keeps the mean corrected for its start at zero all along.
            share = (1 - group["rho"]) / (1 - group["rho"] ** float(state["step"]))
            state["mean_square"].lerp_(_mean_square(weight.grad, channel_axis(weight)), share)
        scales = torch._foreach_sqrt(squares)
        torch._foreach_add_(scales, group["eps"])
        torch._foreach_reciprocal_(scales)
        torch._foreach_mul_(momenta, group["momentum"])
        for weight, moment, scale in zip(weights, momenta, scales, strict=True):
            moment.addcmul_(weight.grad, scale, value=1 - group["momentum"])
        if group["weight_decay"]:
            torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
        torch._foreach_add_(weights, momenta, alpha=-group["lr"])

    def _ready(self, weight: nn.Parameter) -> dict[str, Any]:
        state: dict[str, Any] = self.state[weight]
        if not state:
            shape = [1] * weight.ndim
            if weight.ndim:
                shape[channel_axis(weight)] = weight.shape[channel_axis(weight)]
            state["step"] = torch.zeros(())  # on the CPU, so that reading it never waits for a device
            state["momentum"] = torch.zeros_like(weight, memory_format=torch.preserve_format)
            state["mean_square"] = weight.new_zeros(shape)
        return state


def _mean_square(gradient: Tensor, axis: int) -> Tensor:
    """The mean of the squares over each channel; the other axes stay, with size one."""
    if gradient.ndim < 2:
        return gradient.square()
    rest = [each for each in range(gradient.ndim) if each != axis % gradient.ndim]
    norm: Tensor = torch.linalg.vector_norm(gradient, dim=rest, keepdim=True)  # one pass, no array of squares
    return norm.square_().mul_(gradient.shape[axis] / gradient.numel())
