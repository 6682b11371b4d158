import pytest
import torch

from lepton_ai import layers
from lepton_ai.core import ConfigError, ShapeError
from lepton_ai.layers import Layer
from tests.contracts.layer import Inputs, LayerContract, noise


class TestFlatten(LayerContract):
    any_rank = True

    def make(self) -> Layer:
        return layers.Flatten()

    def example(self) -> Inputs:
        return (noise(7, 2, 3, 4),)


class TestReshape(LayerContract):
    any_rank = True

    def make(self) -> Layer:
        return layers.Reshape((4, -1))

    def example(self) -> Inputs:
        return (noise(7, 2, 3, 4),)


class TestPermute(LayerContract):
    def make(self) -> Layer:
        return layers.Permute((3, 1, 2))

    def example(self) -> Inputs:
        return (noise(7, 2, 3, 4),)


class TestRepeatVector(LayerContract):
    def make(self) -> Layer:
        return layers.RepeatVector(3)

    def example(self) -> Inputs:
        return (noise(7, 4),)


def test_numbers_stay_in_order() -> None:
    x = torch.arange(24).view(1, 2, 3, 4)
    assert torch.equal(layers.Flatten()(x), torch.arange(24)[None])
    assert torch.equal(layers.Reshape((6, 4))(x), torch.arange(24).view(1, 6, 4))


def test_free_sizes() -> None:
    assert layers.Flatten().compute_output_shape((None, 3, None)) == (None, None)
    assert layers.Reshape((-1, 4)).compute_output_shape((None, None, 2)) == (None, None, 4)
    assert layers.Reshape((3, 4)).compute_output_shape((None, None, 2)) == (None, 3, 4)


def test_numbers_that_do_not_fit_in() -> None:
    layer = layers.Reshape((3, 4), name="fold")
    with pytest.raises(
        ShapeError,
        match=r"'fold': got .* shape \(2, 5\) with 5 numbers .* as many as \(3, 4\)",
    ):
        layer(noise(2, 5))
    layer(noise(2, 12))
    with pytest.raises(ShapeError, match=r"shape \(2, 5\) with 5 numbers"):
        layer(noise(2, 5))


@pytest.mark.parametrize("target", [(), (-1, -1), (0, 2), (-2,), (2.0,), 3])
def test_impossible_targets(target: tuple[int, ...]) -> None:
    with pytest.raises(
        ConfigError, match=r"Reshape\.target_shape: got .*, expected positive ints, one of which may be -1"
    ):
        layers.Reshape(target)


@pytest.mark.parametrize("dims", [(), (0, 1), (1, 3), (1, 1), 2])
def test_dims_are_an_order_of_the_axes(dims: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match=r"Permute\.dims: got .*, expected the axes 1, 2, \.\.\. in some order"):
        layers.Permute(dims)


def test_another_number_of_axes_is_refused() -> None:
    layer = layers.Permute((2, 1), name="turn")
    wanted = r"'turn': got an input of shape \(2, 3\), expected 3 dimensions with the batch for dims=\(2, 1\)"
    with pytest.raises(ShapeError, match=wanted):
        layer(noise(2, 3))
    layer(noise(2, 3, 4))
    with pytest.raises(ShapeError, match=wanted):
        layer(noise(2, 3))
    with pytest.raises(ConfigError, match=r"RepeatVector\.n: got 0, expected a positive int"):
        layers.RepeatVector(0)
