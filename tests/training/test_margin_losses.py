import torch
from torch import Tensor

from lepton_ai.training.losses import CategoricalHinge, Hinge, SquaredHinge
from lepton_ai.training.metrics import get_metric
from tests.contracts.loss import LossContract

SCORES = torch.randn(6, 4, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


class Signs(LossContract):
    def pair(self) -> tuple[Tensor, Tensor]:
        return SCORES.flip(0).sign(), SCORES.clone()


class TestHinge(Signs):
    name, loss = "hinge", Hinge()


class TestSquaredHinge(Signs):
    name, loss = "squared_hinge", SquaredHinge()


class TestCategoricalHinge(LossContract):
    name, loss = "categorical_hinge", CategoricalHinge()

    def pair(self) -> tuple[Tensor, Tensor]:
        return torch.eye(4, dtype=torch.float64)[[0, 3, 2, 1, 1, 0]], SCORES.clone()


def test_no_is_minus_one_or_zero_in_each_row_alike() -> None:
    signs, output = SCORES.flip(0).sign(), SCORES
    for loss in (Hinge(), SquaredHinge()):
        torch.testing.assert_close(loss((signs > 0).double(), output), loss(signs, output))
        torch.testing.assert_close(loss((signs > 0)[:1], output[:1]), loss(signs, output)[:1])


def test_accuracy_beside_a_hinge_counts_signs() -> None:
    for loss in (Hinge(), SquaredHinge()):
        for no in (-1.0, 0.0):
            metric = get_metric("accuracy", loss=loss)
            metric.update(torch.tensor([1.0, no, no, 1.0]), torch.tensor([[0.2], [-0.1], [0.3], [2.0]]))
            assert metric.result() == 0.75 and metric.name == "accuracy"
