"""Precision, recall, F-scores and plain counts: metrics made of right and wrong positives at a threshold.

Targets are yes/no answers in the shape of the outputs, `(B,)` beside `(B, 1)`, or one-hot rows. Class labels beside
`(B, ..., C)` outputs are read as one-hot rows.
"""

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from lepton_ai.core import ShapeError, unknown_name
from lepton_ai.training.component import number, whole
from lepton_ai.training.loss import aligned
from lepton_ai.training.metric import Metric, quotient


def truths(target: Tensor, output: Tensor) -> Tensor:
    """The targets as truths in the shape of the outputs, `(B,)` as `(B, 1)`."""
    if target.ndim == output.ndim - 1 and output.shape[-1] > 1:
        classes = torch.arange(output.shape[-1], device=target.device)
        return aligned(torch.eq(target.unsqueeze(-1), classes), output).bool()
    return aligned(target, output).bool()


def counted(truth: Tensor, weight: Tensor | None) -> Tensor:
    """Truths `(B, ...)` as numbers: 1 each, or their sample's weight."""
    if weight is None:
        return truth.to(torch.float64 if truth.device.type != "mps" else torch.float32)
    return truth * weight.double().reshape(-1, *[1] * (truth.ndim - 1))


def sizes(output_shape: tuple[int | None, ...]) -> int:
    """The number of classes (columns) of an output.

    Raises: ShapeError if it is not known.
    """
    count = output_shape[-1] if len(output_shape) > 1 else 1
    if count is None:
        raise ShapeError(f"outputs of shape {output_shape} have no known number of columns")
    return count


def cuts(at: str, thresholds: float | Sequence[float] | None, default: float) -> list[float]:
    """One or several thresholds as a list; `default` where there are none.

    Raises: ConfigError unless they are numbers.
    """
    given = [thresholds] if isinstance(thresholds, int | float) else list(thresholds or ())
    return [number(at, cut, "(-inf, inf)") for cut in given] or [default]


def check_class(at: str, output: Tensor, class_id: int) -> None:
    """Raises: ShapeError unless the outputs have a column for the class."""
    if output.ndim < 2 or class_id >= output.shape[-1]:
        raise ShapeError(
            f"outputs of shape {tuple(output.shape)} have no class {class_id}",
            at=f"{at}.class_id",
            fix="Classes count from 0.",
        )


