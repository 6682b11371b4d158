import math

import pytest
import torch
from torch import Tensor

from lepton_ai.core import ConfigError, DataError, ShapeError, UnknownNameError
from lepton_ai.training.losses import BinaryCrossentropy
from lepton_ai.training.metrics import (
    BalancedAccuracy,
    BinaryIoU,
    CohenKappa,
    IoU,
    MatthewsCorrelation,
    MeanIoU,
    Metric,
    OneHotIoU,
    OneHotMeanIoU,
    get_metric,
)
from lepton_ai.training.objective import Objective
from tests.contracts.metric import MetricContract

SEED = torch.Generator().manual_seed(11)
MAPS = torch.randint(0, 4, (12, 3, 2), generator=SEED)
SAID = torch.where(torch.rand(12, 3, 2, generator=SEED) < 0.6, MAPS, torch.randint(0, 4, (12, 3, 2), generator=SEED))
SCORES = torch.eye(4)[SAID] + 0.5 * torch.rand(12, 3, 2, 4, generator=SEED)
YES = (torch.rand(12, generator=SEED) < 0.5).float()
CHANCES = torch.rand(12, 1, generator=SEED)


class Maps(MetricContract):
    def pair(self) -> tuple[Tensor, Tensor]:
        return MAPS, SAID

    def test_is_found_by_name(self) -> None:
        assert get_metric(self.make().config()).name == self.name
        kind = type(self.make()).__name__
        needs = "num_classes( and target_class_ids)?"
        with pytest.raises(ConfigError, match=rf"{kind} needs {needs}. Write {kind}\(num_classes=..."):
            get_metric(self.name)


class OneHotMaps(Maps):
    def pair(self) -> tuple[Tensor, Tensor]:
        return torch.eye(4)[MAPS], SCORES


class TestIoU(Maps):
    name = "io_u"

    def make(self) -> Metric:
        return IoU(4, [1, 3], ignore_class=2)


class TestMeanIoU(Maps):
    name = "mean_io_u"

    def make(self) -> Metric:
        return MeanIoU(4)


class TestMeanIoUOfScores(Maps):
    name = "mean_io_u"

    def make(self) -> Metric:
        return MeanIoU(4, sparse_y_pred=False)

    def pair(self) -> tuple[Tensor, Tensor]:
        return MAPS, SCORES


class TestOneHotIoU(OneHotMaps):
    name = "one_hot_io_u"

    def make(self) -> Metric:
        return OneHotIoU(4, [0, 2])


class TestOneHotMeanIoU(OneHotMaps):
    name = "one_hot_mean_io_u"

    def make(self) -> Metric:
        return OneHotMeanIoU(4)


class TestBinaryIoU(MetricContract):
    name = "binary_io_u"

    def pair(self) -> tuple[Tensor, Tensor]:
        return YES, CHANCES


class TestMatthewsCorrelation(MetricContract):
    name = "matthews_correlation"

    def pair(self) -> tuple[Tensor, Tensor]:
        return YES, CHANCES


class TestCohenKappa(MetricContract):
    name = "cohen_kappa"

    def make(self) -> Metric:
        return CohenKappa(weighting="quadratic")

    def pair(self) -> tuple[Tensor, Tensor]:
        return MAPS, SCORES


class TestBalancedAccuracy(MetricContract):
    name = "balanced_accuracy"

    def pair(self) -> tuple[Tensor, Tensor]:
        return torch.eye(4)[MAPS], SCORES


def test_absent_classes_are_left_out_of_the_mean() -> None:
    metric = MeanIoU(3)
    metric.update(torch.tensor([0, 0, 1]), torch.tensor([0, 1, 1]))
    assert metric.each()[:2] == (0.5, 0.5) and math.isnan(metric.each()[2]) and metric.result() == 0.5


def test_what_is_no_class_is_an_error_not_a_figure() -> None:
    metric = MeanIoU(3)
    metric.update(torch.tensor([0, 255, 1]), torch.tensor([0, 1, 1]))
    with pytest.raises(DataError, match="mean_io_u: 1 elements are of no class from 0 to 2.*ignore_class=255"):
        metric.result()
    spared = MeanIoU(3, ignore_class=255)
    spared.update(torch.tensor([0, 255, 1]), torch.tensor([0, 1, 1]))
    assert spared.result() == 1.0
    spared.check(torch.tensor([0, 255]), (None,))
    with pytest.raises(DataError, match="targets are no classes from 0 to 2: 255 at row 1. Number the classes from 0"):
        metric.check(torch.tensor([0, 255]), (None,))
    with pytest.raises(DataError, match="cohen_kappa: targets are no classes from 0 to 1: 2 at row 0"):
        CohenKappa().check(torch.tensor([2.0]), (None, 1))
    objective = Objective("mse", [MatthewsCorrelation()])
    objective.bind(torch.zeros(2, 1), y=torch.zeros(2, 1))
    with pytest.raises(DataError, match="matthews_correlation: targets are no classes from 0 to 1: 0.5 at row 1"):
        objective.check(torch.tensor([[1.0], [0.5]]), torch.zeros(2, 1))


def test_settings_and_shapes_that_cannot_be() -> None:
    with pytest.raises(ConfigError, match=r"IoU.target_class_ids: got \[3\], expected classes from 0 to 2"):
        IoU(3, [3])
    with pytest.raises(UnknownNameError, match="unknown weighting 'square'. Did you mean 'quadratic'"):
        CohenKappa(weighting="square")
    with pytest.raises(ShapeError, match=r"scores of classes write MeanIoU\(..., sparse_y_pred=False\)"):
        MeanIoU(4).update(MAPS, SCORES)


def test_chance_and_full_agreement() -> None:
    for metric in (MatthewsCorrelation(), CohenKappa()):
        metric.update(YES, YES.unsqueeze(1))
        assert metric.result() == pytest.approx(1.0)
        metric.reset()
        metric.update(torch.ones(12), CHANCES)
        assert metric.result() == 0.0


def test_names_beside_logits_cut_at_zero() -> None:
    loss = BinaryCrossentropy(from_logits=True)
    logits, truth = torch.tensor([[-1.0], [0.3], [2.0]]), torch.tensor([0.0, 1.0, 1.0])
    for name, expected in (
        ("matthews_correlation", 1.0),
        ("binary_iou", 1.0),
        ("f1_score", 1.0),
        ("true_positives", 2.0),
        ("false_negatives", 0.0),
    ):
        metric = get_metric(name, loss=loss)
        metric.update(truth, logits)
        assert metric.result() == expected and metric.name == name


def test_a_threshold_of_an_iou_belongs_to_yes() -> None:
    metric = BinaryIoU(threshold=0.5)
    metric.update(torch.tensor([1.0]), torch.tensor([0.5]))
    assert metric.result() == 1.0


def test_balanced_accuracy_is_a_mean_of_recalls() -> None:
    metric = BalancedAccuracy()
    metric.update(torch.tensor([0, 0, 0, 1]), torch.eye(3)[[0, 0, 1, 1]])
    assert metric.each()[:2] == pytest.approx((2 / 3, 1.0)) and math.isnan(metric.each()[2])
    assert metric.result() == pytest.approx(5 / 6)
