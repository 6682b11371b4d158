import numpy as np
import pytest
import torch

from lepton_ai import layers
from lepton_ai.core import ConfigError
from lepton_ai.layers import Layer
from tests.contracts.layer import noise
from tests.contracts.random_layer import RandomSeries, train


class TestRandomTimeShift(RandomSeries):
    keeps_range = True

    def make(self) -> Layer:
        return layers.RandomTimeShift((-0.2, 0.5), fill_mode="wrap")


class TestRandomTimeMask(RandomSeries):
    keeps_range = True

    def make(self) -> Layer:
        return layers.RandomTimeMask(0.3, num_masks=2)


class TestRandomFrequencyMask(RandomSeries):
    keeps_range = True

    def make(self) -> Layer:
        return layers.RandomFrequencyMask((0.2, 0.6), fill_value=1.0)


class TestRandomGain(RandomSeries):
    def make(self) -> Layer:
        return layers.RandomGain(6.0)


class TestRandomNoise(RandomSeries):
    def make(self) -> Layer:
        return layers.RandomNoise((0, 30))


class TestRandomSpeed(RandomSeries):
    keeps_range = True

    def make(self) -> Layer:
        return layers.RandomSpeed(0.3)


class TestRandomTimeWarp(RandomSeries):
    keeps_range = True

    def make(self) -> Layer:
        return layers.RandomTimeWarp(0.2)


class TestRandomScaling(RandomSeries):
    def make(self) -> Layer:
        return layers.RandomScaling(0.2)


class TestRandomPermutation(RandomSeries):
    keeps_range = True

    def make(self) -> Layer:
        return layers.RandomPermutation(3)


ROWS = torch.arange(400)


@pytest.mark.parametrize("fill", ["constant", "nearest", "wrap"])
def test_shifts_are_whole_steps_within_bounds(fill: str) -> None:
    x = torch.arange(1.0, 21.0).expand(400, -1)
    y = train(layers.RandomTimeShift((-0.1, 0.25), fill_mode=fill, fill_value=-1.0), x, ROWS)
    shifts = 10 - (y == 10).int().argmax(1) - 1
    assert sorted(shifts.unique().tolist()) == [-5, -4, -3, -2, -1, 0, 1, 2]
    for row, shift in zip(y, (-shifts).tolist(), strict=True):
        wanted = np.roll(x[0].numpy(), shift)
        if fill != "wrap" and shift:
            edge = slice(0, shift) if shift > 0 else slice(shift, None)
            wanted[edge] = -1.0 if fill == "constant" else (1.0 if shift > 0 else 20.0)
        np.testing.assert_array_equal(row.numpy(), wanted)


@pytest.mark.parametrize(("kind", "axis"), [("RandomTimeMask", 1), ("RandomFrequencyMask", 2)])
def test_one_mask_is_one_span_anywhere(kind: str, axis: int) -> None:
    x = torch.ones(400, 20, 10, 2)
    y = train(getattr(layers, kind)(0.4, fill_value=-2.0), x, ROWS)
    covered = (y == -2).movedim(axis, 1).flatten(2)
    assert torch.equal(covered.all(2), covered.any(2))
    spans = covered.all(2).int()
    starts = (spans.diff(dim=1) == 1).sum(1) + spans[:, 0]
    size = x.shape[axis]
    assert starts.max() == 1 and spans.sum(1).max() == 0.4 * size and spans.sum(1).min() == 0
    assert spans.float().mean(0).min() > 0.01
    many = train(getattr(layers, kind)(0.2, num_masks=3), x, ROWS)
    spans = (many == 0).movedim(axis, 1).flatten(2).all(2).int()
    assert ((spans.diff(dim=1) == 1).sum(1) + spans[:, 0]).max() == 3


def test_gain_in_decibels() -> None:
    gains = 20 * train(layers.RandomGain((-3, 9)), torch.ones(400, 2).double(), ROWS).log10()
    assert torch.equal(gains[:, 0], gains[:, 1])
    assert -3 <= gains.min() < -2.8 and 8.8 < gains.max() <= 9 + 1e-5


