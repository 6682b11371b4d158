"""The dense layer."""

from typing import Any, Unpack

import torch.nn.functional as F
from torch import Tensor

from lepton_ai.core import ShapeError
from lepton_ai.layers.activations import Function, get_activation
from lepton_ai.layers.arguments import positive_int
from lepton_ai.layers.dtypes import as_float
from lepton_ai.layers.kernel import KernelLayer, KernelOptions
from lepton_ai.layers.shapes import Shape, show


class Dense(KernelLayer):
    """`activation(x @ kernel + bias)` on the last axis.

    Shapes: `(..., D)` in, `(..., units)` out; D is read from the first input. For the options see `KernelLayer`.

    Raises: ConfigError if `units` is not a positive int.

    Example:
        >>> import torch
        >>> Dense(10)(torch.ones(2, 4)).shape
        torch.Size([2, 10])
    """

    supports_masking = True
    min_ndim = 2
    fixed_axes = (-1,)
    keras_axes = {"weight": (1, 0)}

    def __init__(self, units: int, activation: str | Function | None = None, **options: Unpack[KernelOptions]) -> None:
        super().__init__(**options)
        self.units = positive_int("Dense.units", units, "Pass the width of the output, for example Dense(64).")
        self.activation = get_activation(activation)

    def build(self, input_shape: Any) -> None:
        width = input_shape[-1]
        if width is None:
            raise ShapeError(
                f"got an input of shape {show(input_shape)} whose last size is free",
                at=self.label,
                fix="Fix it, for example by Reshape or GlobalAveragePooling2D in front.",
            )
        self.add_kernel((self.units, width))
        self.add_bias((self.units,))

    def call(self, x: Tensor) -> Tensor:
        return self.activation(F.linear(as_float(x, self.weight), self.weight, self.bias))

    def compute_output_shape(self, input_shape: Any) -> Shape:
        return (*input_shape[:-1], self.units)
