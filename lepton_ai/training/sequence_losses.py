"""Losses for sequences whose steps are not matched to the target's."""

import torch
from torch import Tensor
from torch.nn import functional as F

from lepton_ai.core import DataError
from lepton_ai.training.loss import Loss, Shape, full_precision

BLANK = 0


class CTC(Loss):
    """Connectionist temporal classification: `-log` of the probability of all paths that spell the target.

    Shapes: targets `(B, L)`, class numbers from 1, padded with 0 on the right; outputs `(B, T, C)`, scores (logits) of
    which class 0 is the blank. A path spells the target once repeats are merged and blanks are dropped, so a target of
    n symbols of which r equal the one before needs n + r steps.

    Source: Graves et al. 2006, https://doi.org/10.1145/1143844.1143891.

    Raises: DataError if a target has no path: too long for the steps, a gap inside, or a class that is not there.

    Example:
        >>> CTC()(torch.tensor([[1, 0]]), torch.zeros(1, 2, 3))
        tensor([1.0986])
    """

    def __call__(self, target: Tensor, output: Tensor) -> Tensor:
        if target.ndim != 2 or output.ndim != 3 or len(target) != len(output):
            raise self.mismatch(target.shape, output.shape, _FIX)
        rows, steps, _ = output.shape
        # in float32, and under autocast too: the paths' probabilities are tiny
        log = full_precision(output).log_softmax(-1).transpose(0, 1)
        if log.dtype not in (torch.float32, torch.float64):
            log = log.float()
        labels = target.long()
        taken = torch.full((rows,), steps, dtype=torch.long, device=output.device)
        lengths = (labels != BLANK).sum(1)
        values: Tensor = F.ctc_loss(log, labels, taken, lengths, BLANK, reduction="none")
        return values

    def check(self, target: Tensor, output_shape: Shape) -> None:
        if target.ndim != 2 or len(output_shape) != 3:
            raise self.mismatch(target.shape, output_shape, _FIX)
        self.check_finite(target)
        steps, classes = output_shape[1:]
        if target.is_floating_point():
            self.refuse_rows(target, target != target.floor(), "labels are not whole numbers", "Number the symbols.")
        labels = target.long()
        outside = (labels < 0) if classes is None else (labels < 0) | (labels >= classes)
        self.refuse_rows(
            labels,
            outside,
            f"labels lie outside [1, {classes}), with 0 for padding",
            "Class 0 is the blank: number the symbols from 1, and give the last layer one unit more than symbols.",
        )
        gap = (labels[:, 1:] != BLANK) & (labels[:, :-1] == BLANK)
        self.refuse_rows(
            labels[:, 1:], gap, "a symbol stands behind a 0, which is the padding", "Pad on the right, number from 1."
        )
        repeats = (labels[:, 1:] == labels[:, :-1]) & (labels[:, 1:] != BLANK)
        needed = (labels != BLANK).sum(1) + repeats.sum(1)
        if steps is not None and bool((needed > steps).any()):
            row = int((needed > steps).nonzero()[0, 0])
            raise DataError(
                f"no path of {steps} steps spells the target of row {row}, which needs {int(needed[row])}",
                at=self.name,
                fix="Let the model give more steps (smaller strides), or leave out rows whose target is too long.",
            )


_FIX = "Give labels (batch, length), padded with 0, and end the model with scores (batch, steps, classes)."
