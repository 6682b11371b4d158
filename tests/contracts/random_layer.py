"""What every layer keeps that draws at random: a row's draws follow from its place in the run and nothing else."""

from typing import Any, ClassVar

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lepton_ai import rng
from lepton_ai.layers import Layer
from tests.contracts.layer import Inputs, LayerContract, noise

ROWS = 12


def train(layer: Layer, x: Tensor, places: Tensor, *, seed: int = 0, epoch: int = 0, targets: Any = None) -> Any:
    """The layer's answer in training for rows at these places of the epoch."""
    layer.path = "here"
    context = rng.StepContext(seed=seed, epoch=epoch, positions=places.to(torch.int32))
    with rng.step_context(context):
        return layer.train()(x) if targets is None else layer.train()(x, targets)


class RandomLayerContract(LayerContract):
    """The promises of `RandomLayer`, beside those of `Layer`. `pixels` gives inputs as they come in training."""

    keeps_range: ClassVar[bool] = True  # whether values stay within those of bytes
    needs_values: ClassVar[bool] = False
    identity: ClassVar[bool] = True  # whether nothing happens at inference

    def pixels(self) -> Tensor:
        """Float inputs from 0 to 255, with `ROWS` rows."""
        shape = self.example()[0].shape[1:]
        return noise(ROWS, *shape, seed=3).sigmoid() * 255

    def test_a_row_draws_the_same_in_any_batch_and_order(self) -> None:
        x, layer = self.pixels(), self.make()
        whole = train(layer, x, torch.arange(ROWS))

        @given(order=st.permutations(range(ROWS)), size=st.integers(1, ROWS))
        @settings(max_examples=30, deadline=None)
        def check(order: list[int], size: int) -> None:
            for start in range(0, ROWS, size):
                places = torch.tensor(order[start : start + size])
                assert torch.equal(train(layer, x[places], places), whole[places])

        check()

    def test_seed_and_epoch_make_other_draws(self) -> None:
        x, places, layer = self.pixels(), torch.arange(ROWS), self.make()
        first = train(layer, x, places)
        assert torch.equal(train(self.make(), x, places), first)
        assert not torch.equal(train(layer, x, places, seed=1), first)
        assert not torch.equal(train(layer, x, places, epoch=1), first)
        assert not torch.equal(first, first[:1].expand_as(first)) and not first.isnan().any()

    def test_shape_dtype_and_range(self) -> None:
        x, layer = self.pixels(), self.make()
        shape = layer.compute_output_shape(tuple(x.shape))

        @given(
            seed=st.integers(0, 1000),
            dtype=st.sampled_from([torch.uint8, torch.float32, torch.float64, torch.float16]),
            flat=st.sampled_from([None, 0.0, 255.0]),
        )
        @settings(max_examples=40, deadline=None)
        def check(seed: int, dtype: torch.dtype, flat: float | None) -> None:
            given = (x if flat is None else torch.full_like(x, flat)).to(dtype)
            y = train(layer, given, torch.arange(ROWS), seed=seed)
            assert y.shape == shape
            assert y.dtype == (dtype if dtype.is_floating_point else torch.float32)
            assert bool(torch.isfinite(y).all())
            if self.keeps_range:
                slack = 0.3 if dtype == torch.float16 else 1e-3
                assert y.min() >= -slack and y.max() <= 255 + slack

        check()

    def test_nothing_happens_at_inference(self) -> None:
        if self.identity:
            x = self.pixels()
            assert torch.equal(self.make()(x), x)
        targets = torch.arange(ROWS)
        assert torch.equal(self.make()(self.pixels(), targets)[1], targets)

    def test_everything_is_made_on_the_inputs_own_device(self) -> None:
        if self.needs_values:
            pytest.skip("the rows to compute depend on the draws")
        x, labels = self.pixels().to("meta"), torch.arange(ROWS, device="meta")
        changed, _ = train(self.make(), x, torch.arange(ROWS), targets=labels)
        assert changed.device.type == "meta"

    def test_labels_stay(self) -> None:
        x, labels = self.pixels(), torch.arange(ROWS)
        changed, kept = train(self.make(), x, labels, targets=labels)
        assert torch.equal(kept, labels) and torch.equal(changed, train(self.make(), x, labels))

    def test_plain_torch_use_follows_torchs_seed(self) -> None:
        layer, x = self.make().train(), self.pixels()
        torch.manual_seed(3)
        first = layer(x)
        torch.manual_seed(3)
        assert torch.equal(layer(x), first)


class RandomImages(RandomLayerContract):
    """On small images in colour."""

    def example(self) -> Inputs:
        return (noise(7, 9, 8, 3),)


class RandomSeries(RandomLayerContract):
    """On short series of four channels."""

    keeps_range = False

    def example(self) -> Inputs:
        return (noise(7, 20, 4),)
