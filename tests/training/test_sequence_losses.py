import torch
from torch import Tensor

from lepton_ai.training.losses import CTC
from tests.contracts.loss import LossContract

SEED = torch.Generator().manual_seed(3)
WORDS = torch.randint(1, 4, (6, 3), generator=SEED)
WORDS[1, 1:] = WORDS[4] = 0


class TestCTC(LossContract):
    name, loss = "ctc", CTC()

    def pair(self) -> tuple[Tensor, Tensor]:
        return WORDS, torch.randn(6, 7, 4, generator=torch.Generator().manual_seed(4), dtype=torch.float64)


def test_padding_adds_nothing() -> None:
    output = torch.randn(6, 7, 4, generator=SEED)
    wide = torch.cat([WORDS, torch.zeros(6, 5, dtype=torch.int64)], 1)
    torch.testing.assert_close(CTC()(wide, output), CTC()(WORDS, output))


def test_labels_may_be_of_any_dtype() -> None:
    output = torch.randn(6, 7, 4, generator=SEED)
    for dtype in (torch.float32, torch.int32, torch.uint8):
        CTC().check(WORDS.to(dtype), (None, 7, 4))
        assert torch.equal(CTC()(WORDS.to(dtype), output), CTC()(WORDS, output))


def test_a_word_that_just_fits_has_a_path() -> None:
    loss, word = CTC(), torch.tensor([[2, 2, 1]])
    loss.check(word, (None, 4, 3))
    assert bool(torch.isfinite(loss(word, torch.zeros(1, 4, 3))).all())
    assert bool(torch.isinf(loss(word, torch.zeros(1, 3, 3))).all())
