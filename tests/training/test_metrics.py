from typing import ClassVar

import pytest
import torch
from torch import Tensor

from lepton_ai.core import ConfigError, ShapeError, UnknownNameError
from lepton_ai.training.losses import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    Huber,
    MeanSquaredError,
    SparseCategoricalCrossentropy,
)
from lepton_ai.training.metrics import (
    AUC,
    BinaryAccuracy,
    CategoricalAccuracy,
    F1Score,
    FalsePositives,
    FBetaScore,
    LossMetric,
    Mean,
    Metric,
    Precision,
    R2Score,
    Recall,
    SparseCategoricalAccuracy,
    SparseTopKCategoricalAccuracy,
    TrueNegatives,
    get_metric,
)
from tests.contracts.metric import MetricContract

SEED = torch.Generator().manual_seed(11)
SCORES = torch.rand(12, 1, generator=SEED)
ROWS = torch.randn(12, 4, generator=SEED).softmax(-1)
LABELS = torch.randint(0, 4, (12,), generator=SEED)
YES = (torch.rand(12, generator=SEED) < 0.5).float()
AMOUNTS = torch.rand(12, 3, generator=SEED) + 0.5


class Binary(MetricContract):
    def pair(self) -> tuple[Tensor, Tensor]:
        return YES, SCORES


class Sparse(MetricContract):
    def pair(self) -> tuple[Tensor, Tensor]:
        return LABELS, ROWS


class Categorical(MetricContract):
    def pair(self) -> tuple[Tensor, Tensor]:
        return torch.eye(4)[LABELS], ROWS


class Regression(MetricContract):
    def pair(self) -> tuple[Tensor, Tensor]:
        return AMOUNTS, AMOUNTS.flip(0) + 0.1


class TestAccuracy(MetricContract):
    name: ClassVar[str] = "Accuracy"

    def make(self) -> Metric:
        return get_metric({"class": "Accuracy", "config": {"name": "Accuracy"}})

    def pair(self) -> tuple[Tensor, Tensor]:
        return LABELS, ROWS.argmax(-1)

    def test_is_found_by_name(self) -> None:
        assert get_metric(type(self.make())).name == "accuracy"


class TestBinaryAccuracy(Binary):
    name = "binary_accuracy"


class TestCategoricalAccuracy(Categorical):
    name = "categorical_accuracy"


class TestSparseCategoricalAccuracy(Sparse):
    name = "sparse_categorical_accuracy"


class TestTopKCategoricalAccuracy(Categorical):
    name = "top_k_categorical_accuracy"


class TestSparseTopKCategoricalAccuracy(Sparse):
    name = "sparse_top_k_categorical_accuracy"

    def make(self) -> Metric:
        return SparseTopKCategoricalAccuracy(k=2, name=self.name)


class TestPrecision(Binary):
    name = "precision"


class TestRecall(Categorical):
    name = "recall"

    def make(self) -> Metric:
        return Recall([0.2, 0.4], class_id=1, name=self.name)


class TestPrecisionOfTheLargest(Sparse):
    name = "precision"

    def make(self) -> Metric:
        return Precision(top_k=2)


class TestF1Score(Sparse):
    name = "f1_score"


class TestWeightedF1Score(Categorical):
    name = "f1_score"

    def make(self) -> Metric:
        return F1Score("weighted", 0.3)


class TestFBetaScore(Categorical):
    name = "f_beta_score"

    def make(self) -> Metric:
        return FBetaScore("macro", 2.0)


class TestTruePositives(Binary):
    name = "true_positives"


class TestTrueNegatives(Binary):
    name = "true_negatives"

    def make(self) -> Metric:
        return TrueNegatives([0.2, 0.5])


class TestFalsePositives(Sparse):
    name = "false_positives"

    def make(self) -> Metric:
        return FalsePositives(0.3)


class TestFalseNegatives(Categorical):
    name = "false_negatives"


class TestSignAccuracy(Binary):
    name = "sign_accuracy"


class TestAUC(Binary):
    name = "auc"


class TestMultiLabelAUC(Categorical):
    name = "auc"

    def make(self) -> Metric:
        return AUC(50, "PR", multi_label=True)


class TestMeanSquaredError(Regression):
    name = "mse"


class TestRootMeanSquaredError(Regression):
    name = "root_mean_squared_error"


class TestMeanAbsoluteError(Regression):
    name = "mae"


class TestMeanAbsolutePercentageError(Regression):
    name = "mape"


class TestMeanSquaredLogarithmicError(Regression):
    name = "mean_squared_logarithmic_error"


class TestR2Score(Regression):
    name = "r2_score"


class TestMean(Regression):
    name = "mean"

    def test_refuses_targets_of_another_shape(self) -> None:
        metric = Mean()
        metric.update(torch.zeros(3, 7, 5), torch.ones(3, 2))
        assert metric.result() == 1.0  # it reads no targets


def test_accuracy_follows_the_loss() -> None:
    for loss, kind in (
        (BinaryCrossentropy(), BinaryAccuracy),
        (CategoricalCrossentropy(), CategoricalAccuracy),
        (SparseCategoricalCrossentropy(), SparseCategoricalAccuracy),
    ):
        for name in ("accuracy", "acc"):
            metric = get_metric(name, loss=loss)
            assert type(metric) is kind and metric.name == name


