"""The learning-rate range test: rates from tiny to far too large, one step each, and the loss of each."""

import math
from typing import Any, Protocol

import msgspec
from torch import Tensor

from lepton_ai.core import DivergedError
from lepton_ai.training.callbacks import Callback, Logs
from lepton_ai.training.component import number, whole
from lepton_ai.training.history import History
from lepton_ai.training.optimizer import Optimizer
from lepton_ai.training.schedules import ExponentialDecay

_SMOOTHING, _TOO_MUCH = 0.9, 4.0


class Fits(Protocol):
    """A compiled model."""

    optimizer: Optimizer | None
    history: History | None

    @property
    def fit(self) -> Any:
        """Train."""


class RateFinding(msgspec.Struct, frozen=True, kw_only=True):
    """`losses[i]`, a running mean, belongs to `rates[i]`; `suggestion` is a tenth of the rate of the lowest."""

    rates: list[float]
    losses: list[float]
    suggestion: float


def find_learning_rate(
    model: Fits,
    x: Any,
    y: Any = None,
    *,
    batch_size: int | None = None,
    lowest: float = 1e-6,
    highest: float = 10.0,
    steps: int = 100,
) -> RateFinding:
    """Train a compiled model for `steps` steps, at rates that grow from `lowest` to `highest`, and give its weights
    back as they were. It ends early where the loss is four times the best.

    Source: Smith 2017, https://arxiv.org/abs/1506.01186, section 3.3.

    Raises: ConfigError for bounds that cannot be; DivergedError if even the first step gives no finite loss.

    Example:
        >>> from lepton_ai.layers import Dense
        >>> from lepton_ai.models import Sequential
        >>> import numpy as np
        >>> x = np.random.default_rng(0).normal(size=(256, 4)).astype("float32")
        >>> model = Sequential([Dense(1, input_shape=(4,))])
        >>> model.compile("sgd", "mse")
        >>> found = find_learning_rate(model, x, x.sum(1))
        >>> 0.001 < found.suggestion < 1
        True
    """
    lowest = number("find_learning_rate(lowest=...)", lowest, "(0, inf)")
    highest = number("find_learning_rate(highest=...)", highest, f"({lowest}, inf)")
    steps = whole("find_learning_rate(steps=...)", steps, 2)
    watch, before = _Watch(lowest, highest, steps), model.history
    accumulated = (model.optimizer.gradient_accumulation_steps if model.optimizer else None) or 1
    try:
        model.fit(x, y, batch_size=batch_size, steps_per_epoch=steps * accumulated, verbose=0, callbacks=[watch])
    except DivergedError:
        if not watch.losses:
            raise
    finally:
        model.history = before
    best = min(range(len(watch.losses)), key=watch.losses.__getitem__)
    return RateFinding(rates=watch.rates, losses=watch.losses, suggestion=watch.rates[best] / 10)


class _Watch(Callback):
    """Sets the rates, notes the losses, and gives the weights back."""

    def __init__(self, lowest: float, highest: float, steps: int) -> None:
        self.schedule = ExponentialDecay(lowest, steps - 1, highest / lowest)
        self.rates: list[float] = []
        self.losses: list[float] = []
        self._mean = 0.0
        self._weights: dict[str, Tensor] = {}

    def on_train_begin(self) -> None:
        self._weights = {name: value.clone() for name, value in self.model.state_dict().items()}
        self.run.schedule = self.schedule

    def on_train_batch_end(self, batch: int, logs: Logs) -> None:
        self._mean = _SMOOTHING * self._mean + (1 - _SMOOTHING) * logs["loss"]
        loss = self._mean / (1 - _SMOOTHING ** (batch + 1))
        if not math.isfinite(loss) or loss > _TOO_MUCH * min(self.losses, default=loss):
            self.run.stop(now=True)
            return
        self.rates.append(self.schedule(batch))
        self.losses.append(loss)

    def on_train_end(self) -> None:
        self.model.load_state_dict(self._weights)
