"""Inception, version 3.

Szegedy, Vanhoucke, Ioffe, Shlens, Wojna: Rethinking the Inception architecture for computer vision, 2016.
"""

from typing import Any

from lepton_ai.core import ConfigError
from lepton_ai.layers import AveragePooling2D, Concatenate, MaxPooling2D
from lepton_ai.models.blocks import classify, convolve, image_input
from lepton_ai.models.model import Model


def inception_v3(
    input_shape: tuple[int | None, ...] = (299, 299, 3),
    classes: int | None = 1000,
    *,
    alpha: float = 1.0,
    dropout: float = 0.0,
    classifier_activation: str | None = "softmax",
) -> Model:
    """Inception v3 for images `(H, W, C)` of floats near 0 with sides of 75 or more, without the auxiliary head.

    Args:
        classes: None gives the features before the classifier.
        alpha: factor of the channels of all convolutions.
        dropout: before the classifier.

    Raises: ConfigError for an alpha that is not positive, or an input too small.

    Example:
        >>> inception_v3((75, 75, 3), 4, alpha=0.1).compute_output_shape((None, 75, 75, 3))
        (None, 4)
    """
    if not alpha > 0:
        raise ConfigError(at="inception_v3.alpha", got=alpha, expected="a positive number")
    make = _Maker(alpha)
    inputs = image_input("inception_v3", input_shape, 75)
    x = make(inputs, (32, 3, 2, "valid"), (32, 3, 1, "valid"), (64, 3, 1, "same"))
    x = MaxPooling2D(3, 2)(x)
    x = MaxPooling2D(3, 2)(make(x, (80, 1, 1, "valid"), (192, 3, 1, "valid")))
    for pooled in (32, 64, 64):
        x = make.square(x, pooled)
    x = make.first_reduction(x)
    for width in (128, 160, 160, 192):
        x = make.factorised(x, width)
    x = make.second_reduction(x)
    for _ in range(2):
        x = make.wide(x)
    outputs = classify(x, "inception_v3", classes, dropout, classifier_activation)
    return Model(inputs, outputs, name="inception_v3")


class _Maker:
    """Makes the modules of the paper, all with the channels times `alpha`."""

    def __init__(self, alpha: float) -> None:
        self.alpha = alpha

    def __call__(self, x: Any, *steps: tuple[Any, ...]) -> Any:
        """Convolutions one after the other: (channels, size), or (channels, size, strides, padding)."""
        for channels, size, *rest in steps:
            strides, padding = rest or (1, "same")
            x = convolve(x, max(1, round(channels * self.alpha)), size, strides, padding=padding, epsilon=1e-3)
        return x

    def square(self, x: Any, pooled: int) -> Any:
        """Figure 5: 1 by 1, 5 by 5, two 3 by 3, and pooling, side by side."""
        pool = AveragePooling2D(3, 1, "same")(x)
        return _joined(
            self(x, (64, 1)),
            self(x, (48, 1), (64, 5)),
            self(x, (64, 1), (96, 3), (96, 3)),
            self(pool, (pooled, 1)),
        )

    def first_reduction(self, x: Any) -> Any:
        """Figure 10: halves the image, in parallel to a pooling."""
        return _joined(
            self(x, (384, 3, 2, "valid")),
            self(x, (64, 1), (96, 3), (96, 3, 2, "valid")),
            MaxPooling2D(3, 2)(x),
        )

    def factorised(self, x: Any, width: int) -> Any:
        """Figure 6: 7 by 7 as 1 by 7 and 7 by 1."""
        pool = AveragePooling2D(3, 1, "same")(x)
        return _joined(
            self(x, (192, 1)),
            self(x, (width, 1), (width, (1, 7)), (192, (7, 1))),
            self(x, (width, 1), (width, (7, 1)), (width, (1, 7)), (width, (7, 1)), (192, (1, 7))),
            self(pool, (192, 1)),
        )

    def second_reduction(self, x: Any) -> Any:
        """Halves the image once more."""
        return _joined(
            self(x, (192, 1), (320, 3, 2, "valid")),
            self(x, (192, 1), (192, (1, 7)), (192, (7, 1)), (192, 3, 2, "valid")),
            MaxPooling2D(3, 2)(x),
        )

    def wide(self, x: Any) -> Any:
        """Figure 7: for the coarsest grid, filters spread wide."""
        middle, deep = self(x, (384, 1)), self(x, (448, 1), (384, 3))
        pool = AveragePooling2D(3, 1, "same")(x)
        return _joined(
            self(x, (320, 1)),
            _joined(self(middle, (384, (1, 3))), self(middle, (384, (3, 1)))),
            _joined(self(deep, (384, (1, 3))), self(deep, (384, (3, 1)))),
            self(pool, (192, 1)),
        )


def _joined(*branches: Any) -> Any:
    return Concatenate()(list(branches))
