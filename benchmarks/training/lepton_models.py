"""The architectures in Lepton."""

from typing import Any

from benchmarks.training.workloads import CUT, FEATURES, LENGTH, SIDE, STEPS, TOKENS, WORKLOADS
from lepton_ai.layers import (
    LSTM,
    Conv2D,
    Dense,
    Embedding,
    Flatten,
    GlobalAveragePooling1D,
    Input,
    MaxPooling2D,
    RandomCrop,
    RandomFlip,
    Rescaling,
    TransformerEncoder,
)
from lepton_ai.models import Model, Sequential, resnet
from lepton_ai.training import BinaryCrossentropy, Loss, SparseCategoricalCrossentropy


def build(name: str) -> Sequential | Model:
    """The model of a workload; it ends in logits."""
    if name == "a":
        return Sequential(
            [
                *(Input((32, 32, 3)), Conv2D(32, 3, activation="relu"), MaxPooling2D(2), Flatten()),
                *(Dense(64, activation="relu"), Dense(2)),
            ]
        )
    if name in ("b", "g"):
        front: list[Any] = [Input(WORKLOADS[name].shape)]
        if name == "g":
            front = [Input((SIDE, SIDE, 3)), RandomCrop(CUT, CUT), RandomFlip("horizontal"), Rescaling(1 / 255)]
        return Sequential(
            [
                *(*front, Conv2D(32, 3, activation="relu"), MaxPooling2D(2)),
                *(Conv2D(64, 3, activation="relu"), MaxPooling2D(2), Conv2D(64, 3, activation="relu"), MaxPooling2D(2)),
                *(Flatten(), Dense(64, activation="relu"), Dense(2)),
            ]
        )
    if name == "c":
        return Sequential([Input((30,)), *(Dense(256, activation="relu") for _ in range(3)), Dense(2)])
    if name == "d":
        return Sequential([Input((LENGTH,), dtype="int64"), Embedding(TOKENS, 64), LSTM(64), Dense(1)])
    if name == "e":
        return resnet((32, 32, 3), 10, depth=18, classifier_activation=None)
    encoders = (TransformerEncoder(512, num_heads=8) for _ in range(4))
    return Sequential([Input((STEPS, FEATURES)), Dense(128), *encoders, GlobalAveragePooling1D(), Dense(2)])


def loss(name: str) -> Loss:
    """The mean loss of logits."""
    if WORKLOADS[name].binary:
        return BinaryCrossentropy(from_logits=True)
    return SparseCategoricalCrossentropy(from_logits=True)


def trained(model: Model | Sequential) -> int:
    """How many numbers the optimiser changes."""
    return sum(each.numel() for each in model.parameters() if each.requires_grad)
