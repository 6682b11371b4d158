"""Precision, recall, F1 and the areas under curves: metrics made of counts of right and wrong positives.

Targets are yes/no answers in the shape of the outputs, `(B,)` beside `(B, 1)`, or one-hot rows. Class labels beside
`(B, ..., C)` outputs are read as one-hot rows.
"""

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from lepton_ai.core import ConfigError, ShapeError, unknown_name
from lepton_ai.training.component import number, whole
from lepton_ai.training.loss import aligned, full_precision
from lepton_ai.training.metric import Metric, quotient

EPSILON = 1e-7  # Keras' fuzz factor


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
        default = 0.5 if top_k is None else float("-inf")
        given = [thresholds] if isinstance(thresholds, int | float) else list(thresholds or ())
        self._cuts = [number(f"{at}.thresholds", cut, "(-inf, inf)") for cut in given] or [default]

    def state_shape(self, output_shape: tuple[int | None, ...]) -> tuple[int, ...]:
        return (2, len(self._cuts))

    def add_batch(self, target: Tensor, output: Tensor, weight: Tensor | None) -> None:
        truth = truths(target, output)
        kept = None
        if self.top_k is not None:
            largest = output.topk(min(self.top_k, output.shape[-1]), dim=-1).indices
            kept = torch.zeros_like(truth).scatter_(-1, largest, True)
        if self.class_id is not None:
            if output.ndim < 2 or self.class_id >= output.shape[-1]:
                raise ShapeError(
                    f"outputs of shape {tuple(output.shape)} have no class {self.class_id}",
                    at=f"{self.name}.class_id",
                    fix="Classes count from 0.",
                )
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


class F1Score(Metric):
    """`2 TP / (2 TP + FP + FN)` per class. State: (true positives, called positive, truly positive) per class.

    `average`: None (`each()` has every class, `result()` their plain mean), "micro" (over all decisions), "macro"
    (plain mean), "weighted" (by the number of true samples). `threshold` None calls the largest output of a row
    positive; a single output unit then is cut at 0.5. Differs from Keras by its 1e-7 in the denominators.
    """

    def __init__(self, average: str | None = None, threshold: float | None = None, *, name: str | None = None) -> None:
        super().__init__(name=name)
        if average not in (None, "micro", "macro", "weighted"):
            raise unknown_name("average", average, ["micro", "macro", "weighted"], at="F1Score.average")
        self.average = average
        self.threshold = None if threshold is None else number("F1Score.threshold", threshold, "(-inf, inf)")

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
        score = quotient(2 * state[0], state[1] + state[2])
        if self.average == "weighted":
            return quotient((score * state[2]).sum(), state[2].sum())
        return score


CURVES = ("ROC", "PR")
SUMMATIONS = ("interpolation", "minoring", "majoring")


class AUC(Metric):
    """The area under the ROC or precision-recall curve, from counts at thresholds as in Keras.

    `thresholds` (in (0, 1), both ends are added) or `num_thresholds` evenly spaced ones; more are finer.
    `multi_label` takes each column's area (`each()`), and `result()` is their mean; else all columns are one pile.
    State: weights of positives and negatives, per column, between thresholds.

    Example:
        >>> metric = AUC()
        >>> metric.update(torch.tensor([0, 0, 1, 1]), torch.tensor([0.1, 0.4, 0.35, 0.8]))
        >>> round(metric.result(), 4)
        0.75
    """

    def __init__(
        self,
        num_thresholds: int = 200,
        curve: str = "ROC",
        summation_method: str = "interpolation",
        *,
        name: str | None = None,
        thresholds: Sequence[float] | None = None,
        multi_label: bool = False,
        from_logits: bool = False,
    ) -> None:
        super().__init__(name=name)
        if curve not in CURVES:
            raise unknown_name("curve", curve, list(CURVES), at="AUC.curve")
        if summation_method not in SUMMATIONS:
            raise unknown_name("summation_method", summation_method, list(SUMMATIONS), at="AUC.summation_method")
        self.num_thresholds = whole("AUC.num_thresholds", num_thresholds, 2)
        self.curve = curve
        self.summation_method = summation_method
        self.thresholds = None if thresholds is None else list(thresholds)
        self.multi_label = multi_label
        self.from_logits = from_logits
        inner = [i / (num_thresholds - 1) for i in range(1, num_thresholds - 1)]
        if thresholds is not None:
            inner = sorted(number("AUC.thresholds", cut, "[0, 1]") for cut in thresholds)
            if not inner:
                raise ConfigError(at="AUC.thresholds", got=[], expected="at least one threshold")
        # An output equal to 0 or 1 must lie between the ends.
        self._cuts = torch.tensor([-EPSILON, *inner, 1 + EPSILON], dtype=torch.float64)

    def state_shape(self, output_shape: tuple[int | None, ...]) -> tuple[int, ...]:
        return (2, sizes(output_shape) if self.multi_label else 1, len(self._cuts))

    def add_batch(self, target: Tensor, output: Tensor, weight: Tensor | None) -> None:
        truth = truths(target, output)
        output = full_precision(output)
        output = output.sigmoid() if self.from_logits else output.clamp(0, 1)
        if self._cuts.device != output.device or self._cuts.dtype != output.dtype:
            self._cuts = self._cuts.to(output.device, output.dtype)
        _, columns, cuts = self.state.shape
        # The bucket b of an output p: cuts[b] < p <= cuts[b + 1].
        slot = torch.bucketize(output, self._cuts).sub_(1).clamp_(min=0)
        if columns > 1:
            slot += torch.arange(columns, device=output.device) * cuts
        slot += truth.logical_not() * (columns * cuts)
        amount = counted(torch.ones_like(truth), weight)
        self.state.view(-1).scatter_add_(0, slot.flatten(), amount.to(self.state.dtype).flatten())

    def values(self, state: Tensor) -> Tensor:
        above = state.flip(-1).cumsum(-1).flip(-1)  # weight above each threshold
        true, false = above[0], above[1]
        positives, negatives = true[:, :1], false[:, :1]
        if self.curve == "PR" and self.summation_method == "interpolation":
            return _interpolated_precision(true, true + false, positives)
        recall = quotient(true, positives.expand_as(true))
        if self.curve == "ROC":
            x, y = quotient(false, negatives.expand_as(false)), recall
        else:
            x, y = recall, quotient(true, true + false)
        if self.summation_method == "interpolation":
            height = (y[:, :-1] + y[:, 1:]) / 2
        else:
            height = (torch.minimum if self.summation_method == "minoring" else torch.maximum)(y[:, :-1], y[:, 1:])
        return ((x[:, :-1] - x[:, 1:]) * height).sum(-1)


def _interpolated_precision(true: Tensor, called: Tensor, positives: Tensor) -> Tensor:
    """Area under precision over recall where both counts run straight between thresholds (Davis & Goadrich 2006).

    Between neighbours precision is (intercept + slope * called) / called; its integral is a line plus a logarithm.
    """
    rise, run = true[:, :-1] - true[:, 1:], called[:, :-1] - called[:, 1:]
    slope = quotient(rise, run)
    intercept = true[:, 1:] - slope * called[:, 1:]
    both = (called[:, :-1] > 0) & (called[:, 1:] > 0)
    ratio = torch.where(both, called[:, :-1] / called[:, 1:].clamp_min(1e-300), 1.0)
    return quotient(slope * (rise + intercept * ratio.log()), positives.expand_as(rise)).sum(-1)
