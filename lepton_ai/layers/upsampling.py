"""Series, images and volumes a whole number of times larger."""

from typing import Any, ClassVar, Unpack

import torch.nn.functional as F
from torch import Tensor

from lepton_ai.layers.arguments import channels_last, one_of, sizes
from lepton_ai.layers.dtypes import as_float
from lepton_ai.layers.layer import Layer, LayerOptions
from lepton_ai.layers.shapes import Shape
from lepton_ai.layers.windows import to_channels_first, to_channels_last


class UpSampling(Layer):
    """The base of layers that repeat cells along each axis."""

    rank: ClassVar[int]

    def __init__(self, size: int | tuple[int, ...], data_format: str | None, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self.size = sizes(f"{type(self).__name__}.size", size, self.rank)
        channels_last(f"{type(self).__name__}.data_format", data_format)
        self.data_format = data_format
        self.interpolation = "nearest"

    def call(self, x: Tensor) -> Tensor:
        factors = tuple(map(float, self.size))
        corners = None if self.interpolation == "nearest" else False
        x = to_channels_first(as_float(x))
        return to_channels_last(F.interpolate(x, scale_factor=factors, mode=self.interpolation, align_corners=corners))

    def compute_output_shape(self, input_shape: Any) -> Shape:
        spatial = (None if n is None else n * size for n, size in zip(input_shape[1:-1], self.size, strict=True))
        return (input_shape[0], *spatial, input_shape[-1])


class UpSampling1D(UpSampling):
    """Each step of a series `size` times.

    Shapes: `(B, T, C)` in, `(B, T * size, C)` out.

    Raises: ConfigError if `size` is not a positive int.

    Example:
        >>> import torch
        >>> UpSampling1D(2)(torch.tensor([[[1.0], [5.0]]])).flatten()
        tensor([1., 1., 5., 5.])
    """

    rank, ndim = 1, 3

    def __init__(self, size: int = 2, **options: Unpack[LayerOptions]) -> None:
        super().__init__(size, None, **options)


class UpSampling2D(UpSampling):
    """An image `size` times as high and wide.

    Shapes: `(B, H, W, C)` in, `(B, H * size, W * size, C)` out.

    Args:
        size: one number, or (height, width).
        interpolation: "nearest" repeats pixels, "bilinear" goes from one to the next in steps.

    Raises: ConfigError for impossible settings.

    Example:
        >>> import torch
        >>> UpSampling2D((2, 3), interpolation="bilinear")(torch.ones(1, 4, 4, 3)).shape
        torch.Size([1, 8, 12, 3])
    """

    rank, ndim = 2, 4

    def __init__(
        self,
        size: int | tuple[int, int] = (2, 2),
        data_format: str | None = None,
        interpolation: str = "nearest",
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(size, data_format, **options)
        self.interpolation = one_of("UpSampling2D.interpolation", interpolation, ("nearest", "bilinear"))


class UpSampling3D(UpSampling):
    """Each cell of a volume `size` times along each axis.

    Shapes: `(B, D, H, W, C)` in, `(B, D * size, H * size, W * size, C)` out.

    Args:
        size: one number, or one for each axis.

    Raises: ConfigError if a size is not a positive int.

    Example:
        >>> import torch
        >>> UpSampling3D((1, 2, 3))(torch.ones(1, 4, 4, 4, 3)).shape
        torch.Size([1, 4, 8, 12, 3])
    """

    rank, ndim = 3, 5

    def __init__(
        self,
        size: int | tuple[int, int, int] = (2, 2, 2),
        data_format: str | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(size, data_format, **options)
