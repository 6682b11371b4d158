"""Class weights: one number for each class, and rows that have one class each."""

import torch
from torch import Tensor

from lepton_ai.core import DataError, UsageError
from lepton_ai.training.loss import Loss
from lepton_ai.training.regression_losses import RegressionLoss

_AT = "fit(class_weight=...)"
_FIX = "Give a sample_weight for each row instead."


def check_classes(loss: Loss, target: Tensor) -> None:
    """Refuse what is not one class per row: labels (B,) or (B, 1), or one-hot rows (B, C).

    Raises: UsageError for a loss of quantities; DataError for soft, multi-hot or element-wise targets.
    """
    if isinstance(loss, RegressionLoss):
        raise UsageError(f"{loss.name} is a loss of quantities, which have no classes", at=_AT, fix=_FIX)
    if target.ndim > 2:
        raise DataError("the targets have several classes per row", at=_AT, got=tuple(target.shape), fix=_FIX)
    one_hot = target.ndim == 2 and target.shape[1] > 1
    if one_hot:
        values = target.to(torch.float32)
        bad = ((values != 0) & (values != 1)).any(1) | (values.sum(1) != 1)
        what = "are not one-hot (soft or several labels)"
    else:
        values = target.reshape(-1).to(torch.float64)
        bad = values != values.floor()
        what = "are not whole class numbers (soft labels)"
    if bool(bad.any()):
        row = int(bad.to(torch.uint8).argmax())
        got = target[row].tolist()
        raise DataError(
            f"class_weight needs one class per row; targets {what}, the first in row {row}: {got}", at=_AT, fix=_FIX
        )


def weights_of(class_weight: Tensor, target: Tensor) -> Tensor:
    """The weight of each row's class, `(B,)`.

    Raises: DataError for a class that has none.
    """
    one_hot = target.ndim > 1 and target.shape[-1] > 1
    classes = target.argmax(-1) if one_hot else target.reshape(-1).long()
    if classes.numel() and not 0 <= int(classes.min()) <= int(classes.max()) < len(class_weight):
        raise DataError(
            f"class_weight is for the classes 0 to {len(class_weight) - 1}, the targets hold others", at="fit"
        )
    return class_weight[classes]
