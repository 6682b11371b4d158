"""Hinge losses: an answer costs nothing once it is right by a margin of one. Outputs are scores, not probabilities."""

import torch
from torch import Tensor

from lepton_ai.training.loss import Loss, Shape, aligned, full_precision, per_sample


class Hinge(Loss):
    """`mean(max(1 - target * output, 0))` of targets -1 and 1; 0 is read as -1.

    Shapes: equal; `(B,)` beside `(B, 1)` is aligned. "accuracy" beside it counts outputs on the target's side of 0.

    Source: Cortes & Vapnik 1995, https://doi.org/10.1007/BF00994018.

    Example:
        >>> Hinge()(torch.tensor([1.0, 0.0]), torch.tensor([[0.3], [-2.0]]))
        tensor([0.7000, 0.0000])
    """

    def __call__(self, target: Tensor, output: Tensor) -> Tensor:
        return per_sample(self.shortfall(target, full_precision(output)))

    def shortfall(self, target: Tensor, output: Tensor) -> Tensor:
        """How much each output misses the margin by."""
        target = aligned(target, output)
        # Element by element, where Keras looks whether the whole batch is 0 and 1: rows must not depend on each other.
        signs = torch.where(target == 0, -1.0, target)
        return (1 - signs * output).clamp_min(0)

    def check(self, target: Tensor, output_shape: Shape) -> None:
        self.check_elementwise(target, output_shape, "Give one target, -1 or 1, for each of the model's outputs.")
        self.check_finite(target)
        self.refuse_rows(
            target,
            (target != 0) & (target.abs() != 1),
            "targets are neither -1 and 1, nor 0 and 1",
            "For labels of several classes use loss='categorical_hinge' with one-hot rows.",
        )


class SquaredHinge(Hinge):
    """`mean(max(1 - target * output, 0) ** 2)` of targets -1 and 1; 0 is read as -1.

    Example:
        >>> SquaredHinge()(torch.tensor([1.0]), torch.tensor([[0.5]]))
        tensor([0.2500])
    """

    def __call__(self, target: Tensor, output: Tensor) -> Tensor:
        return per_sample(self.shortfall(target, full_precision(output)).square())


class CategoricalHinge(Loss):
    """`max(best wrong score - right score + 1, 0)` of one-hot rows. Shapes: both `(B, ..., C)`.

    Computed as in Keras, where a right class adds a score of 0 to the wrong ones.

    Source: Crammer & Singer 2001, https://www.jmlr.org/papers/v2/crammer01a.html.

    Example:
        >>> CategoricalHinge()(torch.tensor([[0.0, 1.0]]), torch.tensor([[0.5, 1.25]]))
        tensor([0.2500])
    """

    def __call__(self, target: Tensor, output: Tensor) -> Tensor:
        if target.shape != output.shape:
            raise self.mismatch(target.shape, output.shape, "Give one-hot targets of the outputs' shape.")
        output = full_precision(output)
        target = target.to(output.dtype)
        right, wrong = (target * output).sum(-1), ((1 - target) * output).amax(-1)
        return per_sample((wrong - right + 1).clamp_min(0))

    def check(self, target: Tensor, output_shape: Shape) -> None:
        self.check_elementwise(target, output_shape, "Give one-hot rows, to_categorical(y), of the outputs' shape.")
        self.check_finite(target)
        one_hot = ((target == 0) | (target == 1)).all(-1) & (target.sum(-1) == 1)
        self.refuse_rows(
            target.argmax(-1), ~one_hot, "targets are not one-hot rows; the largest is class", "Use to_categorical(y)."
        )
