"""Torch optimisers without torch's compiler, which those of torch itself import at their first step."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

Kind = tuple[torch.device, torch.dtype]


def _without_compiler(method: Callable[..., Any]) -> Any:
    # torch decorates these to be skipped by its compiler, and imports all of it to that end: for over a second, when
    # a small model is trained by then. `fit` compiles the module alone, never an optimiser.
    return getattr(method, "__wrapped__", method)


class LightStep(torch.optim.Optimizer):
    """The base of all that `Optimizer.make` gives: a torch optimiser in every respect, that is quick to begin."""

    add_param_group = _without_compiler(torch.optim.Optimizer.add_param_group)
    state_dict = _without_compiler(torch.optim.Optimizer.state_dict)
    load_state_dict = _without_compiler(torch.optim.Optimizer.load_state_dict)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients."""
        for group in self.param_groups:
            for weight in group["params"]:
                if set_to_none:
                    weight.grad = None
                elif weight.grad is not None:
                    weight.grad.zero_()

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One update of every parameter that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            self.step_group(group)
        return loss

    def step_group(self, group: dict[str, Any]) -> None:
        """One update of the parameters of a group that have a gradient."""
        raise NotImplementedError


class FusedAdamW(LightStep):
    """`torch.optim.AdamW` in its fused form: the same kernel and state, and the same bits."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        betas: tuple[float, float],
        eps: float,
        weight_decay: float,
        amsgrad: bool,
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "amsgrad": amsgrad}
        super().__init__(params, defaults)

    def step_group(self, group: dict[str, Any]) -> None:
        for weights in _alike(group["params"]):
            states = [self._ready(weight, group["amsgrad"]) for weight in weights]
            steps = [state["step"] for state in states]
            torch._foreach_add_(steps, 1)
            torch._fused_adamw_(
                weights,
                _gradients(weights),
                [state["exp_avg"] for state in states],
                [state["exp_avg_sq"] for state in states],
                [state["max_exp_avg_sq"] for state in states] if group["amsgrad"] else [],
                steps,
                lr=group["lr"],
                beta1=group["betas"][0],
                beta2=group["betas"][1],
                weight_decay=group["weight_decay"],
                eps=group["eps"],
                amsgrad=group["amsgrad"],
                maximize=False,
            )

    def _ready(self, weight: Tensor, amsgrad: bool) -> dict[str, Any]:
        state: dict[str, Any] = self.state[weight]
        if not state:
            state["step"] = torch.zeros((), device=weight.device)
            for name in ("exp_avg", "exp_avg_sq", *(("max_exp_avg_sq",) if amsgrad else ())):
                state[name] = torch.zeros_like(weight, memory_format=torch.preserve_format)
        return state


class FusedSGD(LightStep):
    """`torch.optim.SGD` in its fused form, without decay: the same kernel and state, and the same bits."""

    def __init__(self, params: Iterable[Any], lr: float, momentum: float, nesterov: bool) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "nesterov": nesterov})

    def step_group(self, group: dict[str, Any]) -> None:
        momentum = group["momentum"]
        for weights in _alike(group["params"]):
            # The kernel starts momenta from the gradients, for all weights at once.
            begun = [weight for weight in weights if "momentum_buffer" in self.state[weight]]
            fresh = [weight for weight in weights if "momentum_buffer" not in self.state[weight]]
            for each in (begun, fresh):
                if not each:
                    continue
                if momentum and each is fresh:
                    for weight in fresh:
                        self.state[weight]["momentum_buffer"] = torch.empty_like(weight)
                torch._fused_sgd_(
                    each,
                    _gradients(each),
                    [self.state[weight]["momentum_buffer"] for weight in each] if momentum else [],
                    weight_decay=0.0,
                    momentum=momentum,
                    lr=group["lr"],
                    dampening=0.0,
                    nesterov=group["nesterov"],
                    maximize=False,
                    is_first_step=bool(momentum) and each is fresh,
                )


def _alike(weights: list[Tensor]) -> Iterator[list[Tensor]]:
    """Those that have a gradient, by device and type, as the fused kernels take them."""
    kinds: dict[Kind, list[Tensor]] = {}
    for weight in weights:
        if weight.grad is not None:
            kinds.setdefault((weight.device, weight.dtype), []).append(weight)
    yield from kinds.values()


def _gradients(weights: list[Tensor]) -> list[Tensor]:
    return [weight.grad for weight in weights if weight.grad is not None]
