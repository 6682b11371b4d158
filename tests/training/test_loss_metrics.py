import pytest
import torch
from torch import Tensor

from lepton_ai.core import ConfigError, ShapeError
from lepton_ai.training import losses
from lepton_ai.training.metrics import LossMetric, Metric, SparseCategoricalCrossentropy, Sum, get_metric
from tests.contracts.metric import MetricContract

SEED = torch.Generator().manual_seed(11)
ROWS = torch.randn(12, 4, generator=SEED).softmax(-1)
LABELS = torch.randint(0, 4, (12,), generator=SEED)
YES = (torch.rand(12, generator=SEED) < 0.5).float()
# in float64: vectorised float32 logarithms differ in the last bit from those of a row alone
AMOUNTS = torch.rand(12, 3, generator=SEED, dtype=torch.float64) + 0.5


class TestBinaryCrossentropy(MetricContract):
    name = "binary_crossentropy"

    def pair(self) -> tuple[Tensor, Tensor]:
        return YES, ROWS[:, :1]


class TestCategoricalCrossentropy(MetricContract):
    name = "categorical_crossentropy"

    def pair(self) -> tuple[Tensor, Tensor]:
        return torch.eye(4)[LABELS], ROWS


class TestCategoricalHinge(TestCategoricalCrossentropy):
    name = "categorical_hinge"


class TestKLDivergence(TestCategoricalCrossentropy):
    name = "kl_divergence"


class TestSparseCategoricalCrossentropy(MetricContract):
    name = "sparse_categorical_crossentropy"

    def make(self) -> Metric:
        return SparseCategoricalCrossentropy(ignore_class=1)

    def pair(self) -> tuple[Tensor, Tensor]:
        return LABELS, ROWS


class TestHinge(MetricContract):
    name = "hinge"

    def pair(self) -> tuple[Tensor, Tensor]:
        return 2 * YES - 1, ROWS[:, :1]


class TestSquaredHinge(TestHinge):
    name = "squared_hinge"


class TestPoisson(MetricContract):
    name = "poisson"

    def pair(self) -> tuple[Tensor, Tensor]:
        return AMOUNTS, AMOUNTS.flip(0) + 0.1


class TestLogCoshError(TestPoisson):
    name = "log_cosh_error"


class TestCosineSimilarity(TestPoisson):
    name = "cosine_similarity"


class TestPearsonCorrelation(TestPoisson):
    name = "pearson_correlation"


class TestConcordanceCorrelation(TestPoisson):
    name = "concordance_correlation"


class TestSum(TestPoisson):
    name = "sum"

    def test_refuses_targets_of_another_shape(self) -> None:
        metric = Sum()
        metric.update(torch.zeros(3, 7, 5), torch.ones(3, 2))
        assert metric.result() == 6.0  # it reads no targets


def test_a_name_beside_its_own_loss_takes_its_settings() -> None:
    loss = losses.BinaryCrossentropy(from_logits=True, label_smoothing=0.1)
    metric = get_metric("binary_crossentropy", loss=loss)
    assert isinstance(metric, LossMetric) and metric.loss is loss and metric.name == "binary_crossentropy"
    other = get_metric("binary_crossentropy", loss=losses.BinaryFocalCrossentropy(from_logits=True))
    assert isinstance(other, LossMetric) is False
    assert get_metric("huber", loss=losses.Huber(2.0)).config()["config"]["loss"]["config"]["delta"] == 2.0  # type: ignore[index]


def test_ignored_elements_do_not_count() -> None:
    labels, output = torch.tensor([[1, 9], [9, 9]]), torch.tensor([[[0.2, 0.8], [0.5, 0.5]]] * 2)
    metric = SparseCategoricalCrossentropy(ignore_class=9)
    metric.update(labels, output)
    assert metric.result() == pytest.approx(-torch.tensor(0.8).log().item())


def test_vectors_without_direction() -> None:
    for name in ("pearson_correlation", "cosine_similarity"):
        metric = get_metric(name)
        metric.update(torch.zeros(2, 3), torch.tensor([[1.0, 2.0, 3.0]] * 2))
        assert metric.result() == 0.0
    with pytest.raises(ShapeError, match=r"pearson_correlation: outputs of shape \(2,\) have no axis -1"):
        get_metric("pearson_correlation").update(torch.zeros(2), torch.zeros(2))


def test_scores_are_refused_by_metrics_of_probabilities() -> None:
    with pytest.raises(ConfigError, match="kl_divergence: the model's outputs are no probabilities"):
        get_metric("kl_divergence").check_outputs(torch.tensor([[3.0, 4.0]]))