class _PositiveRate(Metric):
    """True positives over a total, at one or several thresholds. State: (true positives, total) per threshold."""

    def __init__(
        self,
        thresholds: float | Sequence[float] | None = None,
        top_k: int | None = None,
        class_id: int | None = None,
        *,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        at = type(self).__name__
        self.thresholds = thresholds
        self.top_k = None if top_k is None else whole(f"{at}.top_k", top_k, 1)
        self.class_id = None if class_id is None else whole(f"{at}.class_id", class_id, 0)
        self._cuts = cuts(f"{at}.thresholds", thresholds, 0.5 if top_k is None else float("-inf"))

    def state_shape(self, output_shape: tuple[int | None, ...]) -> tuple[int, ...]:
        return (2, len(self._cuts))

    def add_batch(self, target: Tensor, output: Tensor, weight: Tensor | None) -> None:
        truth = truths(target, output)
        kept = None
        if self.top_k is not None:
            largest = output.topk(min(self.top_k, output.shape[-1]), dim=-1).indices
            kept = torch.zeros_like(truth).scatter_(-1, largest, True)
        if self.class_id is not None:
            check_class(self.name, output, self.class_id)
            truth, output = truth[..., self.class_id], output[..., self.class_id]
            kept = None if kept is None else kept[..., self.class_id]
        for column, cut in enumerate(self._cuts):
            positive = output > cut if kept is None else kept & (output > cut)
            self.state[0, column].add_(counted(positive & truth, weight).sum())
            self.state[1, column].add_(counted(self.total(positive, truth), weight).sum())

    @abstractmethod
    def total(self, positive: Tensor, truth: Tensor) -> Tensor:
        """What true positives are a share of."""

    def values(self, state: Tensor) -> Tensor:
        return quotient(state[0], state[1])


class Precision(_PositiveRate):
    """The share of right ones among what is called positive (`output > threshold`, 0.5 unless given).

    With `top_k`, the k largest outputs of a row are called positive; with `class_id`, one column is looked at.
    Several thresholds: `each()` has a value for every one, `result()` their mean.

    Example:
        >>> metric = Precision()
        >>> metric.update(torch.tensor([0, 1, 1, 1]), torch.tensor([0.9, 0.8, 0.7, 0.1]))
        >>> round(metric.result(), 4)
        0.6667
    """

    def total(self, positive: Tensor, truth: Tensor) -> Tensor:
        return positive


class Recall(_PositiveRate):
    """The share of the truly positive that is called positive; arguments as `Precision`.

    Example:
        >>> metric = Recall()
        >>> metric.update(torch.tensor([0, 1, 1, 1]), torch.tensor([0.9, 0.8, 0.7, 0.1]))
        >>> round(metric.result(), 4)
        0.6667
    """

    def total(self, positive: Tensor, truth: Tensor) -> Tensor:
        return truth


class FBetaScore(Metric):
    """`(1 + b²) TP / (b² (TP + FN) + TP + FP)` per class: precision and recall, which counts b times as much, in one.

    State: (true positives, called positive, truly positive) per class.

    `average`: None (`each()` has every class, `result()` their plain mean), "micro" (over all decisions), "macro"
    (plain mean), "weighted" (by the number of true samples). `threshold` None calls the largest output of a row
    positive; a single output unit then is cut at 0.5. Differs from Keras by its 1e-7 in the denominators.

    Example:
        >>> metric = FBetaScore(beta=2.0)
        >>> metric.update(torch.tensor([0, 1, 1]), torch.eye(2)[[0, 1, 0]])
        >>> [round(each, 4) for each in metric.each()]
        [0.8333, 0.5556]
    """

    def __init__(
        self,
        average: str | None = None,
        beta: float = 1.0,
        threshold: float | None = None,
        *,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        at = type(self).__name__
        if average not in (None, "micro", "macro", "weighted"):
            raise unknown_name("average", average, ["micro", "macro", "weighted"], at=f"{at}.average")
        self.average = average
        self.beta = number(f"{at}.beta", beta, "(0, inf)")
        self.threshold = None if threshold is None else number(f"{at}.threshold", threshold, "(-inf, inf)")

    def state_shape(self, output_shape: tuple[int | None, ...]) -> tuple[int, ...]:
        return (3, sizes(output_shape))

    def add_batch(self, target: Tensor, output: Tensor, weight: Tensor | None) -> None:
        truth = truths(target, output)
        if self.threshold is not None:
            positive = output > self.threshold
        elif output.ndim < 2 or output.shape[-1] == 1:
            positive = output > 0.5
        else:  # a row of zeros calls nothing positive, as in Keras
            positive = (output >= output.amax(-1, keepdim=True)) & (output.abs() > 1e-9)
        counts = counted(torch.stack((positive & truth, positive, truth), -1), weight)
        self.state.add_(counts.reshape(-1, *self.state.shape[::-1]).sum(0).T)

    def values(self, state: Tensor) -> Tensor:
        if self.average == "micro":
            state = state.sum(1, keepdim=True)
        square = self.beta**2
        score = quotient((1 + square) * state[0], state[1] + square * state[2])
        if self.average == "weighted":
            return quotient((score * state[2]).sum(), state[2].sum())
        return score


class F1Score(FBetaScore):
    """`2 TP / (2 TP + FP + FN)` per class; arguments as `FBetaScore`, whose beta is 1."""

    def __init__(self, average: str | None = None, threshold: float | None = None, *, name: str | None = None) -> None:
        super().__init__(average, 1.0, threshold, name=name)


class CountMetric(Metric):
    """The (weighted) number of outcomes of one kind, at one or several thresholds."""

    def __init__(self, thresholds: float | Sequence[float] | None = None, *, name: str | None = None) -> None:
        super().__init__(name=name)
        self.thresholds = thresholds
        self._cuts = cuts(f"{type(self).__name__}.thresholds", thresholds, 0.5)

    def state_shape(self, output_shape: tuple[int | None, ...]) -> tuple[int, ...]:
        return (len(self._cuts),)

    def add_batch(self, target: Tensor, output: Tensor, weight: Tensor | None) -> None:
        truth = truths(target, output)
        for column, cut in enumerate(self._cuts):
            self.state[column].add_(counted(self.outcome(output > cut, truth), weight).sum())

    @abstractmethod
    def outcome(self, positive: Tensor, truth: Tensor) -> Tensor:
        """Where the outcome is."""

    def values(self, state: Tensor) -> Tensor:
        return state


class TruePositives(CountMetric):
    """How many are called positive (`output > threshold`, 0.5 unless given), and are. Weights count as so many.

    Several thresholds: `each()` has the number at every one, `result()` their mean.

    Example:
        >>> metric = TruePositives()
        >>> metric.update(torch.tensor([0, 1, 1, 1]), torch.tensor([0.9, 0.8, 0.7, 0.1]))
        >>> metric.result()
        2.0
    """

    def outcome(self, positive: Tensor, truth: Tensor) -> Tensor:
        return positive & truth


class TrueNegatives(CountMetric):
    """How many are called negative, and are; arguments as `TruePositives`."""

    def outcome(self, positive: Tensor, truth: Tensor) -> Tensor:
        return ~positive & ~truth


class FalsePositives(CountMetric):
    """How many are called positive, and are not; arguments as `TruePositives`."""

    def outcome(self, positive: Tensor, truth: Tensor) -> Tensor:
        return positive & ~truth


class FalseNegatives(CountMetric):
    """How many are called negative, and are not; arguments as `TruePositives`."""

    def outcome(self, positive: Tensor, truth: Tensor) -> Tensor:
        return ~positive & truth