def test_beside_another_loss_accuracy_follows_the_shapes() -> None:
    def kind(output: tuple[int | None, ...], target: tuple[int | None, ...] | None) -> type[Metric]:
        return type(get_metric("accuracy", loss=Huber(), output_shape=output, target_shape=target))

    assert kind((None, 1), None) is kind((8,), (8,)) is BinaryAccuracy
    assert kind((None, 5), (None,)) is kind((None, 5), (None, 1)) is SparseCategoricalAccuracy
    assert kind((None, 5), (None, 5)) is CategoricalAccuracy
    with pytest.raises(ConfigError, match="which accuracy is meant cannot be told.*'binary_accuracy'"):
        kind((None, 5), None)
    with pytest.raises(ConfigError, match="which accuracy"):
        get_metric("accuracy")


def test_logits_are_cut_at_zero() -> None:
    loss = BinaryCrossentropy(from_logits=True)
    logits, truth = torch.tensor([[-1.0], [0.3], [2.0]]), torch.tensor([0.0, 1.0, 1.0])
    for name in ("accuracy", "binary_accuracy", "precision", "recall", "auc"):
        metric = get_metric(name, loss=loss)
        metric.update(truth, logits)
        assert metric.result() == pytest.approx(1.0) and metric.name == name
        plain = get_metric(name, loss=BinaryCrossentropy())
        plain.update(truth, logits.sigmoid())
        assert plain.result() == pytest.approx(1.0)


def test_losses_and_functions_are_metrics() -> None:
    target, output = torch.tensor([1.0, 2.0]), torch.tensor([[1.5], [4.0]])
    huber = get_metric("huber", loss=Huber(delta=0.5))
    huber.update(target, output)
    assert huber.name == "huber" and huber.result() == pytest.approx((0.125 + 0.5 * (2 - 0.25)) / 2)
    own = get_metric(lambda target, output: (target - output.squeeze(1)).max())
    own.update(target, output, torch.tensor([1.0, 3.0]))
    assert own.result() == -0.5
    assert isinstance(get_metric(MeanSquaredError()), LossMetric)
    assert get_metric(MeanSquaredError()).name == "mean_squared_error"
    again = get_metric(huber.config())
    again.update(target, output)
    assert again.result() == huber.result() and again.name == "huber"
    with pytest.raises(ConfigError, match="FunctionMetric.function: .*cannot be stored"):
        own.config()
    kept = Precision()
    assert get_metric(kept) is kept


def test_unknown_names_suggest_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="unknown metric 'precison'. Did you mean 'precision'"):
        get_metric("precison")
    with pytest.raises(UnknownNameError, match="unknown curve 'ROK'. Did you mean 'ROC'"):
        AUC(curve="ROK")
    with pytest.raises(UnknownNameError, match="unknown average 'makro'. Did you mean 'macro'"):
        F1Score(average="makro")
    with pytest.raises(UnknownNameError, match="R2Score.class_aggregation: unknown"):
        R2Score(class_aggregation="uniform")
    with pytest.raises(ConfigError, match=r"AUC.num_thresholds: got 1, expected an int of at least 2"):
        AUC(num_thresholds=1)
    with pytest.raises(ShapeError, match=r"precision.class_id: outputs of shape \(12, 4\) have no class 4"):
        Precision(class_id=4).update(torch.eye(4)[LABELS], ROWS)


def test_single_values_beside_their_mean() -> None:
    metric = F1Score()
    metric.update(torch.tensor([0, 1, 1]), torch.eye(3)[[0, 1, 0]])
    assert metric.each() == pytest.approx((2 / 3, 2 / 3, 0.0))
    assert metric.result() == pytest.approx(4 / 9)
    several = Precision([0.1, 0.5, 0.9])
    several.update(torch.tensor([0, 1]), torch.tensor([0.3, 0.6]))
    assert several.each() == (0.5, 1.0, 0.0)


def test_an_answer_that_is_not_a_number_is_never_right() -> None:
    for metric, target in (
        (SparseTopKCategoricalAccuracy(k=2), torch.tensor([0, 1])),
        (BinaryAccuracy(), torch.ones(2, 3)),
    ):
        metric.update(target, torch.full((2, 3), float("nan")))
        assert metric.result() == 0.0


def test_one_output_is_cut_in_the_middle_for_f1() -> None:
    metric = F1Score()
    metric.update(torch.tensor([1.0, 0.0, 1.0]), torch.tensor([[0.9], [0.1], [0.2]]))
    assert metric.result() == pytest.approx(2 / 3)


def test_equal_targets_score_as_in_scikit_learn() -> None:
    metric = R2Score(class_aggregation=None)
    metric.update(torch.full((4, 2), 3.3), torch.tensor([[3.3, 3.0]] * 4))
    assert metric.each() == (1.0, 0.0)


def test_large_means_do_not_swallow_the_variance() -> None:
    target = torch.arange(100.0) + 1e5
    metric = R2Score()
    metric.update(target, target + 1)
    assert metric.result() == pytest.approx(1 - 100 / ((100**3 - 100) / 12), rel=1e-6)


def test_a_mean_of_values_given_directly() -> None:
    loss = Mean(name="loss")
    loss.add(torch.tensor([1.0, 3.0]), torch.tensor([3.0, 1.0]))
    loss.add(torch.tensor([2.0]))
    assert loss.result() == pytest.approx((3 + 3 + 2) / 5) and loss.name == "loss"
