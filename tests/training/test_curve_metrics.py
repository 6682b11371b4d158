import logging
import math

import pytest
import torch
from torch import Tensor

from lepton_ai.core import ConfigError, ShapeError
from lepton_ai.training.losses import BinaryCrossentropy
from lepton_ai.training.metrics import (
    AUC,
    Metric,
    PrecisionAtRecall,
    RecallAtPrecision,
    SensitivityAtSpecificity,
    SpecificityAtSensitivity,
    get_metric,
)
from lepton_ai.training.objective import Objective
from tests.contracts.metric import MetricContract

SEED = torch.Generator().manual_seed(11)
SCORES = torch.rand(12, 1, generator=SEED)
ROWS = torch.randn(12, 4, generator=SEED).softmax(-1)
LABELS = torch.tensor([0, 1, 2, 3, 1, 0, 2, 3, 3, 1, 0, 2])
YES = (torch.rand(12, generator=SEED) < 0.5).float()


class Rates(MetricContract):
    needs: str

    def pair(self) -> tuple[Tensor, Tensor]:
        return YES, SCORES

    def test_is_found_by_name(self) -> None:
        assert get_metric(self.make().config()).name == self.name
        with pytest.raises(ConfigError, match=rf"needs {self.needs}. Write \w+\({self.needs}=...\)"):
            get_metric(self.name)


class TestSensitivityAtSpecificity(Rates):
    name, needs = "sensitivity_at_specificity", "specificity"

    def make(self) -> Metric:
        return SensitivityAtSpecificity(0.4)


class TestSpecificityAtSensitivity(Rates):
    name, needs = "specificity_at_sensitivity", "sensitivity"

    def make(self) -> Metric:
        return SpecificityAtSensitivity(0.4, num_thresholds=50)


class TestPrecisionAtRecall(Rates):
    name, needs = "precision_at_recall", "recall"

    def make(self) -> Metric:
        return PrecisionAtRecall(0.6, num_thresholds=1)


class TestRecallAtPrecision(Rates):
    name, needs = "recall_at_precision", "precision"

    def make(self) -> Metric:
        return RecallAtPrecision(0.3, class_id=2)

    def pair(self) -> tuple[Tensor, Tensor]:
        return LABELS, ROWS


class TestWeightedAUC(MetricContract):
    name = "auc"

    def make(self) -> Metric:
        return AUC(multi_label=True, label_weights=[0.1, 0.4, 0.3, 0.2])

    def pair(self) -> tuple[Tensor, Tensor]:
        return torch.eye(4)[LABELS], ROWS


@pytest.mark.parametrize("metric", [AUC(), SensitivityAtSpecificity(0.5), SpecificityAtSensitivity(0.5)])
@pytest.mark.parametrize("only", [0.0, 1.0])
def test_one_class_alone_has_no_curve(metric: Metric, only: float, caplog: pytest.LogCaptureFixture) -> None:
    metric.reset()
    metric.update(torch.full((12,), only), SCORES)
    with caplog.at_level(logging.WARNING, "lepton_ai.training"):
        assert math.isnan(metric.result())
    assert caplog.messages == [f"{metric.name} is not a number: the data hold only one class"]
    metric.update(torch.full((12,), 1 - only), SCORES)
    assert not math.isnan(metric.result())


@pytest.mark.parametrize("metric", [AUC(curve="PR"), PrecisionAtRecall(0.5), RecallAtPrecision(0.5)])
def test_precision_and_recall_need_positives_alone(metric: Metric) -> None:
    metric.update(torch.ones(12), SCORES)
    assert metric.result() == pytest.approx(1.0, abs=1e-6)
    metric.reset()
    metric.update(torch.zeros(12), SCORES)
    assert math.isnan(metric.result())


def test_columns_of_one_class_are_left_out_of_the_mean() -> None:
    target = torch.eye(4)[LABELS]
    target[:, 2] = 0
    plain, weighted = AUC(multi_label=True), AUC(multi_label=True, label_weights=[1, 2, 5, 1])
    for metric in (plain, weighted):
        metric.update(target, ROWS)
    each = plain.each()
    assert math.isnan(each[2])
    assert plain.result() == pytest.approx((each[0] + each[1] + each[3]) / 3)
    assert weighted.result() == pytest.approx((each[0] + 2 * each[1] + each[3]) / 4)


def test_raw_scores_are_refused_before_training() -> None:
    for metric in (AUC(), PrecisionAtRecall(0.5)):
        with pytest.raises(ConfigError, match=r"no probabilities: 2 among them. End the model with"):
            metric.check_outputs(torch.tensor([[2.0]]))
    AUC(from_logits=True).check_outputs(torch.tensor([[2.0]]))
    objective = Objective("mse", ["auc"])
    objective.bind(torch.zeros(2, 1), y=torch.zeros(2, 1))
    with pytest.raises(ConfigError, match=r"auc: the model's outputs are no probabilities: -3 among them.*from_logits"):
        objective.check_outputs(torch.tensor([[-3.0], [0.5]]))
    assert get_metric("auc", loss=BinaryCrossentropy(from_logits=True)).config()["config"]["from_logits"]  # type: ignore[index]


def test_settings_that_cannot_be() -> None:
    with pytest.raises(ConfigError, match="AUC: label_weights weigh the columns. Write AUC.multi_label=True"):
        AUC(label_weights=[1])
    with pytest.raises(ShapeError, match="auc.label_weights: got 2, expected one for each of 4 labels"):
        AUC(multi_label=True, label_weights=[1, 2]).update(torch.eye(4)[LABELS], ROWS)
    with pytest.raises(ConfigError, match=r"SensitivityAtSpecificity.specificity: got 1.5, expected a number"):
        SensitivityAtSpecificity(1.5)
    with pytest.raises(ShapeError, match=r"recall_at_precision.class_id: outputs of shape \(12, 4\) have no class 7"):
        RecallAtPrecision(0.5, class_id=7).update(LABELS, ROWS)
