"""Cross-entropies that weigh an answer by how right it is: focal ones look at the hard rows, the general one less."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from lepton_ai.core import ShapeError
from lepton_ai.training.classification_losses import (
    EPSILON,
    BinaryCrossentropy,
    CategoricalCrossentropy,
    SparseCategoricalCrossentropy,
    safe_log,
)
from lepton_ai.training.component import number
from lepton_ai.training.loss import Shape, aligned, full_precision, per_sample


class BinaryFocalCrossentropy(BinaryCrossentropy):
    """Binary cross-entropy times `(1 - p) ** gamma`, p being the probability given to the truth, for rare answers.

    `apply_class_balancing` also weighs yes by `alpha` and no by `1 - alpha`. Shapes as `BinaryCrossentropy`.

    Source: Lin et al. 2017, https://arxiv.org/abs/1708.02002.

    Example:
        >>> BinaryFocalCrossentropy()(torch.tensor([1.0, 1.0]), torch.tensor([[0.5], [0.9]]))
        tensor([0.1733, 0.0011])
    """

    def __init__(
        self,
        apply_class_balancing: bool = False,
        alpha: float = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        *,
        name: str | None = None,
    ) -> None:
        super().__init__(from_logits, label_smoothing, name=name)
        self.apply_class_balancing = apply_class_balancing
        self.alpha = number("BinaryFocalCrossentropy.alpha", alpha, "[0, 1]")
        self.gamma = number("BinaryFocalCrossentropy.gamma", gamma, "[0, inf)")

    def __call__(self, target: Tensor, output: Tensor) -> Tensor:
        output = full_precision(output)
        target = aligned(target, output)
        if self.label_smoothing:
            target = target * (1 - self.label_smoothing) + 0.5 * self.label_smoothing
        if self.from_logits:
            values = F.binary_cross_entropy_with_logits(output, target, reduction="none")
            chance = output.sigmoid()
        else:
            chance, kept = output, output.clamp(EPSILON, 1 - EPSILON)
            values = -(target * kept.log() + (1 - target) * (1 - kept).log())
        missed = 1 - (target * chance + (1 - target) * (1 - chance))
        # a power below one has no finite slope at 0
        values = missed.clamp_min(EPSILON) ** self.gamma * values
        if self.apply_class_balancing:
            values = values * (target * self.alpha + (1 - target) * (1 - self.alpha))
        return per_sample(values)


class CategoricalFocalCrossentropy(CategoricalCrossentropy):
    """Cross-entropy against one-hot rows with each class's share times `alpha * (1 - p) ** gamma`.

    `alpha` is one number, or one for each class. Shapes and probabilities as `CategoricalCrossentropy`.

    Source: Lin et al. 2017, https://arxiv.org/abs/1708.02002.

    Example:
        >>> CategoricalFocalCrossentropy()(torch.tensor([[0.0, 1.0]]), torch.tensor([[0.5, 0.5]]))
        tensor([0.0433])
    """

    def __init__(
        self,
        alpha: float | Sequence[float] = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        *,
        name: str | None = None,
    ) -> None:
        super().__init__(from_logits, label_smoothing, axis, name=name)
        at = "CategoricalFocalCrossentropy"
        self.alpha: float | list[float]
        if isinstance(alpha, int | float):
            self.alpha = number(f"{at}.alpha", alpha, "[0, inf)")
        else:
            self.alpha = [number(f"{at}.alpha[{index}]", each, "[0, inf)") for index, each in enumerate(alpha)]
        self.gamma = number(f"{at}.gamma", gamma, "[0, inf)")

    def __call__(self, target: Tensor, output: Tensor) -> Tensor:
        if target.shape != output.shape:
            raise self.mismatch(target.shape, output.shape, "Give one-hot targets of the outputs' shape.")
        output, target = full_precision(output).movedim(self.axis, -1), target.movedim(self.axis, -1)
        target = target.to(output.dtype)
        if self.label_smoothing:
            target = target * (1 - self.label_smoothing) + self.label_smoothing / output.shape[-1]
        if self.from_logits:
            log = output.log_softmax(-1)
            chance = log.exp()
        else:
            chance = output / output.sum(-1, keepdim=True)
            log = safe_log(chance)
        share = (1 - chance).clamp_min(EPSILON) ** self.gamma * output.new_tensor(self.alpha)
        return per_sample(-(target * share * log).sum(-1))

    def check(self, target: Tensor, output_shape: Shape) -> None:
        super().check(target, output_shape)
        if isinstance(self.alpha, list) and len(self.alpha) != output_shape[self.axis]:
            raise ShapeError(
                at=f"{self.name}.alpha",
                got=len(self.alpha),
                expected=f"one for each of {output_shape[self.axis]} classes",
            )


class CategoricalGeneralizedCrossEntropy(SparseCategoricalCrossentropy):
    """`(1 - p ** q) / q`, p being the probability of the labelled class: for labels some of which are wrong.

    Near q = 0 it is the cross-entropy, at 1 the absolute error, which wrong labels move less. Shapes: labels `(B, ...)`
    or `(B, ..., 1)`, probabilities `(B, ..., C)`, which are not divided by their sum, as in Keras.

    Source: Zhang & Sabuncu 2018, https://arxiv.org/abs/1805.07836.

    Example:
        >>> CategoricalGeneralizedCrossEntropy()(torch.tensor([1]), torch.tensor([[0.75, 0.25]]))
        tensor([1.])
    """

    def __init__(self, q: float = 0.5, *, name: str | None = None) -> None:
        super().__init__(name=name)
        self.q = number("CategoricalGeneralizedCrossEntropy.q", q, "(0, 1)")

    def __call__(self, target: Tensor, output: Tensor) -> Tensor:
        output = full_precision(output)
        labels = self._labels(target, output.ndim - 1)
        if labels.shape != output.shape[:-1]:
            raise self.mismatch(target.shape, output.shape, "Give one label for each row of class probabilities.")
        chance = output.gather(-1, labels.unsqueeze(-1)).squeeze(-1)
        # a power below one has no finite slope at 0
        return per_sample((1 - chance.clamp_min(torch.finfo(chance.dtype).tiny) ** self.q) / self.q)
