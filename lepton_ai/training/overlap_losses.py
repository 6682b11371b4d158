"""Losses of segmentation: one minus how far the area that was answered and the true one overlap.

Targets and outputs are shares in [0, 1] of one shape, such as masks `(B, H, W, C)` beside sigmoid or softmax outputs.
`axis` are the axes that make one area; None is all of a sample. (Keras' None takes the whole batch as one area, whose
overlap is no mean over rows: it would change with the batch and the number of workers. `axis=(1, 2, 3)` is the same in
both.) What is left of the axes is averaged. An area that is empty in both counts 1, as in Keras.
"""

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from lepton_ai.core import ConfigError, ShapeError
from lepton_ai.training.classification_losses import EPSILON, check_probabilities
from lepton_ai.training.component import number, whole
from lepton_ai.training.loss import Loss, Shape, aligned, full_precision, per_sample


class OverlapLoss(Loss):
    """`1 - share`, of the areas' common part, what was missed (target alone), and what was wrongly claimed.

    Raises: ConfigError for an axis that is not behind the batch's.
    """

    def __init__(self, axis: int | Sequence[int] | None = None, *, name: str | None = None) -> None:
        super().__init__(name=name)
        axes = [axis] if isinstance(axis, int) else axis
        if axes is not None and 0 in axes:
            raise ConfigError(
                at=f"{type(self).__name__}.axis",
                got=list(axes),
                expected="axes behind the batch's, which is 0",
                fix="A loss has one value for each row: write axis=(1, 2, 3), or leave it None.",
            )
        at = f"{type(self).__name__}.axis"
        self.axis = None if axes is None else [whole(at, each, -9) for each in axes]

    def __call__(self, target: Tensor, output: Tensor) -> Tensor:
        output = full_precision(output)
        target = aligned(target, output)
        if output.ndim == 1:
            target, output = target.unsqueeze(1), output.unsqueeze(1)
        axes = tuple(range(1, output.ndim)) if self.axis is None else tuple(self.axis)
        if not all(-output.ndim < axis < output.ndim for axis in axes):
            raise ShapeError(
                f"outputs of shape {tuple(output.shape)} have no axes {axes} behind the batch", at=self.name
            )
        both = torch.sum(target * output, axes)
        return per_sample(1 - self.share(both, target.sum(axes) - both, output.sum(axes) - both))

    @abstractmethod
    def share(self, both: Tensor, missed: Tensor, claimed: Tensor) -> Tensor:
        """How much of the areas is common, from 0 to 1."""

    def check(self, target: Tensor, output_shape: Shape) -> None:
        self.check_elementwise(
            target, output_shape, "Give a mask of the outputs' shape: one-hot over the classes, to_categorical(y)."
        )
        self.check_finite(target)
        self.refuse_rows(
            target,
            (target < 0) | (target > 1),
            "targets lie outside [0, 1]",
            "Divide a mask of 0 and 255 by 255; give class labels as one-hot masks, to_categorical(y).",
        )

    def check_outputs(self, output: Tensor) -> None:
        check_probabilities(self, output, None)


class Dice(OverlapLoss):
    """`1 - 2 * both / (target + output)`, sums over an area: one minus the F1 score of its elements.

    Source: Milletari et al. 2016, https://arxiv.org/abs/1606.04797.

    Example:
        >>> Dice()(torch.tensor([[1.0, 1.0, 0.0]]), torch.tensor([[1.0, 0.0, 0.0]]))
        tensor([0.3333])
    """

    def share(self, both: Tensor, missed: Tensor, claimed: Tensor) -> Tensor:
        return 2 * both / (2 * both + missed + claimed + EPSILON)


class Jaccard(OverlapLoss):
    """`1 - both / (target + output - both)`: one minus the intersection over the union. Not in Keras.

    Source: Rahman & Wang 2016, https://doi.org/10.1007/978-3-319-50835-1_22.

    Example:
        >>> Jaccard()(torch.tensor([[1.0, 1.0, 0.0]]), torch.tensor([[1.0, 0.0, 0.0]]))
        tensor([0.5000])
    """

    def share(self, both: Tensor, missed: Tensor, claimed: Tensor) -> Tensor:
        return both / (both + missed + claimed + EPSILON)


class Tversky(OverlapLoss):
    """`1 - both / (both + alpha * missed + beta * claimed)`: alpha = beta = 0.5 is `Dice`, 1 is `Jaccard`.

    `alpha` weighs what of the target was missed, `beta` what was claimed beyond it. So Keras computes it too, though
    its page has the two the other way round, as has the paper.

    Source: Salehi et al. 2017, https://arxiv.org/abs/1706.05721.

    Example:
        >>> Tversky(alpha=1.0)(torch.tensor([[1.0, 1.0, 0.0]]), torch.tensor([[1.0, 0.0, 0.0]]))
        tensor([0.5000])
    """

    def __init__(
        self,
        alpha: float = 0.5,
        beta: float = 0.5,
        axis: int | Sequence[int] | None = None,
        *,
        name: str | None = None,
    ) -> None:
        super().__init__(axis, name=name)
        self.alpha = number("Tversky.alpha", alpha, "[0, inf)")
        self.beta = number("Tversky.beta", beta, "[0, inf)")

    def share(self, both: Tensor, missed: Tensor, claimed: Tensor) -> Tensor:
        return both / (both + self.alpha * missed + self.beta * claimed + EPSILON)
