"""What every loss keeps: one value per sample, gradients, stored settings, refusals that teach."""

import json
from typing import ClassVar

import pytest
import torch
from torch import Tensor

from lepton_ai.core import DataError, ShapeError
from lepton_ai.training.losses import Loss, get_loss

torch.set_num_threads(1)


class LossContract:
    """A child names the loss, and gives fitting targets `(6, ...)` and outputs in float64."""

    name: ClassVar[str]
    loss: ClassVar[Loss]

    def pair(self) -> tuple[Tensor, Tensor]:
        """Targets and outputs of six samples."""
        raise NotImplementedError

    def test_gives_one_finite_value_per_sample(self) -> None:
        target, output = self.pair()
        values = self.loss(target, output)
        assert values.shape == (6,) and bool(torch.isfinite(values).all())

    def test_samples_do_not_see_each_other(self) -> None:
        target, output = self.pair()
        if self.loss.pairs_rows:  # said by the loss, and then at least their order means nothing
            torch.testing.assert_close(
                self.loss(target.flip(0), output.flip(0)), self.loss(target, output).flip(0), rtol=0, atol=1e-12
            )
            return
        parts = torch.cat([self.loss(target[i : i + 1], output[i : i + 1]) for i in range(6)])
        torch.testing.assert_close(self.loss(target, output), parts, rtol=0, atol=1e-12)

    def test_gradient_is_right(self) -> None:
        target, output = self.pair()
        assert torch.autograd.gradcheck(lambda each: self.loss(target, each), output.requires_grad_())

    def test_half_precision_outputs_are_computed_in_float32(self) -> None:
        target, output = self.pair()
        assert self.loss(target, output.bfloat16()).dtype == torch.float32

    def test_works_under_autocast(self) -> None:
        target, output = self.pair()
        with torch.autocast("cpu", torch.bfloat16):
            assert bool(torch.isfinite(self.loss(target, output.float())).all())

    def test_settings_survive_storage(self) -> None:
        stored = json.loads(json.dumps(self.loss.config()))
        again = get_loss(stored)
        assert type(again) is type(self.loss) and again.config() == self.loss.config()
        target, output = self.pair()
        assert torch.equal(again(target, output), self.loss(target, output))

    def test_is_found_by_name(self) -> None:
        assert type(get_loss(self.name)) is type(self.loss) is type(get_loss(type(self.loss).__name__))

    def test_accepts_what_fits(self) -> None:
        target, output = self.pair()
        self.loss.check(target, tuple(output.shape))
        self.loss.check(target, (None, *output.shape[1:]))

    def test_refuses_targets_of_another_shape(self) -> None:
        _, output = self.pair()
        with pytest.raises(ShapeError, match=rf"{self.loss.name}: targets of shape \(batch.* outputs of shape \(batch"):
            self.loss.check(torch.zeros(6, 7, 5), tuple(output.shape))
        with pytest.raises(ShapeError, match="do not fit outputs of shape"):
            self.loss(torch.zeros(6, 7, 5), output)

    def test_refuses_nan_and_infinity(self) -> None:
        target, output = self.pair()
        for bad in (float("nan"), float("inf")):
            broken = target.double().clone()
            broken[4][(0,) * (target.ndim - 1)] = bad
            with pytest.raises(DataError, match=rf"targets hold NaN or infinity: {bad} at row 4. Drop these rows"):
                self.loss.check(broken, tuple(output.shape))
