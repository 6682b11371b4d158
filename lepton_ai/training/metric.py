"""The base of the streaming metrics, and the two shapes most of them have: a mean, and a count of outcomes."""

from abc import abstractmethod
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from lepton_ai.core import UsageError
from lepton_ai.training.component import Component
from lepton_ai.training.loss import Loss, Shape
from lepton_ai.training.losses import get_loss


class Metric(Component):
    """A measure gathered batch by batch, with no synchronisation until `result()`.

    `state` is a float64 tensor on the outputs' device that only ever gets added to. So the sum of two workers'
    states is the state of their joint data, and `values(state)` depends on nothing else.

    A child gives `state_shape` and `add_batch`, and turns a state into `values`.

    Example:
        >>> from lepton_ai.training.metrics import BinaryAccuracy
        >>> metric = BinaryAccuracy()
        >>> metric.update(torch.tensor([1.0, 0.0]), torch.tensor([[0.9], [0.8]]))
        >>> metric.update(torch.tensor([1.0, 1.0]), torch.tensor([[0.7], [0.6]]))
        >>> metric.result()
        0.75
    """

    def __init__(self, *, name: str | None = None) -> None:
        self._name = name

    _state: Tensor | None = None

    @property
    def state(self) -> Tensor:
        """What was gathered. Reduce it in place (`all_reduce(metric.state)`) to join workers.

        Raises: UsageError before the first `update` or `prepare`.
        """
        if self._state is None:
            raise UsageError(
                "the metric has no state yet", at=self.name, fix="Call update(target, output) or prepare(...) first."
            )
        return self._state

    def prepare(self, output_shape: tuple[int | None, ...], device: torch.device | str = "cpu") -> None:
        """Make an empty state if there is none, as for a worker whose shard may be empty."""
        if self._state is None:
            device = torch.device(device)
            precision = torch.float32 if device.type == "mps" else torch.float64  # Apple's has no float64
            self._state = torch.zeros(self.state_shape(output_shape), dtype=precision, device=device)

    def update(self, target: Tensor, output: Tensor, weight: Tensor | None = None) -> None:
        """Add a batch. `weight`: `(B,)`, or None for ones."""
        output = output.detach()
        if self._state is None:
            self.prepare(tuple(output.shape), output.device)
        self.add_batch(target, output, weight)

    def check(self, target: Tensor, output_shape: Shape) -> None:
        """Refuse targets that this metric cannot mean; called when the loss's targets are, before it sees a batch.

        Raises: ShapeError, DataError, ConfigError, with what to write instead.
        """
        return

    def check_outputs(self, output: Tensor) -> None:
        """Refuse outputs of the model that this metric cannot mean; called with its first ones.

        Raises: ConfigError, with what to write instead.
        """
        return

    def result(self) -> float:
        """The measure over all that was added: the mean of `values`, 0.0 where nothing was."""
        if self._state is None:
            return 0.0
        return float(self.values(self._state.cpu()).mean())

    def each(self) -> tuple[float, ...]:
        """The single values of a metric that has several (classes, thresholds, outputs); one of the others."""
        return tuple(self.values(self.state.cpu()).flatten().tolist())

    def reset(self) -> None:
        """Forget all that was added."""
        if self._state is not None:
            self._state.zero_()

    @abstractmethod
    def state_shape(self, output_shape: tuple[int | None, ...]) -> tuple[int, ...]:
        """The shape of the state for outputs of a shape."""

    @abstractmethod
    def add_batch(self, target: Tensor, output: Tensor, weight: Tensor | None) -> None:
        """Add a batch to `state`; the output is detached."""

    @abstractmethod
    def values(self, state: Tensor) -> Tensor:
        """The measure as a pure function of a state on the CPU; 0 or more axes."""


