from typing import Any

import pytest
import torch

from lepton_ai import layers
from lepton_ai.core import ConfigError, ShapeError
from tests.contracts.layer import Inputs, LayerContract, noise


class TestEinsumDense(LayerContract):
    def make(self) -> layers.Layer:
        return layers.EinsumDense("abc,cde->abde", (None, 2, 3), activation="tanh", bias_axes="de")

    def example(self) -> Inputs:
        return (noise(7, 5, 4),)


def test_it_is_dense_where_dense_would_do() -> None:
    x = noise(3, 5, 4)
    dense = layers.Dense(6)
    dense(x)
    ours = layers.EinsumDense("...c,cd->...d", 6, bias_axes="d")
    ours(x)
    assert ours.get_weights()[0].shape == (4, 6)
    ours.set_weights(dense.get_weights())
    assert torch.allclose(ours(x), dense(x), atol=1e-6)


def test_the_start_has_the_variance_of_dense() -> None:
    layer = layers.EinsumDense("abc,cde->abde", (None, 8, 50))
    layer(noise(2, 3, 200))
    limit = (6 / (200 + 400)) ** 0.5
    assert abs(float(layer.weight.detach().max()) - limit) < 1e-3 * 3


@pytest.mark.parametrize(
    ("equation", "shape", "bias", "text"),
    [
        ("abc", 3, None, "expected input,kernel->output"),
        ("...ab,bc->ac", 3, None, "expected input,kernel->output"),
        ("aab,bc->ac", 3, None, "expected each letter once in a group"),
        ("ab,bc->ad", 3, None, r"letters of the input or the kernel, not \['d'\], in the output"),
        ("ab,bc->ac", 3, "b", "expected letters of 'ac'"),
    ],
)
def test_equations_that_cannot_be(equation: str, shape: Any, bias: str | None, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        layers.EinsumDense(equation, shape, bias_axes=bias)


def test_shapes_that_do_not_fit() -> None:
    with pytest.raises(ShapeError, match=r"got an input of shape \(2, 3\), expected 3 axes for 'abc,cd->abd'"):
        layers.EinsumDense("abc,cd->abd", (None, 4))(noise(2, 3))
    with pytest.raises(ShapeError, match=r"expected known sizes for \['d'\]"):
        layers.EinsumDense("abc,cd->abd", None)(noise(2, 3, 4))
