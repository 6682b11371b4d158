"""Metrics of all thresholds at once: areas under curves, and one rate where another is high enough.

Outputs are probabilities. What is gathered is how much weight lies between neighbouring thresholds, so that a batch
costs one pass however many there are. Targets as in `confusion_metrics`. A curve needs positives, a ROC negatives too:
without them the measure is NaN (Keras says 0), and a warning is logged; before any data it is 0.
"""

import logging
import math
from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from lepton_ai.core import ConfigError, ShapeError, unknown_name
from lepton_ai.training.component import number, whole
from lepton_ai.training.confusion_metrics import check_class, counted, sizes, truths
from lepton_ai.training.loss import full_precision
from lepton_ai.training.metric import Metric, quotient

EPSILON = 1e-7  # Keras' fuzz factor
CURVES = ("ROC", "PR")
SUMMATIONS = ("interpolation", "minoring", "majoring")

log = logging.getLogger("lepton_ai.training")


class ThresholdMetric(Metric):
    """The base: positives and negatives between thresholds. State: `(2, columns, thresholds + 1)` weights.

    The first entry holds what is above no threshold. A child gives `_cuts`, rising, in float64.
    """

    _cuts: Tensor
    class_id: int | None = None
    multi_label: bool = False
    from_logits: bool = False

    def state_shape(self, output_shape: tuple[int | None, ...]) -> tuple[int, ...]:
        return (2, sizes(output_shape) if self.multi_label else 1, len(self._cuts) + 1)

    def add_batch(self, target: Tensor, output: Tensor, weight: Tensor | None) -> None:
        truth = truths(target, output)
        if self.class_id is not None:
            check_class(self.name, output, self.class_id)
            truth, output = truth[..., self.class_id], output[..., self.class_id]
        output = full_precision(output)
        output = output.sigmoid() if self.from_logits else output.clamp(0, 1)
        if self._cuts.device != output.device or self._cuts.dtype != output.dtype:
            self._cuts = self._cuts.to(output.device, output.dtype)
        _, columns, buckets = self.state.shape
        slot = torch.bucketize(output, self._cuts)  # how many thresholds the output is above
        if columns > 1:
            slot += torch.arange(columns, device=output.device) * buckets
        slot += truth.logical_not() * (columns * buckets)
        amount = counted(torch.ones_like(truth), weight)
        self.state.view(-1).scatter_add_(0, slot.flatten(), amount.to(self.state.dtype).flatten())

    def check_outputs(self, output: Tensor) -> None:
        outside = (output < 0) | (output > 1)
        if not self.from_logits and bool(outside.any()):
            raise ConfigError(
                f"the model's outputs are no probabilities: {output[outside][0].item():.4g} among them",
                at=self.name,
                fix="End the model with activation='sigmoid' or 'softmax'"
                + (", or use AUC(from_logits=True)." if "from_logits" in self.arguments() else "."),
            )

    def values(self, state: Tensor) -> Tensor:
        # what is called positive at each threshold, (columns, thresholds), and what is positive at all, (columns, 1)
        above = state.flip(-1).cumsum(-1).flip(-1)
        true, false = above[0, :, 1:], above[1, :, 1:]
        positives, negatives = above[0, :, :1], above[1, :, :1]
        value = self.measure(true, false, positives, negatives)
        undefined = self.undefined(positives.squeeze(1), negatives.squeeze(1)) & (state.sum((0, 2)) > 0)
        return value.masked_fill(undefined, math.nan)

    def result(self) -> float:
        """The measure over all that was added: the mean over columns that have one, NaN where none has."""
        if self._state is None:
            return 0.0
        result = self.average(self.values(self._state.cpu()))
        if math.isnan(result):
            log.warning("%s is not a number: the data hold only one class", self.name)
        return result

    def average(self, values: Tensor) -> float:
        """The columns' values as one."""
        return float(values.nanmean())

    @abstractmethod
    def measure(self, true: Tensor, false: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
        """The value of each column from the weights above each threshold and in all."""

    def undefined(self, positives: Tensor, negatives: Tensor) -> Tensor:
        """The columns for which there is no such measure."""
        return (positives == 0) | (negatives == 0)


class AUC(ThresholdMetric):
    """The area under the ROC or precision-recall curve, from counts at thresholds as in Keras.

    `thresholds` (in [0, 1], both ends are added) or `num_thresholds` evenly spaced ones; more are finer.
    `multi_label` takes each column's area (`each()`), and `result()` is their mean, weighed by `label_weights`; columns
    of one class are left out of it. Else all columns are one pile.

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
        label_weights: Sequence[float] | None = None,
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
        self.label_weights = None if label_weights is None else list(label_weights)
        self.from_logits = from_logits
        for index, share in enumerate(self.label_weights or ()):
            number(f"AUC.label_weights[{index}]", share, "[0, inf)")
        if self.label_weights is not None and not multi_label:
            raise ConfigError("label_weights weigh the columns", at="AUC", fix="Write AUC(multi_label=True, ...).")
        inner = [i / (num_thresholds - 1) for i in range(1, num_thresholds - 1)]
        if thresholds is not None:
            inner = sorted(number("AUC.thresholds", cut, "[0, 1]") for cut in thresholds)
            if not inner:
                raise ConfigError(at="AUC.thresholds", got=[], expected="at least one threshold")
        # An output equal to 0 or 1 must lie between the ends.
        self._cuts = torch.tensor([-EPSILON, *inner, 1 + EPSILON], dtype=torch.float64)

    def state_shape(self, output_shape: tuple[int | None, ...]) -> tuple[int, ...]:
        shape = super().state_shape(output_shape)
        if self.label_weights is not None and len(self.label_weights) != shape[1]:
            raise ShapeError(
                at=f"{self.name}.label_weights",
                got=len(self.label_weights),
                expected=f"one for each of {shape[1]} labels",
            )
        return shape

    def measure(self, true: Tensor, false: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
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

    def undefined(self, positives: Tensor, negatives: Tensor) -> Tensor:
        return super().undefined(positives, negatives) if self.curve == "ROC" else positives == 0

    def average(self, values: Tensor) -> float:
        if self.label_weights is None:
            return super().average(values)
        defined = ~values.isnan()
        share = values.new_tensor(self.label_weights) * defined
        return float((values.nan_to_num() * share).sum() / share.sum())


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


class _BestRate(ThresholdMetric):
    """The best of one rate over the thresholds at which another is at least so high; 0 if it is nowhere."""

    def __init__(self, floor: float, num_thresholds: int, class_id: int | None, name: str | None) -> None:
        super().__init__(name=name)
        at = type(self).__name__
        self._floor = floor
        self.num_thresholds = whole(f"{at}.num_thresholds", num_thresholds, 1)
        self.class_id = None if class_id is None else whole(f"{at}.class_id", class_id, 0)
        spaced = [i / (num_thresholds - 1) for i in range(num_thresholds)] if num_thresholds > 1 else [0.5]
        self._cuts = torch.tensor(spaced, dtype=torch.float64)

    def measure(self, true: Tensor, false: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
        recall = quotient(true, positives.expand_as(true))
        specificity = quotient(negatives - false, negatives.expand_as(false))
        held, best = self.rates(recall, specificity, quotient(true, true + false))
        return torch.where(held >= self._floor, best, 0).amax(-1)

    @abstractmethod
    def rates(self, recall: Tensor, specificity: Tensor, precision: Tensor) -> tuple[Tensor, Tensor]:
        """The rate that must be held, and the one whose best is wanted."""


class SensitivityAtSpecificity(_BestRate):
    """The best recall among `num_thresholds` even thresholds at which the specificity is at least the one given.

    `class_id` looks at one column. Example: how many ill ones are found while 95 % of the healthy are left in peace.

    Example:
        >>> metric = SensitivityAtSpecificity(0.5)
        >>> metric.update(torch.tensor([0, 0, 0, 1, 1]), torch.tensor([0.0, 0.3, 0.8, 0.3, 0.8]))
        >>> metric.result()
        0.5
    """

    def __init__(
        self, specificity: float, num_thresholds: int = 200, class_id: int | None = None, *, name: str | None = None
    ) -> None:
        self.specificity = number("SensitivityAtSpecificity.specificity", specificity, "[0, 1]")
        super().__init__(self.specificity, num_thresholds, class_id, name)

    def rates(self, recall: Tensor, specificity: Tensor, precision: Tensor) -> tuple[Tensor, Tensor]:
        return specificity, recall


class SpecificityAtSensitivity(_BestRate):
    """The best specificity among the thresholds at which the recall is at least the one given."""

    def __init__(
        self, sensitivity: float, num_thresholds: int = 200, class_id: int | None = None, *, name: str | None = None
    ) -> None:
        self.sensitivity = number("SpecificityAtSensitivity.sensitivity", sensitivity, "[0, 1]")
        super().__init__(self.sensitivity, num_thresholds, class_id, name)

    def rates(self, recall: Tensor, specificity: Tensor, precision: Tensor) -> tuple[Tensor, Tensor]:
        return recall, specificity


class PrecisionAtRecall(_BestRate):
    """The best precision among the thresholds at which the recall is at least the one given."""

    def __init__(
        self, recall: float, num_thresholds: int = 200, class_id: int | None = None, *, name: str | None = None
    ) -> None:
        self.recall = number("PrecisionAtRecall.recall", recall, "[0, 1]")
        super().__init__(self.recall, num_thresholds, class_id, name)

    def rates(self, recall: Tensor, specificity: Tensor, precision: Tensor) -> tuple[Tensor, Tensor]:
        return recall, precision

    def undefined(self, positives: Tensor, negatives: Tensor) -> Tensor:
        return positives == 0


class RecallAtPrecision(_BestRate):
    """The best recall among the thresholds at which the precision is at least the one given."""

    def __init__(
        self, precision: float, num_thresholds: int = 200, class_id: int | None = None, *, name: str | None = None
    ) -> None:
        self.precision = number("RecallAtPrecision.precision", precision, "[0, 1]")
        super().__init__(self.precision, num_thresholds, class_id, name)

    def rates(self, recall: Tensor, specificity: Tensor, precision: Tensor) -> tuple[Tensor, Tensor]:
        return precision, recall

    def undefined(self, positives: Tensor, negatives: Tensor) -> Tensor:
        return positives == 0
