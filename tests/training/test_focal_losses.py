import pytest
import torch
from torch import Tensor

from lepton_ai.training.losses import (
    BinaryCrossentropy,
    BinaryFocalCrossentropy,
    CategoricalCrossentropy,
    CategoricalFocalCrossentropy,
    CategoricalGeneralizedCrossEntropy,
    SparseCategoricalCrossentropy,
)
from lepton_ai.training.metrics import BinaryAccuracy, CategoricalAccuracy, SparseCategoricalAccuracy, get_metric
from tests.contracts.loss import LossContract

SEED = torch.Generator().manual_seed(3)
CHANCES = torch.rand(6, 4, generator=SEED, dtype=torch.float64) * 0.9 + 0.05
LABELS = torch.tensor([0, 3, 2, 1, 1, 0])
ONEHOT = torch.eye(4, dtype=torch.float64)[LABELS]


class TestBinaryFocalCrossentropy(LossContract):
    name, loss = "binary_focal_crossentropy", BinaryFocalCrossentropy(True, 0.3, label_smoothing=0.1)

    def pair(self) -> tuple[Tensor, Tensor]:
        return torch.tensor([1, 0, 1, 1, 0, 0]), CHANCES[:, :1].clone()


class TestBinaryFocalCrossentropyOfLogits(LossContract):
    name, loss = "binary_focal_crossentropy", BinaryFocalCrossentropy(gamma=0.5, from_logits=True)

    def pair(self) -> tuple[Tensor, Tensor]:
        return (CHANCES > 0.5).double(), 6 * CHANCES.flip(1) - 3


class TestCategoricalFocalCrossentropy(LossContract):
    name, loss = "categorical_focal_crossentropy", CategoricalFocalCrossentropy([0.1, 0.2, 0.3, 0.4])

    def pair(self) -> tuple[Tensor, Tensor]:
        return ONEHOT, CHANCES.softmax(-1)


class TestCategoricalFocalCrossentropyOfLogits(LossContract):
    name, loss = "categorical_focal_crossentropy", CategoricalFocalCrossentropy(from_logits=True, label_smoothing=0.1)

    def pair(self) -> tuple[Tensor, Tensor]:
        return ONEHOT, 6 * CHANCES - 3


class TestCategoricalGeneralizedCrossEntropy(LossContract):
    name, loss = "categorical_generalized_cross_entropy", CategoricalGeneralizedCrossEntropy(0.7)

    def pair(self) -> tuple[Tensor, Tensor]:
        return LABELS, CHANCES.softmax(-1)


def test_without_focus_they_are_cross_entropies() -> None:
    torch.testing.assert_close(
        BinaryFocalCrossentropy(gamma=0)(ONEHOT, CHANCES), BinaryCrossentropy()(ONEHOT, CHANCES), rtol=1e-12, atol=0
    )
    torch.testing.assert_close(
        CategoricalFocalCrossentropy(1.0, gamma=0)(ONEHOT, CHANCES), CategoricalCrossentropy()(ONEHOT, CHANCES)
    )
    chances = CHANCES.softmax(-1)
    torch.testing.assert_close(
        CategoricalGeneralizedCrossEntropy(1e-6)(LABELS, chances),
        SparseCategoricalCrossentropy()(LABELS, chances),
        rtol=1e-5,
        atol=0,
    )


@pytest.mark.parametrize("loss", [BinaryFocalCrossentropy(gamma=0.5), CategoricalFocalCrossentropy(gamma=0.5)])
def test_a_sure_answer_has_a_finite_gradient(loss: BinaryFocalCrossentropy | CategoricalFocalCrossentropy) -> None:
    output = torch.tensor([[1.0, 0.0], [0.0, 1.0]], requires_grad=True)
    value = loss(torch.tensor([[1.0, 0.0], [1.0, 0.0]]), output)
    torch.autograd.backward(value.sum())
    assert output.grad is not None and bool(torch.isfinite(value).all()) and bool(torch.isfinite(output.grad).all())


def test_accuracy_beside_them_is_that_of_their_kind() -> None:
    assert type(get_metric("accuracy", loss=BinaryFocalCrossentropy())) is BinaryAccuracy
    cut = get_metric("accuracy", loss=BinaryFocalCrossentropy(from_logits=True))
    assert isinstance(cut, BinaryAccuracy) and cut.threshold == 0.0
    assert type(get_metric("accuracy", loss=CategoricalFocalCrossentropy())) is CategoricalAccuracy
    assert type(get_metric("accuracy", loss=CategoricalGeneralizedCrossEntropy())) is SparseCategoricalAccuracy
