"""The metrics by name, and which accuracy "accuracy" means."""

from collections.abc import Callable, Mapping

from torch import Tensor

from lepton_ai.core import ConfigError, Registry, snake_case
from lepton_ai.training.classification_losses import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    SparseCategoricalCrossentropy,
)
from lepton_ai.training.classification_metrics import (
    Accuracy,
    BinaryAccuracy,
    CategoricalAccuracy,
    SparseCategoricalAccuracy,
    SparseTopKCategoricalAccuracy,
    TopKCategoricalAccuracy,
)
from lepton_ai.training.component import resolve
from lepton_ai.training.confusion_metrics import AUC, F1Score, Precision, Recall
from lepton_ai.training.loss import Loss, Shape
from lepton_ai.training.losses import LOSSES
from lepton_ai.training.metric import FunctionMetric, LossMetric, Mean, MeanMetric, Metric
from lepton_ai.training.regression_metrics import (
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    R2Score,
    RootMeanSquaredError,
)

__all__ = [
    "AUC",
    "METRICS",
    "Accuracy",
    "BinaryAccuracy",
    "CategoricalAccuracy",
    "F1Score",
    "FunctionMetric",
    "LossMetric",
    "Mean",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanMetric",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "Metric",
    "Precision",
    "R2Score",
    "Recall",
    "RootMeanSquaredError",
    "SparseCategoricalAccuracy",
    "SparseTopKCategoricalAccuracy",
    "TopKCategoricalAccuracy",
    "get_metric",
]

METRICS = Registry[type[Metric]]("metric")
"""Every metric by its class name, its Keras name and its aliases; add your own to load models that use it."""

_CLASSES: dict[type[Metric], tuple[str, ...]] = {
    AUC: (),
    Accuracy: (),
    BinaryAccuracy: (),
    CategoricalAccuracy: (),
    F1Score: (),
    LossMetric: (),
    Mean: (),
    MeanAbsoluteError: ("mae", "MAE"),
    MeanAbsolutePercentageError: ("mape", "MAPE"),
    MeanSquaredError: ("mse", "MSE"),
    MeanSquaredLogarithmicError: ("msle", "MSLE"),
    Precision: (),
    R2Score: (),
    Recall: (),
    RootMeanSquaredError: ("rmse", "RMSE"),
    SparseCategoricalAccuracy: (),
    SparseTopKCategoricalAccuracy: (),
    TopKCategoricalAccuracy: (),
}
for _class, _aliases in _CLASSES.items():
    METRICS.add(snake_case(_class.__name__), _class, _class.__name__, *_aliases)


def get_metric(
    metric: str | Metric | type[Metric] | Mapping[str, object] | Callable[[Tensor, Tensor], Tensor],
    *,
    loss: Loss | None = None,
    output_shape: Shape | None = None,
    target_shape: Shape | None = None,
) -> Metric:
    """A metric from its Keras name, itself, its stored `config()`, a loss's name, or a function.

    "accuracy" (or "acc") follows the loss: binary, categorical or sparse categorical; beside another loss it follows
    the shapes, as in Keras: one output unit is binary, targets without a class axis are sparse. A binary loss over
    several units means each unit's own answer (Keras would compare the largest ones). Where a binary loss works on
    logits, names that cut probabilities at 0.5 cut at 0, which is the same.

    Raises: UnknownNameError with the nearest name; ConfigError for anything else.

    Example:
        >>> get_metric("accuracy", loss=BinaryCrossentropy(from_logits=True))
        BinaryAccuracy(threshold=0.0)
    """
    if isinstance(metric, Metric):
        return metric
    if isinstance(metric, str):
        return _by_name(metric, loss, output_shape, target_shape)
    if isinstance(metric, Loss):
        return LossMetric(metric)
    if callable(metric) and not isinstance(metric, type):
        return FunctionMetric(metric)
    return resolve(METRICS, metric, Metric, at="compile(metrics=...)")  # type: ignore[type-abstract]


def check_metric_name(name: str) -> None:
    """Refuse a name that is no metric's, before shapes are known.

    Raises: UnknownNameError with the nearest name.
    """
    if name.lower() not in ("accuracy", "acc") and name not in LOSSES:
        resolve(METRICS, name, Metric, at="compile(metrics=...)")  # type: ignore[type-abstract]


def _by_name(name: str, loss: Loss | None, output_shape: Shape | None, target_shape: Shape | None) -> Metric:
    logits = isinstance(loss, BinaryCrossentropy) and loss.from_logits
    if name.lower() in ("accuracy", "acc"):
        made = _accuracy(loss, output_shape, target_shape)
        return BinaryAccuracy(0.0, name=name) if logits else made(name=name)
    if name not in METRICS and name in LOSSES:
        kind = LOSSES.get(name)
        return LossMetric(loss if isinstance(loss, kind) else kind(), name=name)
    metric = resolve(METRICS, name, Metric, at="compile(metrics=...)")  # type: ignore[type-abstract]
    if logits and isinstance(metric, BinaryAccuracy | Precision | Recall):
        metric = type(metric)(0.0)
    elif logits and isinstance(metric, AUC):
        metric = AUC(from_logits=True)
    metric.name = name
    return metric


def _accuracy(loss: Loss | None, output_shape: Shape | None, target_shape: Shape | None) -> type[MeanMetric]:
    if isinstance(loss, BinaryCrossentropy):
        return BinaryAccuracy
    if isinstance(loss, CategoricalCrossentropy):
        return CategoricalAccuracy
    if isinstance(loss, SparseCategoricalCrossentropy):
        return SparseCategoricalAccuracy
    if output_shape is not None and (len(output_shape) < 2 or output_shape[-1] == 1):
        return BinaryAccuracy
    if output_shape is not None and target_shape is not None:
        sparse = len(target_shape) < len(output_shape) or target_shape[-1] == 1
        return SparseCategoricalAccuracy if sparse else CategoricalAccuracy
    raise ConfigError(
        "which accuracy is meant cannot be told from the loss",
        at="compile(metrics=...)",
        got="accuracy",
        fix="Write 'binary_accuracy', 'categorical_accuracy' or 'sparse_categorical_accuracy'.",
    )
