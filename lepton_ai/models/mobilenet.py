"""MobileNetV2.

Sandler, Howard, Zhu, Zhmoginov, Chen: MobileNetV2: inverted residuals and linear bottlenecks, 2018.
"""

from typing import Any

from lepton_ai.core import ConfigError
from lepton_ai.layers import Add
from lepton_ai.models.blocks import classify, convolve, depthwise, image_input
from lepton_ai.models.model import Model

# Expansion, channels, blocks, stride of the first block: table 2 of the paper.
_STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
_SMALL = 96  # images with a side below this are halved three times instead of five


def mobilenet_v2(
    input_shape: tuple[int | None, ...] = (224, 224, 3),
    classes: int | None = 1000,
    *,
    alpha: float = 1.0,
    dropout: float = 0.2,
    classifier_activation: str | None = "softmax",
) -> Model:
    """MobileNetV2 for images `(H, W, C)` of floats near 0.

    Images with a side below 96 are not halved by the first convolution and the first stage of stride 2, so that
    something is left of them at the end.

    Args:
        classes: None gives the features before the classifier.
        alpha: factor of the channels, each rounded to a multiple of 8.
        dropout: before the classifier.

    Raises: ConfigError for an alpha that is not positive, or an input too small.

    Example:
        >>> mobilenet_v2((32, 32, 3), 10, alpha=0.35).compute_output_shape((None, 32, 32, 3))
        (None, 10)
    """
    if not alpha > 0:
        raise ConfigError(at="mobilenet_v2.alpha", got=alpha, expected="a positive number")
    inputs = image_input("mobilenet_v2", input_shape, 16)
    small = any(side is not None and side < _SMALL for side in input_shape[:2])
    x = convolve(inputs, _channels(32 * alpha), 3, 1 if small else 2, activation="relu6", epsilon=1e-3)
    for number, (expansion, channels, blocks, strides) in enumerate(_STAGES):
        first = 1 if small and number == 1 else strides
        for block in range(blocks):
            x = _block(x, expansion, _channels(channels * alpha), first if not block else 1)
    x = convolve(x, _channels(1280 * max(alpha, 1.0)), 1, activation="relu6", epsilon=1e-3)
    outputs = classify(x, "mobilenet_v2", classes, dropout, classifier_activation)
    return Model(inputs, outputs, name="mobilenet_v2")


def _block(x: Any, expansion: int, channels: int, strides: int) -> Any:
    """Widen, filter each channel, narrow without activation; with the input added where shapes allow it."""
    y = x if expansion == 1 else convolve(x, expansion * x.shape[-1], 1, activation="relu6", epsilon=1e-3)
    y = convolve(depthwise(y, strides), channels, 1, activation=None, epsilon=1e-3)
    return Add()([x, y]) if strides == 1 and x.shape[-1] == channels else y


def _channels(wanted: float) -> int:
    """The nearest multiple of 8, not more than a tenth below what is wanted."""
    nearest = max(8, int(wanted + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * wanted else nearest
