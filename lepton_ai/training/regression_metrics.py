"""Metrics for quantities. Targets and outputs have equal shapes; `(B,)` beside `(B, 1)` is aligned."""

from typing import ClassVar

import torch
from torch import Tensor

from lepton_ai.core import unknown_name
from lepton_ai.training import regression_losses
from lepton_ai.training.component import whole
from lepton_ai.training.loss import aligned, full_precision
from lepton_ai.training.metric import MeanMetric, Metric, quotient


class _MeanError(MeanMetric):
    """The mean over samples of a loss's value."""

    loss: ClassVar[regression_losses.RegressionLoss]

    def measure(self, target: Tensor, output: Tensor) -> Tensor:
        return self.loss(target, output)


class MeanSquaredError(_MeanError):
    """`mean((target - output) ** 2)`."""

    loss = regression_losses.MeanSquaredError()


class RootMeanSquaredError(_MeanError):
    """`sqrt(mean((target - output) ** 2))`: the root of the whole mean, not a mean of batches' roots.

    Example:
        >>> metric = RootMeanSquaredError()
        >>> metric.update(torch.tensor([0.0, 0.0]), torch.tensor([3.0, 4.0]))
        >>> round(metric.result() ** 2, 4)
        12.5
    """

    loss = regression_losses.MeanSquaredError()

    def values(self, state: Tensor) -> Tensor:
        return super().values(state).sqrt()


class MeanAbsoluteError(_MeanError):
    """`mean(|target - output|)`."""

    loss = regression_losses.MeanAbsoluteError()


class MeanAbsolutePercentageError(_MeanError):
    """`100 * mean(|target - output| / max(|target|, 1e-7))`, in percent."""

    loss = regression_losses.MeanAbsolutePercentageError()


class MeanSquaredLogarithmicError(_MeanError):
    """`mean((log(target + 1) - log(output + 1)) ** 2)`."""

    loss = regression_losses.MeanSquaredLogarithmicError()


AGGREGATIONS = ("uniform_average", "variance_weighted_average")


class R2Score(Metric):
    """`1 - residual sum of squares / total sum of squares`, per output column: 1 is perfect, 0 is the mean's.

    `class_aggregation`: "uniform_average", "variance_weighted_average", or None (`each()` has every column).
    `num_regressors` above 0 gives the adjusted score for so many inputs; it needs more samples than inputs + 1.
    A column of equal targets scores 1 where the outputs hit them, else 0, as in scikit-learn.
    State, per column: weight, weighted sum and sum of squares of the targets, residual sum of squares, rows.
    """

    def __init__(
        self,
        class_aggregation: str | None = "uniform_average",
        num_regressors: int = 0,
        *,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        if class_aggregation is not None and class_aggregation not in AGGREGATIONS:
            raise unknown_name(
                "class_aggregation", class_aggregation, list(AGGREGATIONS), at="R2Score.class_aggregation"
            )
        self.class_aggregation = class_aggregation
        self.num_regressors = whole("R2Score.num_regressors", num_regressors, 0)

    def state_shape(self, output_shape: tuple[int | None, ...]) -> tuple[int, ...]:
        columns = 1
        for size in output_shape[1:]:
            columns *= size or 1
        return (5, columns)

    def add_batch(self, target: Tensor, output: Tensor, weight: Tensor | None) -> None:
        state = self.state
        output = full_precision(output)
        target = aligned(target, output).to(state.dtype).reshape(output.shape[0], -1)
        residual = target - output.to(state.dtype).reshape(output.shape[0], -1)
        rows = torch.ones_like(target)
        scale = rows if weight is None else rows * weight.to(state.dtype).unsqueeze(1)
        weighted = target * scale
        state.add_(torch.stack((scale, weighted, weighted * target, residual * residual * scale, rows)).sum(1))

    def values(self, state: Tensor) -> Tensor:
        weight, total, squares, residual, rows = state
        variation = squares - total * quotient(total, weight)
        # A column of equal targets leaves rounding errors here, not zero.
        variation = variation.where(variation > 1e-12 * squares, 0)
        exact = ((residual == 0) & (rows > 0)).to(state.dtype)
        score = torch.where(variation > 0, 1 - quotient(residual, variation), exact)
        if self.class_aggregation == "uniform_average":
            score = score.mean()
        elif self.class_aggregation == "variance_weighted_average":
            score = quotient((score * variation).sum(), variation.sum())
        spare = rows[0] - self.num_regressors - 1
        if self.num_regressors and spare > 0:
            score = 1 - (1 - score) * (rows[0] - 1) / spare
        return score