class MeanMetric(Metric):
    """A weighted mean over samples of a value per sample: the state is (sum, weight)."""

    def state_shape(self, output_shape: tuple[int | None, ...]) -> tuple[int, ...]:
        return (2,)

    def add_batch(self, target: Tensor, output: Tensor, weight: Tensor | None) -> None:
        self.add(self.measure(target, output), weight)

    def add(self, values: Tensor, weight: Tensor | None = None) -> None:
        """Add values `(B,)` or `(B, ...)`, whose axes behind the first are averaged."""
        values = values.detach()
        if self._state is None:
            self.prepare(tuple(values.shape), values.device)
        state, samples = self.state, values.shape[0]
        if weight is None:
            # one alpha instead of one more kernel for the mean over the trailing axes
            share = samples / values.numel() if values.numel() else 0.0
            state[0].add_(values.sum(dtype=None if values.dtype == torch.bool else state.dtype), alpha=share)
            state[1].add_(samples)
        else:
            weight = weight.to(state.dtype)
            each = values.to(state.dtype)
            state[0].add_(torch.dot(each.flatten(1).mean(1) if each.ndim > 1 else each, weight))
            state[1].add_(weight.sum())

    @abstractmethod
    def measure(self, target: Tensor, output: Tensor) -> Tensor:
        """The values of a batch, `(B,)` or `(B, ...)`, numbers or truths."""

    def values(self, state: Tensor) -> Tensor:
        return quotient(state[0], state[1])


class Mean(MeanMetric):
    """The mean of the outputs, whatever the targets; `add(values, weight)` gathers values directly.

    Example:
        >>> loss = Mean(name="loss")
        >>> loss.add(torch.tensor([1.0, 3.0]))
        >>> loss.result()
        2.0
    """

    def measure(self, target: Tensor, output: Tensor) -> Tensor:
        return output


class Sum(Metric):
    """The sum of the outputs, whatever the targets; weighted, and summed over all axes.

    Example:
        >>> total = Sum()
        >>> total.update(torch.zeros(2), torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
        >>> total.result()
        10.0
    """

    def state_shape(self, output_shape: tuple[int | None, ...]) -> tuple[int, ...]:
        return (1,)

    def add_batch(self, target: Tensor, output: Tensor, weight: Tensor | None) -> None:
        each = output.to(self.state.dtype)
        if weight is not None:
            each = each.flatten(1).sum(1) * weight.to(each.dtype) if each.ndim > 1 else each * weight.to(each.dtype)
        self.state.add_(each.sum())

    def values(self, state: Tensor) -> Tensor:
        return state


class MeanLoss(MeanMetric):
    """The mean over samples of `loss`, which a child makes; elements that it ignores do not count."""

    loss: Loss

    def add_batch(self, target: Tensor, output: Tensor, weight: Tensor | None) -> None:
        counts = self.loss.weight(target)
        if counts is not None:
            weight = counts if weight is None else weight * counts
        super().add_batch(target, output, weight)

    def measure(self, target: Tensor, output: Tensor) -> Tensor:
        return self.loss(target, output)

    def check(self, target: Tensor, output_shape: Shape) -> None:
        self.loss.check(target, output_shape)

    def check_outputs(self, output: Tensor) -> None:
        self.loss.check_outputs(output)


class LossMetric(MeanLoss):
    """The mean over samples of a loss, given as `get_loss` takes it."""

    def __init__(self, loss: str | Loss | Mapping[str, object], *, name: str | None = None) -> None:
        self.loss = get_loss(loss)
        super().__init__(name=name or self.loss.name)


class FunctionMetric(MeanMetric):
    """The mean over samples of a function `(target, output) -> values`, one or one per sample. It cannot be stored."""

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor], *, name: str | None = None) -> None:
        super().__init__(name=name or getattr(function, "__name__", None))
        self.function = function

    def measure(self, target: Tensor, output: Tensor) -> Tensor:
        values = self.function(target, output)
        return values.expand(output.shape[0]) if values.ndim == 0 else values


def quotient(above: Tensor, below: Tensor) -> Tensor:
    """`above / below`, and 0 where `below` is 0, as Keras has it."""
    return torch.where(below == 0, 0.0, above / torch.where(below == 0, 1.0, below))
