import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lepton_ai import layers
from lepton_ai.core import ConfigError, DataError, ShapeError
from lepton_ai.layers import Layer
from tests.contracts.layer import Inputs, LayerContract, noise

TOKENS = torch.arange(28).view(7, 4) % 11


class TestSinePositionEncoding(LayerContract):
    def make(self) -> Layer:
        return layers.SinePositionEncoding(max_wavelength=100)

    def example(self) -> Inputs:
        return (noise(7, 4, 6),)

    def test_gradients(self) -> None:
        pytest.skip("it looks at the shape of its input only")


class TestPositionEmbedding(LayerContract):
    def make(self) -> Layer:
        return layers.PositionEmbedding(9, "uniform")

    def example(self) -> Inputs:
        return (noise(7, 4, 6),)

    def test_another_width_names_both_shapes(self) -> None:
        layer = self.built()
        with pytest.raises(ShapeError, match=r"got an input of shape \(7, 4, 12\), expected 6 at axis -1"):
            layer(noise(7, 4, 12))

    def test_gradients(self) -> None:
        layer = self.built().double()
        weights = list(layer.parameters())
        assert torch.autograd.gradcheck(lambda *_: layer(noise(2, 4, 6).double()), weights, fast_mode=True)


class TestRotaryEmbedding(LayerContract):
    def make(self) -> Layer:
        return layers.RotaryEmbedding(scaling_factor=2.0)

    def example(self) -> Inputs:
        return (noise(7, 4, 6),)


class TestTokenAndPositionEmbedding(LayerContract):
    differentiable = False

    def make(self) -> Layer:
        return layers.TokenAndPositionEmbedding(11, 9, 6, mask_zero=True)

    def example(self) -> Inputs:
        return (TOKENS,)


class TestFirstStep(LayerContract):
    def make(self) -> Layer:
        return layers.FirstStep()

    def example(self) -> Inputs:
        return (noise(7, 4, 6),)


def test_sines_are_those_of_the_paper() -> None:
    x = noise(2, 5, 6).double()
    got = layers.SinePositionEncoding()(x)
    for place in range(5):
        for pair in range(3):
            angle = place / 10000 ** (2 * pair / 6)
            for row in got[:, place]:
                np.testing.assert_allclose(
                    row[2 * pair : 2 * pair + 2], [math.sin(angle), math.cos(angle)], rtol=0, atol=1e-12
                )


@pytest.mark.parametrize(
    "layer", [layers.SinePositionEncoding(), layers.PositionEmbedding(9), layers.RotaryEmbedding()], ids=str
)
def test_a_start_and_places(layer: Any) -> None:
    x = noise(2, 7, 6)
    whole = layer(x)
    torch.testing.assert_close(layer(x[:, 3:], start_index=3), whole[:, 3:])
    torch.testing.assert_close(layer(x[:, 3:], positions=torch.arange(3, 7)), whole[:, 3:])
    own = torch.stack((torch.arange(3, 7), torch.arange(4)))
    torch.testing.assert_close(layer(x[:, 3:], positions=own)[0], whole[0, 3:])
    torch.testing.assert_close(layer(x[:, :4], positions=own)[1], whole[1, :4])


