"""The layer that says which steps of a series count."""

from typing import Any, Unpack

from torch import Tensor

from lepton_ai.layers.dtypes import as_float
from lepton_ai.layers.layer import Layer, LayerOptions
from lepton_ai.layers.shapes import Shape


class Masking(Layer):
    """Steps whose numbers all equal `mask_value` do not count for the layers behind: they are padding, or gaps.

    Shapes: `(B, T, ..., D)` in, the same out, with 0 at the steps that do not count; the mask is `(B, T, ...)`.

    Example:
        >>> import torch
        >>> Masking(-1.0).compute_mask(torch.tensor([[[3.0], [0.0], [-1.0]]]))
        tensor([[ True,  True, False]])
    """

    supports_masking = True
    makes_mask = True
    min_ndim = 2

    def __init__(self, mask_value: float = 0.0, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self.mask_value = mask_value

    def call(self, x: Tensor) -> Tensor:
        # Not a product: what a masked step holds, be it infinite, may not come through.
        return as_float(x).masked_fill(~self.compute_mask(x).unsqueeze(-1), 0.0)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Tensor:
        """True for the steps of `inputs` with a number other than `mask_value`; a mask from before has no say."""
        counts: Tensor = (inputs != self.mask_value).any(-1)
        return counts

    def compute_output_shape(self, input_shape: Any) -> Shape:
        return tuple(input_shape)
