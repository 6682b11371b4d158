"""Losses for embeddings: what belongs together lies close.

`Contrastive` and `TripletMargin` have a value for each row by itself. `Triplet`, `SupervisedContrastive` and `Circle`
compare a row with the rows beside it: those that one call sees, which is one worker's share of a batch. Their values
are still one per row and still summed and divided by the rows of the whole batch; but with n workers a row meets an
nth of the others, so the result depends on the number of workers, and `fit` says so. A row that has no partner of its
class, or only such, counts 0. Give them batches in which classes come several times.
"""

from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from lepton_ai.core import ConfigError, unknown_name
from lepton_ai.training.component import number
from lepton_ai.training.loss import Loss, Shape, aligned, full_precision, per_sample

MINING = ("semi_hard", "hard")


class Contrastive(Loss):
    """`d²` for pairs that belong together (target 1), `max(margin - d, 0)²` for others (0); the output is d.

    Shapes: equal, `(B, ...)`; `(B,)` beside `(B, 1)` is aligned. The model gives the distance of its two inputs.

    Source: Hadsell, Chopra & LeCun 2006, https://doi.org/10.1109/CVPR.2006.100.

    Example:
        >>> Contrastive()(torch.tensor([1.0, 0.0]), torch.tensor([[0.5], [0.25]]))
        tensor([0.2500, 0.5625])
    """

    def __init__(self, margin: float = 1.0, *, name: str | None = None) -> None:
        super().__init__(name=name)
        self.margin = number("Contrastive.margin", margin, "(0, inf)")

    def __call__(self, target: Tensor, output: Tensor) -> Tensor:
        output = full_precision(output)
        target = aligned(target, output)
        return per_sample(target * output.square() + (1 - target) * (self.margin - output).clamp_min(0).square())

    def check(self, target: Tensor, output_shape: Shape) -> None:
        self.check_elementwise(target, output_shape, "Give one target, 1 or 0, for each distance.")
        self.check_finite(target)
        fix = "Code pairs that belong together as 1, others as 0."
        self.refuse_rows(target, (target < 0) | (target > 1), "targets lie outside [0, 1]", fix)


class TripletMargin(Loss):
    """`max(|a - p| - |a - n| + margin, 0)` of triples that the data brings: anchor, like, unlike.

    Shapes: outputs `(B, 3, D)`, the three embeddings; targets `(B,)` or `(B, 1)`, which are not read.

    Source: Schroff et al. 2015, https://arxiv.org/abs/1503.03832 (there with squared distances).

    Example:
        >>> TripletMargin()(torch.zeros(1), torch.tensor([[[0.0], [0.5], [1.0]]]))
        tensor([0.5000])
    """

    def __init__(self, margin: float = 1.0, *, name: str | None = None) -> None:
        super().__init__(name=name)
        self.margin = number("TripletMargin.margin", margin, "(0, inf)")

    def __call__(self, target: Tensor, output: Tensor) -> Tensor:
        self._fits(target, tuple(output.shape))
        anchor, like, unlike = full_precision(output).unbind(1)
        near, far = (anchor - like).norm(dim=-1), (anchor - unlike).norm(dim=-1)
        return torch.clamp_min(near - far + self.margin, 0)

    def check(self, target: Tensor, output_shape: Shape) -> None:
        self._fits(target, output_shape)
        self.check_finite(target)

    def _fits(self, target: Tensor, output_shape: Shape) -> None:
        if tuple(target.shape[1:]) not in ((), (1,)) or len(output_shape) != 3 or output_shape[1] != 3:
            fix = "End the model with three embeddings, (batch, 3, size), and give any one target per row."
            raise self.mismatch(target.shape, output_shape, fix)


class RowsLoss(Loss):
    """A loss over the pairs of rows in a call. Shapes: labels `(B,)` or `(B, 1)`, embeddings `(B, D)`."""

    pairs_rows: ClassVar[bool] = True

    def __call__(self, target: Tensor, output: Tensor) -> Tensor:
        self._fits(target, tuple(output.shape))
        labels = target.reshape(-1, 1)
        same = torch.eq(labels, labels.T)
        itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
        like, unlike = same & ~itself, ~same
        values = self.compare(full_precision(output), like, unlike)
        return values.masked_fill(~(self.partners(like).any(1) & unlike.any(1)), 0)

    def partners(self, like: Tensor) -> Tensor:
        """The pairs of which a row needs one to count, beside one unlike row."""
        return like

    @abstractmethod
    def compare(self, output: Tensor, like: Tensor, unlike: Tensor) -> Tensor:
        """The value of each row, `(B,)`, given which pairs `(B, B)` have one class (no row with itself), or two.

        What rows without a partner get is not used, but its gradient must be finite.
        """

    def check(self, target: Tensor, output_shape: Shape) -> None:
        self._fits(target, output_shape)
        self.check_finite(target)
        if target.is_floating_point():
            fix = "Give the number of each row's class."
            self.refuse_rows(target, target != target.floor(), "labels are not whole numbers", fix)

    def _fits(self, target: Tensor, output_shape: Shape) -> None:
        if tuple(target.shape[1:]) not in ((), (1,)) or len(output_shape) != 2:
            fix = "Give one class label per row, and end the model with one embedding per row, (batch, size)."
            raise self.mismatch(target.shape, output_shape, fix)


