"""How alike two vectors are: cosine and correlations along an axis of each sample, averaged over samples.

`axis` is one behind the batch's. A correlation over the rows of the data is `pearson_correlation` in
`lepton_ai.evaluation`: it needs all rows, and Keras' metrics of these names do not compute it either.
"""

import torch
from torch import Tensor

from lepton_ai.core import ShapeError
from lepton_ai.training.loss import aligned, full_precision
from lepton_ai.training.metric import MeanMetric
from lepton_ai.training.regression_losses import cosine

EPSILON = 1e-7  # Keras' fuzz factor


class CosineSimilarity(MeanMetric):
    """The mean cosine of the angle between target and output; the loss of this name is minus it.

    Example:
        >>> metric = CosineSimilarity()
        >>> metric.update(torch.tensor([[0.0, 2.0]]), torch.tensor([[0.0, 1.0]]))
        >>> metric.result()
        1.0
    """

    def __init__(self, *, name: str | None = None, axis: int = -1) -> None:
        super().__init__(name=name)
        self.axis = axis

    def measure(self, target: Tensor, output: Tensor) -> Tensor:
        output = full_precision(output)
        return cosine(self.name, aligned(target, output), output, self.axis)


class PearsonCorrelation(MeanMetric):
    """The mean Pearson correlation of target and output along `axis`; 0 where either is constant (Keras: NaN).

    Example:
        >>> metric = PearsonCorrelation()
        >>> metric.update(torch.tensor([[0.0, 1.0, 2.0]]), torch.tensor([[1.0, 3.0, 5.0]]))
        >>> round(metric.result(), 4)
        1.0
    """

    def __init__(self, *, name: str | None = None, axis: int = -1) -> None:
        super().__init__(name=name)
        self.axis = axis

    def measure(self, target: Tensor, output: Tensor) -> Tensor:
        covariance, a, b, _ = _moments(self.name, target, output, self.axis)
        spread = (a * b).sqrt()
        return torch.where(spread > 0, covariance / torch.where(spread > 0, spread, 1), 0)


class ConcordanceCorrelation(MeanMetric):
    """`2 covariance / (variance + variance + (difference of the means)²)` along `axis`, averaged over samples.

    Source: Lin 1989, https://doi.org/10.2307/2532051.
    """

    def __init__(self, *, name: str | None = None, axis: int = -1) -> None:
        super().__init__(name=name)
        self.axis = axis

    def measure(self, target: Tensor, output: Tensor) -> Tensor:
        covariance, a, b, shift = _moments(self.name, target, output, self.axis)
        return 2 * covariance / (a + b + shift.square() + EPSILON)


def _moments(at: str, target: Tensor, output: Tensor, axis: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Covariance, both variances, and the difference of the means along `axis`, in float64 where there is one."""
    output = full_precision(output)
    target = aligned(target, output)
    if not -output.ndim < axis < output.ndim or axis == 0:
        raise ShapeError(f"outputs of shape {tuple(output.shape)} have no axis {axis} behind the batch", at=at)
    if output.device.type != "mps":
        target, output = target.double(), output.double()
    means = target.mean(axis, keepdim=True), output.mean(axis, keepdim=True)
    left, right = target - means[0], output - means[1]
    covariance = (left * right).mean(axis)
    return covariance, left.square().mean(axis), right.square().mean(axis), (means[0] - means[1]).squeeze(axis)
