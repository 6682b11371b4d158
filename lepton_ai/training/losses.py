"""The losses by name, and functions of the user's own as losses."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from lepton_ai.core import ConfigError, Registry, ShapeError, snake_case
from lepton_ai.training.classification_losses import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    KLDivergence,
    SparseCategoricalCrossentropy,
)
from lepton_ai.training.component import resolve
from lepton_ai.training.embedding_losses import (
    Circle,
    Contrastive,
    SupervisedContrastive,
    Triplet,
    TripletMargin,
)
from lepton_ai.training.focal_losses import (
    BinaryFocalCrossentropy,
    CategoricalFocalCrossentropy,
    CategoricalGeneralizedCrossEntropy,
)
from lepton_ai.training.loss import Loss, full_precision, per_sample
from lepton_ai.training.margin_losses import (
    CategoricalHinge,
    Hinge,
    SquaredHinge,
)
from lepton_ai.training.overlap_losses import (
    Dice,
    Jaccard,
    Tversky,
)
from lepton_ai.training.regression_losses import (
    CosineSimilarity,
    Huber,
    LogCosh,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    Pinball,
    Poisson,
)
from lepton_ai.training.sequence_losses import (
    CTC,
)

__all__ = [
    "CTC",
    "LOSSES",
    "BinaryCrossentropy",
    "BinaryFocalCrossentropy",
    "CategoricalCrossentropy",
    "CategoricalFocalCrossentropy",
    "CategoricalGeneralizedCrossEntropy",
    "CategoricalHinge",
    "Circle",
    "Contrastive",
    "CosineSimilarity",
    "Dice",
    "FunctionLoss",
    "Hinge",
    "Huber",
    "Jaccard",
    "KLDivergence",
    "LogCosh",
    "Loss",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "Pinball",
    "Poisson",
    "SparseCategoricalCrossentropy",
    "SquaredHinge",
    "SupervisedContrastive",
    "Triplet",
    "TripletMargin",
    "Tversky",
    "get_loss",
]

LOSSES = Registry[type[Loss]]("loss")
"""Every loss by its class name, its Keras name and its aliases; add your own to load models that use it."""

_CLASSES: dict[type[Loss], tuple[str, ...]] = {
    BinaryCrossentropy: ("bce", "BCE"),
    BinaryFocalCrossentropy: (),
    CTC: (),
    CategoricalCrossentropy: (),
    CategoricalFocalCrossentropy: (),
    CategoricalGeneralizedCrossEntropy: (),
    CategoricalHinge: (),
    Circle: (),
    Contrastive: (),
    CosineSimilarity: (),
    Dice: (),
    Hinge: (),
    Huber: (),
    Jaccard: ("iou",),
    KLDivergence: ("kld", "KLD"),
    LogCosh: ("logcosh",),
    MeanAbsoluteError: ("mae", "MAE"),
    MeanAbsolutePercentageError: ("mape", "MAPE"),
    MeanSquaredError: ("mse", "MSE"),
    MeanSquaredLogarithmicError: ("msle", "MSLE"),
    Pinball: ("quantile",),
    Poisson: (),
    SparseCategoricalCrossentropy: (),
    SquaredHinge: (),
    SupervisedContrastive: (),
    Triplet: (),
    TripletMargin: (),
    Tversky: (),
}
for _class, _aliases in _CLASSES.items():
    LOSSES.add(snake_case(_class.__name__), _class, _class.__name__, *_aliases)


class FunctionLoss(Loss):
    """A function `(target, output) -> values` as a loss; axes behind the first are averaged.

    It cannot be stored: a model compiled with it must be compiled again after loading.
    """

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor], *, name: str | None = None) -> None:
        super().__init__(name=name or getattr(function, "__name__", None))
        self.function = function

    def __call__(self, target: Tensor, output: Tensor) -> Tensor:
        output = full_precision(output)
        values = self.function(target, output)
        if values.ndim == 0 or values.shape[0] != output.shape[0]:
            raise ShapeError(
                f"the function returned shape {tuple(values.shape)} for outputs of shape {tuple(output.shape)}",
                at=self.name,
                fix="Return one value per sample, without a mean or sum over the batch.",
            )
        return per_sample(values)


def get_loss(loss: str | Loss | type[Loss] | Mapping[str, object] | Callable[[Tensor, Tensor], Tensor]) -> Loss:
    """A loss from its Keras name, itself, its stored `config()`, or a function `(target, output) -> values`.

    Raises: UnknownNameError with the nearest name; ConfigError for anything else.

    Example:
        >>> get_loss("mse"), get_loss("Huber")
        (MeanSquaredError(), Huber(delta=1.0))
    """
    if isinstance(loss, torch.nn.Module):
        raise ConfigError(
            at="compile(loss=...)",
            got=type(loss).__name__,
            expected="a loss name, a Loss, or a function of (target, output)",
            fix="Torch's take (output, target) and reduce: write lambda target, output: "
            'torch.nn.functional.mse_loss(output, target, reduction="none").',
        )
    if callable(loss) and not isinstance(loss, Loss | type):
        return FunctionLoss(loss)
    return resolve(LOSSES, loss, Loss, at="compile(loss=...)")  # type: ignore[type-abstract]
