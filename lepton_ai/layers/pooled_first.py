"""Pooling before bias and ReLU: the largest of some ReLUs is the ReLU of the largest, which there are fewer of."""

from typing import Any

from torch import nn

from lepton_ai.layers.activation_layers import Activation, ReLU
from lepton_ai.layers.activations import relu
from lepton_ai.layers.conv import Conv
from lepton_ai.layers.pooling import MaxPooling


def pools_first(layer: nn.Module, following: nn.Module | None) -> bool:
    """Whether the ReLU in which `layer` ends may wait until `following`, of which its output is the only input, has
    pooled.

    Values and gradients are the same: where the largest is above 0 it is the largest before the ReLU, and at the same
    place; where it is not, all are 0 and no gradient goes through. The work on each element, and the memory for it, is
    a quarter for windows of 2 by 2. For layers of these very kinds: others may mean more by a call.
    """
    if not isinstance(following, MaxPooling) or max(following.strides) == 1:
        return False
    if isinstance(layer, Conv):
        return type(layer).call is Conv.call and layer.activation is relu
    if type(layer) is Activation:
        return layer.activation is relu
    plain = (None, 0.0, 0.0)
    return type(layer) is ReLU and (layer.max_value, layer.negative_slope, layer.threshold) == plain


def before_pooling(layer: Any, x: Any) -> Any:
    """What a layer of which `pools_first` is true gives to be pooled."""
    return layer(x, bare=True) if isinstance(layer, Conv) else x


def after_pooling(layer: Any, x: Any) -> Any:
    """What waited until it was pooled."""
    return layer.finish(x) if isinstance(layer, Conv) else layer(x)
