"""Residual networks.

He, Zhang, Ren, Sun: Deep residual learning for image recognition, 2016.
"""

from typing import Any

from lepton_ai.core import ConfigError
from lepton_ai.layers import Activation, Add, BatchNormalization, Conv2D, MaxPooling2D
from lepton_ai.models.blocks import classify, convolve, image_input, positive
from lepton_ai.models.model import Model

_STAGES: dict[int, tuple[int, ...]] = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}
_LARGE = 96  # images with a side below this start without the stem that quarters them


def resnet(
    input_shape: tuple[int | None, ...] = (32, 32, 3),
    classes: int | None = 10,
    *,
    depth: int = 18,
    width: int | None = None,
    dropout: float = 0.0,
    classifier_activation: str | None = "softmax",
) -> Model:
    """A residual network for images `(H, W, C)` of floats near 0.

    Depths 18, 34, 50, 101 and 152 are those of ImageNet (four stages, bottlenecks from 50 on); `6n + 2`, as 20, 32, 44,
    56 and 110, are those of CIFAR (three stages of 16, 32 and 64 channels). Small images (a side below 96) enter by one
    3 by 3 convolution, large ones by a 7 by 7 with stride 2 and a pooling.

    Args:
        classes: None gives the features before the classifier.
        width: channels of the first stage: 64, or 16 for the depths of CIFAR, if not given.
        dropout: before the classifier.

    Raises: ConfigError for a depth that no such network has, or an input too small.

    Example:
        >>> model = resnet((32, 32, 3), 10, depth=20)
        >>> model.compute_output_shape((None, 32, 32, 3))
        (None, 10)
    """
    stages = _STAGES.get(depth)
    if stages is None:
        if isinstance(depth, bool) or not isinstance(depth, int) or depth < 8 or depth % 6 != 2:
            fix = f"Take one of {sorted(_STAGES)}, or 6n + 2, such as 20, 32 or 56."
            raise ConfigError(at="resnet.depth", got=depth, expected="a depth of the family", fix=fix)
        stages = ((depth - 2) // 6,) * 3
    width = width if width is not None else 64 if depth in _STAGES else 16
    positive("resnet", width=width)
    inputs = x = image_input("resnet", input_shape, 8)
    if depth in _STAGES and all(side is None or side >= _LARGE for side in input_shape[:2]):
        x = MaxPooling2D(3, 2, "same")(convolve(x, width, 7, 2))
    else:
        x = convolve(x, width, 3)
    bottleneck = depth in _STAGES and depth >= 50
    for number, blocks in enumerate(stages):
        for block in range(blocks):
            x = _block(x, width * 2**number, 2 if number and not block else 1, bottleneck=bottleneck)
    outputs = classify(x, "resnet", classes, dropout, classifier_activation)
    return Model(inputs, outputs, name=f"resnet{depth}")


def _block(x: Any, width: int, strides: int, *, bottleneck: bool) -> Any:
    """Two or three convolutions around which the input passes."""
    channels = width * 4 if bottleneck else width
    y = convolve(convolve(x, width, 1) if bottleneck else x, width, 3, strides)
    y = Conv2D(channels, 1 if bottleneck else 3, padding="same", use_bias=False, kernel_initializer="he_normal")(y)
    # Starting as the identity, the block disturbs no gradient at first (Goyal et al. 2017, section 5.1).
    y = BatchNormalization(momentum=0.9, epsilon=1e-5, gamma_initializer="zeros")(y)
    if strides > 1 or x.shape[-1] != channels:
        x = convolve(x, channels, 1, strides, activation=None)
    return Activation("relu")(Add()([x, y]))