def test_noise_at_its_ratio() -> None:
    x = 3 * noise(50, 4000)
    added = train(layers.RandomNoise((10, 10)), x, torch.arange(50)) - x
    ratio = 10 * (x.square().mean(1) / added.square().mean(1)).log10()
    assert (ratio - 10).abs().max() < 0.5
    assert abs(float((added * x).mean())) < 0.05
    silence = torch.zeros(3, 10)
    assert torch.equal(train(layers.RandomNoise((0, 40)), silence, torch.arange(3)), silence)


def test_speed_reads_between_steps() -> None:
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(1, 30, 2)))
    for factor in (0.25, -0.4):
        y = train(layers.RandomSpeed((factor, factor), fill_value=9.0), x, torch.arange(1))
        places = np.arange(30) * (1 + factor)
        for channel in range(2):
            wanted = np.interp(places, np.arange(30), x[0, :, channel], right=9.0)
            np.testing.assert_allclose(y[0, :, channel], wanted, atol=1e-6)


def test_warp_moves_one_step_and_keeps_the_ends() -> None:
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 31)))
    layer = layers.RandomTimeWarp(0.2)
    source, target = torch.tensor([10.0, 20.0]).double(), torch.tensor([16.0, 5.0]).double()
    got = layer.transform(x, source, target)
    for row in range(2):
        places = np.interp(np.arange(31), [0, float(target[row]), 30], [0, float(source[row]), 30])
        np.testing.assert_allclose(got[row], np.interp(places, np.arange(31), x[row]), atol=1e-9)
    ramp = torch.arange(50.0).expand(400, -1)
    for factor in (0.2, 0.49):
        warped = train(layers.RandomTimeWarp(factor), ramp, ROWS)
        assert torch.equal(warped[:, 0], ramp[:, 0]) and (warped.diff(dim=1) >= 0).all()
        torch.testing.assert_close(warped[:, -1], ramp[:, -1])
        assert (warped - ramp).abs().amax() > 0.8 * factor * 49


def test_scaling_is_one_number_for_each_channel() -> None:
    factors = train(layers.RandomScaling(0.2), torch.ones(400, 5, 3), ROWS)
    assert torch.equal(factors, factors[:, :1].expand_as(factors))
    assert abs(float(factors.mean()) - 1) < 0.02 and abs(float(factors[:, 0].std()) - 0.2) < 0.015


def test_permutation_keeps_parts_whole_and_reaches_all_orders() -> None:
    x = torch.arange(11.0).view(1, 11, 1).expand(400, -1, -1)
    y = train(layers.RandomPermutation(3), x, ROWS)[..., 0]
    assert torch.equal(y[:, 9:], x[:, 9:, 0]) and torch.equal(y.sort(1).values, x[..., 0])
    parts = y[:, :9].view(400, 3, 3)
    assert (parts.diff(dim=2) == 1).all()
    assert len({tuple(order) for order in parts[:, :, 0].int().tolist()}) == 6


def test_refused_arguments() -> None:
    with pytest.raises(ConfigError, match=r"RandomFrequencyMask\.factor: got 1\.5, expected a number from 0 to 1"):
        layers.RandomFrequencyMask(1.5)
    with pytest.raises(ConfigError, match=r"RandomTimeMask\.num_masks: got 0, expected a positive int"):
        layers.RandomTimeMask(0.1, 0)
    with pytest.raises(ConfigError, match=r"RandomNoise\.decibels: got 10, expected two numbers, the lower first"):
        layers.RandomNoise(10)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"RandomScaling\.stddev: got -1, expected a number >= 0"):
        layers.RandomScaling(-1)
    with pytest.raises(ConfigError, match=r"RandomTimeWarp\.factor: got 0\.5, expected a number from 0 to 0\.49"):
        layers.RandomTimeWarp(0.5)
    with pytest.raises(ConfigError, match=r"RandomTimeShift\.fill_mode: unknown fill_mode 'reflect'"):
        layers.RandomTimeShift(0.1, fill_mode="reflect")
