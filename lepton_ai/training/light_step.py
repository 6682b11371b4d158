"""Torch optimisers without torch's compiler, which those of torch itself import at their first step."""

import operator
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.optim import optimizer as torchs

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

    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One update of every parameter that has a gradient; the hooks of torch's optimisers are called."""
        if not torch.autograd._profiler_enabled():  # type: ignore[attr-defined]
            return self._update(closure)
        with torch.profiler.record_function(f"Optimizer.step#{type(self).__name__}.step"):
            return self._update(closure)

    # Torch would wrap it for the hooks, and announce each call to a profiler that seldom runs: 70 microseconds.
    step.hooked = True  # type: ignore[attr-defined]

    @torch.no_grad()
    def _update(self, closure: Callable[[], float] | None) -> float | None:
        for before in chain(torchs._global_optimizer_pre_hooks.values(), self._optimizer_step_pre_hooks.values()):
            before(self, (), {})
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            self.step_group(group)
        for after in chain(self._optimizer_step_post_hooks.values(), torchs._global_optimizer_post_hooks.values()):
            after(self, (), {})
        return loss

    def step_group(self, group: dict[str, Any]) -> None:
        """One update of the parameters of a group that have a gradient."""
        raise NotImplementedError


class _Alike(NamedTuple):
    """Weights of one device and dtype, and their state, in the lists that the kernel takes."""

    weights: list[Tensor]
    means: list[Tensor]
    squares: list[Tensor]
    highest: list[Tensor]
    steps: list[Tensor]


class _Held(NamedTuple):
    """What is known of a group between two steps: those that train, and their counts of steps, each once."""

    trained: list[Tensor]
    kinds: list[_Alike]
    counts: list[Tensor]


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
        self._held: dict[int, _Held] = {}
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "amsgrad": amsgrad}
        super().__init__(params, defaults)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over the state of another, as `load_state_dict` does."""
        super().__setstate__(state)
        self._held = {}

    def step_group(self, group: dict[str, Any]) -> None:
        trained = [weight for weight in group["params"] if weight.grad is not None]
        held = self._held.get(id(group))
        if held is None or len(held.trained) != len(trained) or any(map(operator.is_not, held.trained, trained)):
            held = self._held[id(group)] = self._hold(trained, group["amsgrad"])
        for count in held.counts:
            count.add_(1)
        for weights, means, squares, highest, steps in held.kinds:
            torch._fused_adamw_(
                weights,
                _gradients(weights),
                means,
                squares,
                highest,
                steps,
                lr=group["lr"],
                beta1=group["betas"][0],
                beta2=group["betas"][1],
                weight_decay=group["weight_decay"],
                eps=group["eps"],
                amsgrad=group["amsgrad"],
                maximize=False,
            )

    def _hold(self, trained: list[Tensor], amsgrad: bool) -> _Held:
        kinds: list[_Alike] = []
        counts: list[Tensor] = []
        for weights in _alike(trained):
            states = [self._ready(weight, amsgrad) for weight in weights]
            # Weights that made the same number of steps share their count, which is one addition for all.
            shared: dict[float, Tensor] = {}
            for state in states:
                state["step"] = shared.setdefault(float(state["step"]), state["step"].clone())
            means, squares, highest, steps = (
                [state[name] for state in states if name in state]
                for name in ("exp_avg", "exp_avg_sq", "max_exp_avg_sq", "step")
            )
            kinds.append(_Alike(weights, means, squares, highest, steps))
            counts += shared.values()
        return _Held(trained, kinds, counts)

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
