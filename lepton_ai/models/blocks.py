"""What the convolutional families share: convolution with normalisation, heads, and the checks of their arguments."""

from typing import Any

from lepton_ai.core import ConfigError
from lepton_ai.layers import (
    Activation,
    BatchNormalization,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Dropout,
    GlobalAveragePooling2D,
    Input,
    SymbolicTensor,
)


def image_input(at: str, input_shape: tuple[int | None, ...], smallest: int) -> SymbolicTensor:
    """An `Input` for images `(H, W, C)`; None leaves a size free.

    Raises: ConfigError for another rank, or sides too small for the family.
    """
    if len(input_shape) != 3 or input_shape[2] is None:
        raise ConfigError(at=f"{at}.input_shape", got=input_shape, expected="(height, width, channels)")
    if any(side is not None and side < smallest for side in input_shape[:2]):
        raise ConfigError(at=f"{at}.input_shape", got=input_shape, expected=f"sides of {smallest} or more")
    return Input(input_shape, name="image")


def positive(at: str, **sizes: Any) -> None:
    """Raise a ConfigError for the first that is no positive int."""
    for name, value in sizes.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ConfigError(at=f"{at}.{name}", got=value, expected="a positive int")


def convolve(
    x: Any,
    filters: int,
    size: int | tuple[int, int],
    strides: int = 1,
    *,
    padding: str = "same",
    activation: str | None = "relu",
    momentum: float = 0.9,
    epsilon: float = 1e-5,
) -> Any:
    """Convolution without bias, batch normalisation, activation."""
    x = Conv2D(filters, size, strides, padding, use_bias=False, kernel_initializer="he_normal")(x)
    x = BatchNormalization(momentum=momentum, epsilon=epsilon)(x)
    return x if activation is None else Activation(activation)(x)


def depthwise(x: Any, strides: int = 1, *, activation: str = "relu6") -> Any:
    """Depthwise 3 by 3 convolution without bias, batch normalisation, activation."""
    x = DepthwiseConv2D(3, strides, "same", use_bias=False, depthwise_initializer="he_normal")(x)
    return Activation(activation)(BatchNormalization(momentum=0.9, epsilon=1e-3)(x))


def classify(x: Any, at: str, classes: int | None, dropout: float, activation: str | None) -> Any:
    """Global average, dropout and a dense layer; for `classes` None the average itself, as features."""
    x = GlobalAveragePooling2D()(x)
    if classes is None:
        return x
    positive(at, classes=classes)
    if dropout:
        x = Dropout(dropout)(x)
    return Dense(classes, activation=activation)(x)