@settings(max_examples=30, deadline=None)
@given(shift=st.integers(0, 50), width=st.integers(1, 8), wave=st.floats(10, 1e5))
def test_rotated_products_depend_on_distances_only(shift: int, width: int, wave: float) -> None:
    layer = layers.RotaryEmbedding(wave)
    queries, keys = noise(1, 6, 2 * width).double(), noise(1, 6, 2 * width, seed=1).double()
    near = layer(queries) @ layer(keys).transpose(1, 2)
    far = layer(queries, start_index=shift) @ layer(keys, start_index=shift).transpose(1, 2)
    torch.testing.assert_close(near, far, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(layer(queries).norm(dim=-1), queries.norm(dim=-1))


def test_rotation_pairs_the_halves() -> None:
    x = noise(1, 3, 4).double()
    got = layers.RotaryEmbedding(100)(x)[0, 2]
    for i, angle in enumerate((2.0, 2.0 / 10)):
        a, b = x[0, 2, i], x[0, 2, i + 2]
        wanted = (a * math.cos(angle) - b * math.sin(angle), b * math.cos(angle) + a * math.sin(angle))
        torch.testing.assert_close(torch.stack((got[i], got[i + 2])), torch.stack(wanted), rtol=0, atol=1e-12)


def test_rotation_along_other_axes() -> None:
    x = noise(2, 3, 5, 4)
    heads = layers.RotaryEmbedding(sequence_axis=2)(x)
    torch.testing.assert_close(heads[:, 1], layers.RotaryEmbedding()(x[:, 1]))
    torch.testing.assert_close(layers.RotaryEmbedding(sequence_axis=1)(x.transpose(1, 2)), heads.transpose(1, 2))
    moved = layers.RotaryEmbedding(sequence_axis=3, feature_axis=1)(x.permute(0, 3, 1, 2))
    torch.testing.assert_close(moved, heads.permute(0, 3, 1, 2))
    places = torch.stack((torch.arange(5), torch.arange(1, 6)))
    own = layers.RotaryEmbedding(sequence_axis=2)(x, positions=places)
    torch.testing.assert_close(own[0], heads[0])
    torch.testing.assert_close(own[1], layers.RotaryEmbedding(sequence_axis=2)(x, start_index=1)[1])


@pytest.mark.parametrize("layer", [layers.SinePositionEncoding(), layers.RotaryEmbedding()], ids=str)
def test_far_places_differ_in_half_precision(layer: Any) -> None:
    x = torch.ones(1, 1, 4, dtype=torch.bfloat16)
    far = [layer(x, start_index=start).float() for start in (1000, 1001)]
    assert (far[0] - far[1]).abs().max() > 0.3
    torch.testing.assert_close(far[0], layer(x.float(), start_index=1000), rtol=0.01, atol=0.01)


def test_tokens_and_their_places() -> None:
    layer = layers.TokenAndPositionEmbedding(11, 9, 6, mask_zero=True)
    got = layer(TOKENS)
    tokens, places = (torch.from_numpy(weight) for weight in layer.get_weights())
    torch.testing.assert_close(got.detach(), tokens[TOKENS] + places[:4])
    assert torch.equal(layer.compute_mask(TOKENS), TOKENS != 0)
    assert layers.TokenAndPositionEmbedding(11, 9, 6).compute_mask(TOKENS) is None


@pytest.mark.parametrize("built", [False, True])
def test_a_sequence_longer_than_the_table(built: bool) -> None:
    layer = layers.PositionEmbedding(5, name="places")
    if built:
        layer(noise(2, 5, 6))
    told = (
        "PositionEmbedding 'places': got a sequence of 6 steps, expected at most sequence_length=5, which are all that "
        "it knows a place for. Cut the sequences, or make the table longer and train again."
    )
    with pytest.raises(ShapeError) as caught:
        layer(noise(2, 6, 6))
    assert str(caught.value) == told
    with pytest.raises(ShapeError, match="got a sequence of 6 steps"):
        layer(noise(2, 4, 6), start_index=2)
    with pytest.raises(ShapeError, match="got a sequence of 6 steps"):
        layer(noise(2, 2, 6), positions=torch.tensor([0, 5]))
    with pytest.raises(ShapeError, match="got a sequence of 6 steps"):
        layers.TokenAndPositionEmbedding(11, 5, 6)(torch.zeros(2, 6, dtype=torch.int64))
    with pytest.raises(ShapeError, match="got a sequence of 6 steps"):
        layers.PositionEmbedding(5)(layers.Input((6, 4)))


def test_what_does_not_fit() -> None:
    with pytest.raises(ConfigError, match=r"RotaryEmbedding\.scaling_factor: got 0, expected a positive number"):
        layers.RotaryEmbedding(scaling_factor=0)
    with pytest.raises(ConfigError, match=r"PositionEmbedding\.sequence_length: got 0, expected a positive int"):
        layers.PositionEmbedding(0)
    with pytest.raises(ShapeError, match=r"shape \(2, 3, 5\), expected an even number of features at axis -1"):
        layers.RotaryEmbedding()(noise(2, 3, 5))
    with pytest.raises(ShapeError, match=r"shape \(2, 3, 4\), which has no sequence_axis 3"):
        layers.RotaryEmbedding(sequence_axis=3)(noise(2, 3, 4))
    with pytest.raises(DataError, match="got the token 11, expected 0 to 10"):
        layers.TokenAndPositionEmbedding(11, 5, 6)(torch.tensor([[11]]))
    with pytest.raises(ShapeError, match=r"shape \(None, 3, None\) whose last size is free"):
        layers.SinePositionEncoding().ensure_built((None, 3, None))