class Triplet(RowsLoss):
    """`max(|a - p| - |a - n| + margin, 0)` of triples found among the rows: an anchor, one like it, one unlike.

    `mining="semi_hard"`: for each pair of a class, the nearest unlike row that is farther than the like one, or else
    the farthest; a row's value is the mean over its like ones. `"hard"`: the farthest like and the nearest unlike row.
    Distances are Euclidean; let the model normalise its embeddings (UnitNormalization) if only angles should count.

    Source: Schroff et al. 2015, https://arxiv.org/abs/1503.03832; Hermans et al. 2017, https://arxiv.org/abs/1703.07737.

    Example:
        >>> Triplet(mining="hard")(torch.tensor([0, 0, 1]), torch.tensor([[0.0], [1.0], [1.5]]))
        tensor([0.5000, 1.5000, 0.0000])
    """

    def __init__(self, margin: float = 1.0, mining: str = "semi_hard", *, name: str | None = None) -> None:
        super().__init__(name=name)
        self.margin = number("Triplet.margin", margin, "(0, inf)")
        if mining not in MINING:
            raise unknown_name("mining", mining, list(MINING), at="Triplet.mining")
        self.mining = mining

    def compare(self, output: Tensor, like: Tensor, unlike: Tensor) -> Tensor:
        distance = torch.cdist(output, output, compute_mode="donot_use_mm_for_euclid_dist")
        if self.mining == "hard":
            far, near = distance.masked_fill(~like, 0).amax(1), distance.masked_fill(~unlike, _FAR).amin(1)
            return (far - near + self.margin).clamp_min(0)
        # Sorted, the first unlike distance beyond a like one is a search, not an array of all triples.
        others = distance.masked_fill(~unlike, _FAR).sort(1).values
        last = (unlike.sum(1, keepdim=True) - 1).clamp_min(0)
        place = torch.searchsorted(others.detach(), distance.detach(), right=True)
        unlikes = others.gather(1, torch.minimum(place, last))
        values = (distance - unlikes + self.margin).clamp_min(0).masked_fill(~like, 0)
        return values.sum(1) / like.sum(1).clamp_min(1)


class SupervisedContrastive(RowsLoss):
    """How surely a row's like ones are found among all others: the mean of `-log softmax(cosine / temperature)`.

    With a label of its own for each image, shared by its augmented views, this is SimCLR's loss (NT-Xent).

    Source: Khosla et al. 2020, https://arxiv.org/abs/2004.11362; Chen et al. 2020, https://arxiv.org/abs/2002.05709.

    Example:
        >>> labels = torch.tensor([0, 0, 1])
        >>> SupervisedContrastive(1.0)(labels, torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
        tensor([0.3133, 0.3133, 0.0000])
    """

    def __init__(self, temperature: float = 0.1, *, name: str | None = None) -> None:
        super().__init__(name=name)
        self.temperature = number("SupervisedContrastive.temperature", temperature, "(0, inf)")

    def compare(self, output: Tensor, like: Tensor, unlike: Tensor) -> Tensor:
        unit = F.normalize(output, dim=1)
        scores = (unit @ unit.T / self.temperature).to(output.dtype)
        scores = scores.masked_fill(~(like | unlike), -_FAR)
        surprise = scores.logsumexp(1, keepdim=True) - scores
        return surprise.masked_fill(~like, 0).sum(1) / like.sum(1).clamp_min(1)


class Circle(RowsLoss):
    """`softplus(logsumexp(like pairs) + logsumexp(unlike pairs))`, each pair weighed by how far it is from its best.

    Embeddings of length 1. With d = 1 - cosine, a like pair counts `gamma (d + margin) (d - margin)`, an unlike one
    `gamma (1 + margin - d) (1 - margin - d)`. Values as in Keras, whose mean however leaves out the rows at 0.

    Source: Sun et al. 2020, https://arxiv.org/abs/2002.10857.

    Example:
        >>> Circle(gamma=1.0)(torch.tensor([0, 0, 1]), torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
        tensor([0.5459, 0.5459, 0.0000])
    """

    def __init__(
        self, gamma: float = 80.0, margin: float = 0.4, remove_diagonal: bool = True, *, name: str | None = None
    ) -> None:
        super().__init__(name=name)
        self.gamma = number("Circle.gamma", gamma, "(0, inf)")
        self.margin = number("Circle.margin", margin, "[0, 1]")
        self.remove_diagonal = remove_diagonal

    def compare(self, output: Tensor, like: Tensor, unlike: Tensor) -> Tensor:
        distance = (1 - output @ output.T).to(output.dtype).clamp_min(0)
        like = ~unlike if not self.remove_diagonal else like
        near = self.gamma * (distance + self.margin) * (distance - self.margin)
        far = self.gamma * (1 + self.margin - distance).clamp_min(0) * (1 - self.margin - distance)
        return F.softplus(near.masked_fill(~like, -_FAR).logsumexp(1) + far.masked_fill(~unlike, -_FAR).logsumexp(1))

    def partners(self, like: Tensor) -> Tensor:
        return like if self.remove_diagonal else torch.ones_like(like)

    def check_outputs(self, output: Tensor) -> None:
        length = output.detach().float().norm(dim=-1)
        off = ((length - 1).abs() > 0.01) & (length > 0)  # a vector of zeros has no length to bring to 1
        if bool(off.any()):
            raise ConfigError(
                f"embeddings must have length 1, one has {length[off][0].item():.4g}",
                at=self.name,
                fix="End the model with UnitNormalization().",
            )


_FAR = 1e30  # beyond any distance or score, and finite, so that gradients are
