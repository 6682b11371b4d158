"""Losses for quantities. Targets and outputs have equal shapes; `(B,)` beside `(B, 1)` is aligned."""

import math
from abc import abstractmethod

import torch
from torch import Tensor
from torch.nn import functional as F

from lepton_ai.training.component import number
from lepton_ai.training.loss import Loss, Shape, aligned, full_precision, per_sample

EPSILON = 1e-7  # Keras' fuzz factor


class RegressionLoss(Loss):
    """A mean over elements; a child says what one element costs."""

    def __call__(self, target: Tensor, output: Tensor) -> Tensor:
        output = full_precision(output)
        return per_sample(self.errors(aligned(target, output), output))

    @abstractmethod
    def errors(self, target: Tensor, output: Tensor) -> Tensor:
        """The cost of each element; both tensors have one shape and dtype, and so has the answer."""

    def check(self, target: Tensor, output_shape: Shape) -> None:
        columns = 1 if target.ndim < 2 else target.shape[-1]
        units = output_shape[-1] if len(output_shape) > 1 else 1
        have = (
            f"The targets have {columns} column{'s' * (columns != 1)} and the model {units} output{'s' * (units != 1)}"
        )
        self.check_elementwise(
            target,
            output_shape,
            f"{have}: give the last layer one unit for each column (for example Dense({columns})), or targets of the "
            "outputs' shape.",
        )
        self.check_finite(target)


class MeanSquaredError(RegressionLoss):
    """`mean((target - output) ** 2)`.

    Example:
        >>> MeanSquaredError()(torch.tensor([[1.0, 2.0]]), torch.tensor([[1.0, 4.0]]))
        tensor([2.])
    """

    def errors(self, target: Tensor, output: Tensor) -> Tensor:
        return F.mse_loss(output, target, reduction="none")


class MeanAbsoluteError(RegressionLoss):
    """`mean(|target - output|)`.

    Example:
        >>> MeanAbsoluteError()(torch.tensor([[1.0, 2.0]]), torch.tensor([[1.0, 4.0]]))
        tensor([1.])
    """

    def errors(self, target: Tensor, output: Tensor) -> Tensor:
        return F.l1_loss(output, target, reduction="none")


class MeanAbsolutePercentageError(RegressionLoss):
    """`100 * mean(|target - output| / max(|target|, 1e-7))`, in percent.

    Example:
        >>> MeanAbsolutePercentageError()(torch.tensor([2.0]), torch.tensor([3.0]))
        tensor([50.])
    """

    def errors(self, target: Tensor, output: Tensor) -> Tensor:
        return 100 * ((target - output) / target.abs().clamp_min(EPSILON)).abs()


class MeanSquaredLogarithmicError(RegressionLoss):
    """`mean((log(target + 1) - log(output + 1)) ** 2)`, both clipped to at least 1e-7 before.

    Example:
        >>> MeanSquaredLogarithmicError()(torch.tensor([0.0]), torch.tensor([math.e - 1]))
        tensor([1.0000])
    """

    def errors(self, target: Tensor, output: Tensor) -> Tensor:
        logs = torch.log1p(output.clamp_min(EPSILON)), torch.log1p(target.clamp_min(EPSILON))
        return F.mse_loss(logs[0], logs[1], reduction="none")

    def check(self, target: Tensor, output_shape: Shape) -> None:
        super().check(target, output_shape)
        self.refuse_rows(
            target,
            target < 0,
            "targets are negative, which this loss would read as 0",
            "Use loss='mean_squared_error', or predict a quantity that is never negative.",
        )


class Huber(RegressionLoss):
    """Squared near 0 and linear far away: `e²/2` where `|e| <= delta`, else `delta * (|e| - delta/2)`.

    Example:
        >>> Huber()(torch.tensor([0.0, 0.0]), torch.tensor([1.0, 3.0]))
        tensor([0.5000, 2.5000])
    """

    def __init__(self, delta: float = 1.0, *, name: str | None = None) -> None:
        super().__init__(name=name)
        self.delta = number("Huber.delta", delta, "(0, inf)")

    def errors(self, target: Tensor, output: Tensor) -> Tensor:
        return F.huber_loss(output, target, reduction="none", delta=self.delta)


class LogCosh(RegressionLoss):
    """`mean(log(cosh(output - target)))`: nearly `e²/2` for small errors and `|e| - log(2)` for large ones.

    Example:
        >>> LogCosh()(torch.tensor([0.0]), torch.tensor([1.0]))
        tensor([0.4338])
    """

    def errors(self, target: Tensor, output: Tensor) -> Tensor:
        error = output - target
        return torch.logaddexp(error, -error) - math.log(2)
