import pytest

from lepton_ai import layers
from lepton_ai.core import ConfigError, ShapeError
from lepton_ai.layers import Layer
from tests.contracts.layer import Inputs, LayerContract, noise


class TestConv1DTranspose(LayerContract):
    def make(self) -> Layer:
        return layers.Conv1DTranspose(4, 3, strides=2, padding="same", output_padding=1)

    def example(self) -> Inputs:
        return (noise(7, 5, 2),)


class TestConv2DTranspose(LayerContract):
    def make(self) -> Layer:
        return layers.Conv2DTranspose(4, 3, strides=2, padding="same", activation="relu", use_bias=False)

    def example(self) -> Inputs:
        return (noise(7, 3, 4, 2),)


class TestConv3DTranspose(LayerContract):
    def make(self) -> Layer:
        return layers.Conv3DTranspose(2, (1, 2, 3), strides=2)

    def example(self) -> Inputs:
        return (noise(7, 2, 3, 2, 2),)


def test_images_stay_channels_last_in_memory() -> None:
    assert layers.Conv2DTranspose(4, 2, strides=2)(noise(2, 4, 4, 3)).is_contiguous()


def test_free_sizes() -> None:
    layer = layers.Conv2DTranspose(4, 3, strides=2, padding="same")
    assert layer.compute_output_shape((None, None, 5, 3)) == (None, None, 10, 4)


@pytest.mark.parametrize("output_padding", [2, -1, (0, 0, 0), 0.5, True])
def test_the_output_grows_by_less_than_a_stride(output_padding: int) -> None:
    with pytest.raises(
        ConfigError,
        match=r"Conv2DTranspose\.output_padding: got .*, expected an int or 2 of them, from 0 to below the strides",
    ):
        layers.Conv2DTranspose(4, 3, strides=2, output_padding=output_padding)


def test_refused_inputs_and_settings() -> None:
    with pytest.raises(ConfigError, match=r"Conv1DTranspose: got .*, expected strides or dilation above 1"):
        layers.Conv1DTranspose(4, 3, strides=2, dilation_rate=2)
    with pytest.raises(ConfigError, match=r'Conv3DTranspose\.data_format: .* expected "channels_last"'):
        layers.Conv3DTranspose(4, 3, data_format="channels_first")
    with pytest.raises(ShapeError, match=r"'up': got an input of shape \(None, 5, None\), expected a number"):
        layers.Conv1DTranspose(4, 3, name="up").ensure_built((None, 5, None))
