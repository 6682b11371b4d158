"""Losses for quantities. Targets and outputs have equal shapes; `(B,)` beside `(B, 1)` is aligned."""

import math
from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from lepton_ai.core import ConfigError, ShapeError
from lepton_ai.training.component import number
from lepton_ai.training.loss import Loss, Shape, aligned, full_precision, per_sample, without_one

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


class Poisson(RegressionLoss):
    """`mean(output - target * log(output + 1e-7))`: for counts, whose expected number the model gives.

    Example:
        >>> Poisson()(torch.tensor([0.0]), torch.tensor([1.5]))
        tensor([1.5000])
    """

    def errors(self, target: Tensor, output: Tensor) -> Tensor:
        return F.poisson_nll_loss(output, target, log_input=False, eps=EPSILON, reduction="none")

    def check(self, target: Tensor, output_shape: Shape) -> None:
        super().check(target, output_shape)
        self.refuse_rows(
            target, target < 0, "targets are negative, and counts are not", "Use loss='mean_squared_error' for these."
        )

    def check_outputs(self, output: Tensor) -> None:
        if bool((output < 0).any()):
            raise ConfigError(
                f"the model's outputs are no expected counts: {output[output < 0][0].item():.4g} among them",
                at=self.name,
                fix="End the model with activation='exponential' or 'softplus'.",
            )


class CosineSimilarity(RegressionLoss):
    """Minus the cosine of the angle between target and output: -1 for one direction, 0 at right angles, 1 opposite.

    Shapes: targets and outputs `(B, ..., D)`; the angle is between vectors along `axis`. A vector of zeros has the
    cosine 0 with any other.

    Example:
        >>> CosineSimilarity()(torch.tensor([[0.0, 2.0]]), torch.tensor([[1.0, 1.0]]))
        tensor([-0.7071])
    """

    def __init__(self, axis: int = -1, *, name: str | None = None) -> None:
        super().__init__(name=name)
        self.axis = axis

    def errors(self, target: Tensor, output: Tensor) -> Tensor:
        return -cosine(self.name, target, output, self.axis)


def cosine(at: str, target: Tensor, output: Tensor, axis: int) -> Tensor:
    """The cosine of the angle between vectors along `axis`, which falls away.

    Raises: ShapeError if there is no such axis behind the batch's.
    """
    if not -output.ndim < axis < output.ndim or axis == 0:
        raise ShapeError(
            f"outputs of shape {tuple(output.shape)} have no axis {axis} behind the batch",
            at=at,
        )
    return (F.normalize(target, dim=axis, eps=EPSILON) * F.normalize(output, dim=axis, eps=EPSILON)).sum(axis)


class Pinball(Loss):
    """The quantile loss: `quantile * e` where the target lies `e` above the output, else `(1 - quantile) * |e|`.

    The output that minimises it is that quantile of the target: 0.5 is the median, and half the absolute error.
    `quantile` is a number, for targets and outputs of one shape; or a list of Q, for outputs `(B, ..., Q)` beside
    targets `(B, ...)` or `(B, ..., 1)`: one output unit for each quantile.

    Raises: ConfigError if a quantile is not between 0 and 1.

    Source: Koenker & Bassett 1978, https://doi.org/10.2307/1913643.

    Example:
        >>> Pinball([0.1, 0.5])(torch.tensor([3.0]), torch.tensor([[2.0, 4.0]]))
        tensor([0.3000])
    """

    def __init__(self, quantile: float | Sequence[float] = 0.5, *, name: str | None = None) -> None:
        super().__init__(name=name)
        at = "Pinball.quantile"
        self.quantile: float | list[float]
        if isinstance(quantile, int | float):
            self.quantile = number(at, quantile, "(0, 1)")
        else:
            self.quantile = [number(f"{at}[{index}]", each, "(0, 1)") for index, each in enumerate(quantile)]
            if not self.quantile:
                raise ConfigError(at=at, got=[], expected="at least one quantile")

    def __call__(self, target: Tensor, output: Tensor) -> Tensor:
        output = full_precision(output)
        if isinstance(self.quantile, float):
            error = aligned(target, output) - output
            return per_sample(torch.maximum(self.quantile * error, (self.quantile - 1) * error))
        sizes = tuple(target.shape)
        if output.shape[-1] != len(self.quantile) or output.shape[:-1] not in (sizes, without_one(sizes)):
            raise self.mismatch(sizes, output.shape, self._fix(self.quantile))
        share = output.new_tensor(self.quantile)
        error = target.to(output.dtype).reshape(*output.shape[:-1], 1) - output
        return per_sample(torch.maximum(share * error, (share - 1) * error))

    def check(self, target: Tensor, output_shape: Shape) -> None:
        if isinstance(self.quantile, float):
            self.check_elementwise(target, output_shape, "Give targets of the outputs' shape.")
        else:
            fits = len(output_shape) > 1 and output_shape[-1] == len(self.quantile)
            rest, sizes = tuple(output_shape[1:-1]), tuple(target.shape[1:])
            if not fits or rest not in (sizes, without_one(sizes)):
                raise self.mismatch(target.shape, output_shape, self._fix(self.quantile))
        self.check_finite(target)

    @staticmethod
    def _fix(quantiles: list[float]) -> str:
        return f"End the model with Dense({len(quantiles)}), one unit for each quantile, and give one target per row."
