"""U-Net.

Ronneberger, Fischer, Brox: U-Net: convolutional networks for biomedical image segmentation, 2015.
"""

from lepton_ai.core import ConfigError
from lepton_ai.layers import Activation, Concatenate, Conv2D, Conv2DTranspose, Dropout, MaxPooling2D
from lepton_ai.models.blocks import convolve, image_input, positive
from lepton_ai.models.model import Model


def unet(
    input_shape: tuple[int | None, ...] = (128, 128, 1),
    classes: int = 2,
    *,
    width: int = 64,
    depth: int = 4,
    dropout: float = 0.0,
    classifier_activation: str | None = "softmax",
) -> Model:
    """A class for each pixel: images `(H, W, C)` of floats near 0 in, `(H, W, classes)` out.

    The convolutions keep the image's size and are normalised, unlike those of 2015, so nothing has to be cropped.

    Args:
        input_shape: with sides that are multiples of `2**depth`, or free.
        classes: 1 for one mask, with `classifier_activation="sigmoid"`.
        width: channels at full size, doubled each time the image is halved.
        depth: how often the image is halved.
        dropout: at the coarsest level.

    Raises: ConfigError for sides that cannot be halved so often.

    Example:
        >>> unet((32, 32, 1), 3, width=8, depth=2).compute_output_shape((None, 32, 32, 1))
        (None, 32, 32, 3)
    """
    positive("unet", classes=classes, width=width, depth=depth)
    inputs = image_input("unet", input_shape, 2**depth)
    if any(side is not None and side % 2**depth for side in input_shape[:2]):
        fix = "Resize or pad the images, or lower depth."
        raise ConfigError(
            at="unet.input_shape", got=input_shape, expected=f"sides that are multiples of {2**depth}", fix=fix
        )
    x, passed = inputs, []
    for level in range(depth):
        x = convolve(convolve(x, width * 2**level, 3), width * 2**level, 3)
        passed.append(x)
        x = MaxPooling2D(2)(x)
    x = convolve(convolve(x, width * 2**depth, 3), width * 2**depth, 3)
    if dropout:
        x = Dropout(dropout)(x)
    for level in reversed(range(depth)):
        x = Conv2DTranspose(width * 2**level, 2, 2, kernel_initializer="he_normal")(x)
        x = Concatenate()([passed[level], x])
        x = convolve(convolve(x, width * 2**level, 3), width * 2**level, 3)
    outputs = Conv2D(classes, 1)(x)
    if classifier_activation is not None:
        outputs = Activation(classifier_activation)(outputs)
    return Model(inputs, outputs, name="unet")
