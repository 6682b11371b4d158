import pytest
import torch

from lepton_ai import layers
from lepton_ai.core import ConfigError, ShapeError


def test_a_graph_remembers_its_calls() -> None:
    image = layers.Input((28, 28, 1), dtype="uint8", name="image")
    scaled = layers.Rescaling(1 / 255)(image)
    dense = layers.Dense(3)
    output = dense(layers.Flatten()(scaled))
    assert output.shape == (None, 3) and output.node.layer is dense
    assert scaled.node.sources == [image]
    assert repr(image) == "<symbolic image shape=(None, 28, 28, 1) dtype=uint8>"


def test_lists_and_keywords_are_followed() -> None:
    a, b = layers.Input((3,)), layers.Input((3,))
    assert layers.Add()([a, b]).node.sources == [a, b]
    series, mask = layers.Input((4, 3)), layers.Input((4,), dtype="bool")
    assert layers.LSTM(2)(series, mask=mask).node.sources == [series, mask]


def test_shapes_are_checked_before_there_is_data() -> None:
    with pytest.raises(ShapeError, match=r"Conv2D 'see': got an input of shape \(None, 3\), expected 4 dimensions"):
        layers.Conv2D(3, 3, name="see")(layers.Input((3,)))


def test_a_symbol_has_no_value() -> None:
    with pytest.raises(ConfigError, match="a symbolic tensor has no value"):
        bool(layers.Input((3,)))


@pytest.mark.parametrize("size", [0, -1, 2.5, True])
def test_sizes_are_positive(size: int) -> None:
    with pytest.raises(ConfigError, match=r"Input\.shape\[1\]: got .*, expected a positive int or None"):
        layers.Input((3, size))


def test_fixed_batches() -> None:
    assert layers.Dense(2)(layers.Input((3,), batch_size=5)).shape == (5, 2)
    assert layers.Dense(2)(torch.ones(5, 3)).shape == (5, 2)
