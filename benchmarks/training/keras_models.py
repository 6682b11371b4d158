"""The architectures in Keras, the same for all its backends."""

from typing import Any

import keras
from keras import layers

from benchmarks.training.workloads import FEATURES, LENGTH, STEPS, TOKENS, WORKLOADS


def build(name: str) -> keras.Model:
    """The model of a workload; it ends in logits."""
    if name == "a":
        return keras.Sequential(
            [
                *(layers.Input((32, 32, 3)), layers.Conv2D(32, 3, activation="relu"), layers.MaxPooling2D(2)),
                *(layers.Flatten(), layers.Dense(64, activation="relu"), layers.Dense(2)),
            ]
        )
    if name in ("b", "g"):
        front = [layers.Input(WORKLOADS[name].shape)]
        if name == "g":
            front.append(layers.Rescaling(1 / 255))
        return keras.Sequential(
            [
                *(*front, layers.Conv2D(32, 3, activation="relu"), layers.MaxPooling2D(2)),
                *(layers.Conv2D(64, 3, activation="relu"), layers.MaxPooling2D(2)),
                *(layers.Conv2D(64, 3, activation="relu"), layers.MaxPooling2D(2)),
                *(layers.Flatten(), layers.Dense(64, activation="relu"), layers.Dense(2)),
            ]
        )
    if name == "c":
        hidden = (layers.Dense(256, activation="relu") for _ in range(3))
        return keras.Sequential([layers.Input((30,)), *hidden, layers.Dense(2)])
    if name == "d":
        return keras.Sequential(
            [layers.Input((LENGTH,), dtype="int64"), layers.Embedding(TOKENS, 64), layers.LSTM(64), layers.Dense(1)]
        )
    return resnet18() if name == "e" else transformer()


def resnet18() -> keras.Model:
    """He et al. 2016, with a stem of one 3 by 3 convolution."""
    inputs = layers.Input((32, 32, 3))
    x = _convolve(inputs, 64, 3)
    for stage in range(4):
        for block in range(2):
            width, strides = 64 * 2**stage, 2 if stage and not block else 1
            y = _convolve(x, width, 3, strides)
            y = _convolve(y, width, 3, activation=None)
            if strides > 1:
                x = _convolve(x, width, 1, strides, activation=None)
            x = layers.Activation("relu")(layers.Add()([x, y]))
    return keras.Model(inputs, layers.Dense(10)(layers.GlobalAveragePooling2D()(x)))


def _convolve(x: Any, width: int, size: int, strides: int = 1, activation: str | None = "relu") -> Any:
    x = layers.Conv2D(width, size, strides, padding="same", use_bias=False)(x)
    x = layers.BatchNormalization()(x)
    return x if activation is None else layers.Activation(activation)(x)


def transformer() -> keras.Model:
    """Floats projected to the width, four encoder layers, the mean over steps, two logits."""
    inputs = layers.Input((STEPS, FEATURES))
    x = layers.Dense(128)(inputs)
    for _ in range(4):
        x = layers.LayerNormalization()(x + layers.MultiHeadAttention(8, 16)(x, x))
        inner = layers.Dense(512, activation="relu")(x)
        x = layers.LayerNormalization()(x + layers.Dense(128)(inner))
    return keras.Model(inputs, layers.Dense(2)(layers.GlobalAveragePooling1D()(x)))
