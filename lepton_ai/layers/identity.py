"""Nothing."""

from typing import Any

from lepton_ai.layers.layer import Layer
from lepton_ai.layers.shapes import Shape


class Identity(Layer):
    """What comes in goes out: to name a tensor, or to stand where a layer could.

    Example:
        >>> import torch
        >>> Identity()(torch.ones(2))
        tensor([1., 1.])
    """

    supports_masking = True

    def call(self, x: Any) -> Any:
        return x

    def compute_output_shape(self, input_shape: Any) -> Shape:
        return tuple(input_shape)
