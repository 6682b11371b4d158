import pytest
import torch
from torch import Tensor

from lepton_ai.training.losses import Dice, Jaccard, Tversky
from lepton_ai.training.overlap_losses import OverlapLoss
from tests.contracts.loss import LossContract

SEED = torch.Generator().manual_seed(3)
AREAS = torch.rand(6, 4, 3, 2, generator=SEED, dtype=torch.float64) * 0.9 + 0.05


class Masks(LossContract):
    def pair(self) -> tuple[Tensor, Tensor]:
        return (AREAS.flip(1) > 0.5).double(), AREAS.clone()


class TestDice(Masks):
    name, loss = "dice", Dice()


class TestDiceOfEachChannel(Masks):
    name, loss = "dice", Dice(axis=(1, 2))


class TestJaccard(Masks):
    name, loss = "iou", Jaccard()


class TestTversky(Masks):
    name, loss = "tversky", Tversky(0.3, 0.7, axis=(-3, -2, -1))


class TestDiceOfOneNumberEach(LossContract):
    name, loss = "dice", Dice()

    def pair(self) -> tuple[Tensor, Tensor]:
        return torch.tensor([1.0, 0.0, 1.0, 1.0, 1.0, 0.5]), AREAS[:, 0, 0, :1].clone()


def test_dice_and_jaccard_are_tversky_with_equal_weights() -> None:
    target, output = (AREAS.flip(1) > 0.5).double(), AREAS
    torch.testing.assert_close(Tversky()(target, output), Dice()(target, output), rtol=1e-6, atol=0)
    torch.testing.assert_close(Tversky(1, 1)(target, output), Jaccard()(target, output), rtol=1e-12, atol=0)


@pytest.mark.parametrize("loss", [Dice(), Jaccard(), Tversky()])
def test_full_and_no_overlap(loss: OverlapLoss) -> None:
    mask = torch.tensor([[1.0, 0.0, 1.0]])
    torch.testing.assert_close(loss(mask, mask), torch.tensor([0.0]), rtol=0, atol=1e-6)
    torch.testing.assert_close(loss(mask, 1 - mask), torch.tensor([1.0]))
    torch.testing.assert_close(loss(0 * mask, 0 * mask), torch.tensor([1.0]))
