"""Numbers of other kinds on their way into a layer."""

import torch
from torch import Tensor


def as_float(x: Tensor, like: Tensor | None = None) -> Tensor:
    """Integers and booleans as floats, of the dtype of `like` or float32; floats as they are."""
    if x.is_floating_point():
        return x
    return x.to(torch.float32 if like is None else like.dtype)
