import math

import pytest
import torch

from lepton_ai import layers
from lepton_ai.core import ConfigError, ShapeError, UnknownNameError
from lepton_ai.layers import Layer
from tests.contracts.layer import Inputs, LayerContract, noise


class TestDepthwiseConv1D(LayerContract):
    def make(self) -> Layer:
        return layers.DepthwiseConv1D(3, strides=2, padding="same", depth_multiplier=2)

    def example(self) -> Inputs:
        return (noise(7, 6, 3),)


class TestDepthwiseConv2D(LayerContract):
    def make(self) -> Layer:
        return layers.DepthwiseConv2D(3, depth_multiplier=2, activation="relu", depthwise_regularizer="l2")

    def example(self) -> Inputs:
        return (noise(7, 4, 5, 3),)


class TestSeparableConv1D(LayerContract):
    def make(self) -> Layer:
        return layers.SeparableConv1D(4, 3, padding="same", dilation_rate=2, use_bias=False)

    def example(self) -> Inputs:
        return (noise(7, 6, 3),)


class TestSeparableConv2D(LayerContract):
    def make(self) -> Layer:
        return layers.SeparableConv2D(4, 3, depth_multiplier=2, pointwise_initializer="he_normal")

    def example(self) -> Inputs:
        return (noise(7, 4, 5, 3),)


def test_images_stay_channels_last_in_memory() -> None:
    for layer in (layers.DepthwiseConv2D(3), layers.SeparableConv2D(4, 3)):
        assert layer(noise(2, 8, 8, 3)).is_contiguous()


def test_fans_are_those_of_one_channel_and_its_kernels() -> None:
    layer = layers.DepthwiseConv2D(3, depth_multiplier=4)
    layer(noise(2, 8, 8, 64))
    limit = math.sqrt(6 / ((64 + 4) * 9))
    assert limit * 0.99 < layer.weight.abs().max() <= limit


def test_every_part_can_be_penalised() -> None:
    layer = layers.SeparableConv2D(4, 3, depthwise_regularizer="l2", pointwise_regularizer="l1", bias_regularizer="l2")
    layer(noise(2, 8, 8, 3))
    penalties = list(layer.regularization())
    torch.testing.assert_close(penalties[0], 0.01 * layer.weight.square().sum())
    torch.testing.assert_close(penalties[1], 0.01 * layer.pointwise.abs().sum())
    assert len(penalties) == 3


def test_refused_inputs_and_settings() -> None:
    with pytest.raises(ConfigError, match=r"SeparableConv1D\.depth_multiplier: got 0, expected a positive int"):
        layers.SeparableConv1D(4, 3, depth_multiplier=0)
    with pytest.raises(UnknownNameError, match=r"DepthwiseConv1D\.padding"):
        layers.DepthwiseConv1D(3, padding="causal")
    with pytest.raises(ConfigError, match=r"DepthwiseConv2D\.data_format"):
        layers.DepthwiseConv2D(3, data_format="channels_first")
    with pytest.raises(ShapeError, match=r"'see': got .* smaller than the kernel \(3,\)\. Give larger series"):
        layers.DepthwiseConv1D(3, name="see")(noise(2, 2, 3))
