"""What may go with any optimiser: gradients clipped or accumulated, weights averaged. Under Keras' names."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypedDict

import torch
from torch import Tensor, nn

from lepton_ai.core import ConfigError, unknown_name
from lepton_ai.training.component import number, whole
from lepton_ai.training.rates import checked_rates


class StepPolicies(TypedDict, total=False):
    """Arguments of every optimiser beside its own.

    Of the first three only one can be given. `clipnorm` shortens the gradient of each weight to that length,
    `clipvalue` cuts each of its elements to plus and minus that value, `global_clipnorm` shortens all gradients
    together: over all micro-batches and workers.

    `use_ema` keeps a running mean of the weights, `mean = ema_momentum * mean + (1 - ema_momentum) * weight` after
    each step: it is what is validated, and what the model holds after training. With `ema_overwrite_frequency` the
    weights take its values every so many steps.

    `gradient_accumulation_steps` batches make one step: as if they were one batch, however uneven they are.

    `rates` multiply the learning rate of the layers that they name by path, `{"backbone": 0.1, "backbone.stem": 0.0}`:
    whatever schedule or callback sets the rate. Of several names that hold a weight, the longest counts.
    """

    clipnorm: float | None
    clipvalue: float | None
    global_clipnorm: float | None
    use_ema: bool
    ema_momentum: float
    ema_overwrite_frequency: int | None
    gradient_accumulation_steps: int | None
    rates: Mapping[str, float] | None


DEFAULTS: Mapping[str, Any] = {
    "clipnorm": None,
    "clipvalue": None,
    "global_clipnorm": None,
    "use_ema": False,
    "ema_momentum": 0.99,
    "ema_overwrite_frequency": None,
    "gradient_accumulation_steps": None,
    "rates": None,
}
_CLIPS = ("clipnorm", "clipvalue", "global_clipnorm")


def checked_policies(given: Mapping[str, Any], owner: str) -> dict[str, Any]:
    """All policies of an optimiser, with the defaults of those that are not given.

    Raises: UnknownNameError, ConfigError naming the argument.
    """
    for name in given:
        if name not in DEFAULTS:
            raise unknown_name(f"argument {owner}", name, list(DEFAULTS), at=owner)
    policies = {**DEFAULTS, **given}
    for name in _CLIPS:
        if policies[name] is not None:
            policies[name] = number(f"{owner}.{name}", policies[name], "(0, inf)")
    clips = [name for name in _CLIPS if policies[name] is not None]
    if len(clips) > 1:
        raise ConfigError(f"{' and '.join(clips)} do not go together", at=owner, fix=f"Keep {clips[0]} alone.")
    if not isinstance(policies["use_ema"], bool):
        raise ConfigError(at=f"{owner}.use_ema", got=policies["use_ema"], expected="True or False")
    policies["ema_momentum"] = number(f"{owner}.ema_momentum", policies["ema_momentum"], "[0, 1]")
    for name in ("ema_overwrite_frequency", "gradient_accumulation_steps"):
        if policies[name] is not None:
            policies[name] = whole(f"{owner}.{name}", policies[name], 1)
    policies["rates"] = checked_rates(policies["rates"], f"{owner}.rates")
    return policies


def clipper(
    clipnorm: float | None, clipvalue: float | None, global_clipnorm: float | None
) -> Callable[[list[Tensor]], None] | None:
    """What changes gradients in place, or None if nothing is to be done.

    Example:
        >>> clip = clipper(clipnorm=1.0, clipvalue=None, global_clipnorm=None)
        >>> gradient = torch.tensor([3.0, 4.0])
        >>> clip([gradient])
        >>> gradient
        tensor([0.6000, 0.8000])
    """
    if clipvalue is not None:
        return lambda gradients: _clip_values(gradients, clipvalue)
    if clipnorm is not None:
        return lambda gradients: _shorten(gradients, torch._foreach_norm(gradients), clipnorm)
    if global_clipnorm is not None:
        return lambda gradients: _shorten(gradients, [_length(gradients)] * len(gradients), global_clipnorm)
    return None


def _clip_values(gradients: list[Tensor], most: float) -> None:
    torch._foreach_clamp_max_(gradients, most)
    torch._foreach_clamp_min_(gradients, -most)


def _length(gradients: list[Tensor]) -> Tensor:
    """Of all gradients together."""
    lengths = torch._foreach_norm(gradients)
    length: Tensor = torch.linalg.vector_norm(torch.stack([each.to(lengths[0].dtype) for each in lengths]))
    return length


def _shorten(gradients: list[Tensor], lengths: Any, most: float) -> None:
    for gradient, length in zip(gradients, lengths, strict=True):
        gradient.mul_(most / length.clamp(min=most))


class Average:
    """A running mean of weights; from the first step on, when it is the weights themselves.

    Statistics that a layer keeps, as of normalisation, are means already and stay the layer's own.
    """

    def __init__(self, parameters: list[nn.Parameter], momentum: float, overwrite: int | None) -> None:
        self.parameters, self.momentum, self.overwrite = parameters, momentum, overwrite
        self.means: list[Tensor] = []

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after `step` steps."""
        if not self.means:
            self.means = [each.detach().clone() for each in self.parameters]
        else:
            torch._foreach_lerp_(self.means, list[Tensor](self.parameters), 1 - self.momentum)
        if self.overwrite is not None and step % self.overwrite == 0:
            self.take_over()

    @torch.no_grad()
    def take_over(self) -> None:
        """Let the weights be the mean."""
        for parameter, mean in zip(self.parameters, self.means, strict=False):
            parameter.copy_(mean)

    @contextlib.contextmanager
    def shown(self) -> Iterator[None]:
        """Inside, the weights are the mean; afterwards they are again what they were."""
        held = [each.detach().clone() for each in self.parameters]
        self.take_over()
        try:
            yield
        finally:
            with torch.no_grad():
                for parameter, value in zip(self.parameters, held, strict=True):
                    parameter.copy_(value)

    def restore(self, means: list[Tensor]) -> None:
        """Go on from these."""
        self.means = [
            torch.empty_like(parameter, requires_grad=False).copy_(mean)
            for parameter, mean in zip(self.parameters, means, strict=True)
        ]
