import pytest
import torch

from lepton_ai import layers
from lepton_ai.core import ConfigError, ShapeError
from lepton_ai.layers import Layer
from tests.contracts.layer import Inputs, LayerContract, noise


class TestConv1D(LayerContract):
    def make(self) -> Layer:
        return layers.Conv1D(4, 3, padding="causal", dilation_rate=2, activation="relu")

    def example(self) -> Inputs:
        return (noise(7, 6, 2),)


class TestConv3D(LayerContract):
    def make(self) -> Layer:
        return layers.Conv3D(4, (1, 2, 3), strides=(1, 2, 1), padding="same", groups=2)

    def example(self) -> Inputs:
        return (noise(7, 3, 4, 3, 2),)


class TestConv2D(LayerContract):
    def make(self) -> Layer:
        return layers.Conv2D(4, (3, 2), strides=2, padding="same", groups=2, activation="relu", use_bias=False)

    def example(self) -> Inputs:
        return (noise(7, 5, 6, 2),)


class TestConv2DDilated(LayerContract):
    def make(self) -> Layer:
        return layers.Conv2D(4, 2, dilation_rate=2)

    def example(self) -> Inputs:
        return (noise(7, 5, 6, 2),)


def test_images_stay_channels_last_in_memory() -> None:
    assert layers.Conv2D(4, 3)(noise(2, 8, 8, 3)).is_contiguous()


def test_impossible_settings() -> None:
    with pytest.raises(ConfigError, match=r"Conv2D: got \(\(2, 2\), \(2, 2\)\), expected strides or dilation above 1"):
        layers.Conv2D(4, 3, strides=2, dilation_rate=2)
    with pytest.raises(ConfigError, match=r"Conv2D\.filters: got 4, expected a multiple of groups=3"):
        layers.Conv2D(4, 3, groups=3)
    with pytest.raises(ConfigError, match=r"Conv2D\.kernel_size: got \(3, 3, 3\), expected an int or 2 of them"):
        layers.Conv2D(4, (3, 3, 3))  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"Conv2D\.data_format"):
        layers.Conv2D(4, 3, data_format="channels_first")


def test_images_that_do_not_fit() -> None:
    layer = layers.Conv2D(4, 3, groups=2, name="see")
    with pytest.raises(
        ShapeError, match=r"Conv2D 'see': got an input of shape \(1, 8, 8, 3\), expected a number of channels"
    ):
        layer(noise(1, 8, 8, 3))
    with pytest.raises(
        ShapeError, match=r"'see': got an input of shape \(1, 2, 8, 2\), smaller than the kernel \(3, 3\)"
    ):
        layer(noise(1, 2, 8, 2))
    layer(noise(1, 8, 8, 2))
    with pytest.raises(ShapeError, match="smaller than the kernel"):
        layer(noise(1, 2, 8, 2))


def test_free_sizes() -> None:
    assert layers.Conv2D(4, 3).compute_output_shape((None, None, 8, 3)) == (None, None, 6, 4)
    x = torch.randint(0, 255, (1, 4, 4, 1), dtype=torch.uint8)
    assert layers.Conv2D(4, 3)(x).shape == (1, 2, 2, 4)


def test_a_causal_convolution_sees_no_later_step() -> None:
    layer = layers.Conv1D(3, 3, padding="causal", dilation_rate=2)
    x = noise(1, 9, 2).requires_grad_()
    layer(x)[0, 5].sum().backward()
    assert x.grad is not None and x.grad[0].abs().sum(1).nonzero().flatten().tolist() == [1, 3, 5]


def test_volumes_stay_channels_last_in_memory() -> None:
    assert layers.Conv3D(4, 3)(noise(2, 5, 5, 5, 3)).is_contiguous()


def test_only_series_are_causal() -> None:
    with pytest.raises(ConfigError, match=r"Conv2D\.padding"):
        layers.Conv2D(4, 3, padding="causal")
    with pytest.raises(ShapeError, match=r"smaller than the kernel \(3, 3, 3\)\. Give larger volumes"):
        layers.Conv3D(4, 3)(noise(1, 2, 8, 8, 2))


@pytest.mark.parametrize("channels", [1, 3])
def test_outputs_have_their_channels_last_in_memory(channels: int) -> None:
    """Also of one channel with odd strides, as other operations leave them: else all that follows is slow."""
    layer = layers.Conv2D(4, 3)
    x = torch.rand(2, 8, 8, channels)
    layer(x)
    odd = torch.rand(2, channels, 8, 8).movedim(1, -1)
    assert layer(x).is_contiguous() and layer(odd).is_contiguous()


@pytest.mark.parametrize("channels", [255, 256])
def test_many_channels_on_few_cells(channels: int) -> None:
    """Whose kernels take another layout in memory: values, gradients and outputs' layout are as always."""
    layer = layers.Conv2D(256, 3, padding="same", use_bias=False)
    x = noise(2, 4, 4, channels).requires_grad_()
    y = layer(x)
    kernel, images = (each.detach().clone().requires_grad_() for each in (layer.weight, x.movedim(-1, 1)))
    expected = torch.nn.functional.conv2d(images, kernel, padding=1)
    torch.testing.assert_close(y.movedim(-1, 1), expected, rtol=1e-4, atol=1e-4)
    assert y.is_contiguous()
    y.square().sum().backward()
    expected.square().sum().backward()  # type: ignore[no-untyped-call]
    assert x.grad is not None
    torch.testing.assert_close(x.grad.movedim(-1, 1), images.grad, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(layer.weight.grad, kernel.grad, rtol=1e-3, atol=1e-3)
