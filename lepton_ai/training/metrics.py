"""The metrics by name, and which accuracy "accuracy" means."""

from collections.abc import Callable, Mapping

from torch import Tensor

from lepton_ai.core import ConfigError, Registry, snake_case
from lepton_ai.training import losses
from lepton_ai.training.classification_metrics import (
    Accuracy,
    BinaryAccuracy,
    CategoricalAccuracy,
    SignAccuracy,
    SparseCategoricalAccuracy,
    SparseTopKCategoricalAccuracy,
    TopKCategoricalAccuracy,
)
from lepton_ai.training.component import resolve
from lepton_ai.training.confusion_metrics import (
    CountMetric,
    F1Score,
    FalseNegatives,
    FalsePositives,
    FBetaScore,
    Precision,
    Recall,
    TrueNegatives,
    TruePositives,
)
from lepton_ai.training.curve_metrics import (
    AUC,
    PrecisionAtRecall,
    RecallAtPrecision,
    SensitivityAtSpecificity,
    SpecificityAtSensitivity,
)
from lepton_ai.training.loss import Loss, Shape
from lepton_ai.training.loss_metrics import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    CategoricalHinge,
    Hinge,
    KLDivergence,
    LogCoshError,
    Poisson,
    SparseCategoricalCrossentropy,
    SquaredHinge,
)
from lepton_ai.training.losses import LOSSES
from lepton_ai.training.matrix_metrics import (
    AgreementMetric,
    BalancedAccuracy,
    BinaryIoU,
    CohenKappa,
    IoU,
    MatthewsCorrelation,
    MeanIoU,
    OneHotIoU,
    OneHotMeanIoU,
)
from lepton_ai.training.metric import FunctionMetric, LossMetric, Mean, MeanLoss, MeanMetric, Metric, Sum
from lepton_ai.training.regression_metrics import (
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    R2Score,
    RootMeanSquaredError,
)
from lepton_ai.training.similarity_metrics import (
    ConcordanceCorrelation,
    CosineSimilarity,
    PearsonCorrelation,
)

__all__ = [
    "AUC",
    "METRICS",
    "Accuracy",
    "BalancedAccuracy",
    "BinaryAccuracy",
    "BinaryCrossentropy",
    "BinaryIoU",
    "CategoricalAccuracy",
    "CategoricalCrossentropy",
    "CategoricalHinge",
    "CohenKappa",
    "ConcordanceCorrelation",
    "CosineSimilarity",
    "F1Score",
    "FBetaScore",
    "FalseNegatives",
    "FalsePositives",
    "FunctionMetric",
    "Hinge",
    "IoU",
    "KLDivergence",
    "LogCoshError",
    "LossMetric",
    "MatthewsCorrelation",
    "Mean",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanIoU",
    "MeanLoss",
    "MeanMetric",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "Metric",
    "OneHotIoU",
    "OneHotMeanIoU",
    "PearsonCorrelation",
    "Poisson",
    "Precision",
    "PrecisionAtRecall",
    "R2Score",
    "Recall",
    "RecallAtPrecision",
    "RootMeanSquaredError",
    "SensitivityAtSpecificity",
    "SignAccuracy",
    "SparseCategoricalAccuracy",
    "SparseCategoricalCrossentropy",
    "SparseTopKCategoricalAccuracy",
    "SpecificityAtSensitivity",
    "SquaredHinge",
    "Sum",
    "TopKCategoricalAccuracy",
    "TrueNegatives",
    "TruePositives",
    "get_metric",
]

METRICS = Registry[type[Metric]]("metric")
"""Every metric by its class name, its Keras name and its aliases; add your own to load models that use it."""

_CLASSES: dict[type[Metric], tuple[str, ...]] = {
    AUC: (),
    Accuracy: (),
    BalancedAccuracy: (),
    BinaryAccuracy: (),
    BinaryCrossentropy: ("bce", "BCE"),
    BinaryIoU: ("binary_iou",),
    CategoricalAccuracy: (),
    CategoricalCrossentropy: (),
    CategoricalHinge: (),
    CohenKappa: (),
    ConcordanceCorrelation: (),
    CosineSimilarity: (),
    F1Score: (),
    FBetaScore: ("fbeta_score",),
    FalseNegatives: (),
    FalsePositives: (),
    Hinge: (),
    IoU: ("iou",),
    KLDivergence: ("kld", "KLD"),
    LogCoshError: ("logcosh", "log_cosh"),
    LossMetric: (),
    MatthewsCorrelation: ("mcc",),
    Mean: (),
    MeanAbsoluteError: ("mae", "MAE"),
    MeanAbsolutePercentageError: ("mape", "MAPE"),
    MeanIoU: ("mean_iou",),
    MeanSquaredError: ("mse", "MSE"),
    MeanSquaredLogarithmicError: ("msle", "MSLE"),
    OneHotIoU: ("one_hot_iou",),
    OneHotMeanIoU: ("one_hot_mean_iou",),
    PearsonCorrelation: (),
    Poisson: (),
    Precision: (),
    PrecisionAtRecall: (),
    R2Score: (),
    Recall: (),
    RecallAtPrecision: (),
    RootMeanSquaredError: ("rmse", "RMSE"),
    SensitivityAtSpecificity: (),
    SignAccuracy: (),
    SparseCategoricalAccuracy: (),
    SparseCategoricalCrossentropy: (),
    SparseTopKCategoricalAccuracy: (),
    SpecificityAtSensitivity: (),
    SquaredHinge: (),
    Sum: (),
    TopKCategoricalAccuracy: (),
    TrueNegatives: (),
    TruePositives: (),
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
        >>> get_metric("accuracy", loss=losses.BinaryCrossentropy(from_logits=True))
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
    logits = isinstance(loss, losses.BinaryCrossentropy) and loss.from_logits
    if name.lower() in ("accuracy", "acc"):
        made = _accuracy(loss, output_shape, target_shape)
        return BinaryAccuracy(0.0, name=name) if logits else made(name=name)
    if name not in METRICS and name in LOSSES:
        return LossMetric(loss if type(loss) is LOSSES.get(name) else name, name=name)
    metric = resolve(METRICS, name, Metric, at="compile(metrics=...)")  # type: ignore[type-abstract]
    if isinstance(metric, MeanLoss) and type(metric.loss) is type(loss):
        metric = LossMetric(loss)
    elif logits:
        metric = _of_logits(metric)
    metric.name = name
    return metric


def _of_logits(metric: Metric) -> Metric:
    """A metric of probabilities, made by its name alone, as one of logits: those above 0 mean above 0.5."""
    if isinstance(metric, AUC):
        return AUC(from_logits=True)
    if isinstance(metric, BinaryAccuracy | Precision | Recall | CountMetric | AgreementMetric):
        return type(metric)(0.0)
    return type(metric)(threshold=0.0) if isinstance(metric, FBetaScore | BinaryIoU) else metric


def _accuracy(loss: Loss | None, output_shape: Shape | None, target_shape: Shape | None) -> type[MeanMetric]:
    for kind, made in _ACCURACIES.items():
        if isinstance(loss, kind):
            return made
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


_ACCURACIES: dict[type[Loss], type[MeanMetric]] = {
    losses.BinaryCrossentropy: BinaryAccuracy,
    losses.CategoricalCrossentropy: CategoricalAccuracy,
    losses.SparseCategoricalCrossentropy: SparseCategoricalAccuracy,
    losses.Hinge: SignAccuracy,
    losses.CategoricalHinge: CategoricalAccuracy,
}
