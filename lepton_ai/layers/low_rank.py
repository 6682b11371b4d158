"""Low-rank adapters: beside a kernel that stays as it is, the product of two thin matrices that trains.

Hu et al., 2021 (arXiv:2106.09685). A layer takes an adapter in place: it stays the object that models hold, under its
name, with its weights under theirs, and gets two more.
"""

import string
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lepton_ai.core import ConfigError
from lepton_ai.layers.arguments import positive_int
from lepton_ai.layers.conv import Conv
from lepton_ai.layers.dense import Dense
from lepton_ai.layers.dtypes import as_float
from lepton_ai.layers.einsum_dense import EinsumDense
from lepton_ai.layers.kernel import KernelLayer
from lepton_ai.layers.windows import to_channels_first, to_channels_last

# A mixin: only what it is mixed into is a layer that can be made and stored.
if TYPE_CHECKING:
    from lepton_ai.layers.kernel import KernelLayer as _Base
else:
    _Base = object

_OWN = ("adapter_down", "adapter_up")


class LowRank(_Base):
    """What a layer becomes whose kernel `(out, in, *window)` counts as `weight + adapter_alpha / adapter_rank *
    adapter_up @ adapter_down`, where `adapter_up` is `(out, rank)` and `adapter_down` `(rank, in, *window)`.

    The sum is never made: what comes in goes through both matrices beside the kernel, so that no gradient has the
    kernel's size.
    """

    adapts: type[KernelLayer]  # what the layer was
    adapter_rank: int
    adapter_alpha: float
    adapter_down: nn.Parameter
    adapter_up: nn.Parameter

    @property
    def adapter_scale(self) -> float:
        """What the product counts."""
        return self.adapter_alpha / self.adapter_rank

    def _to_keras(self, name: str, value: Tensor) -> Tensor:
        return value if name in _OWN else super()._to_keras(name, value)

    def _from_keras(self, name: str, array: Tensor) -> Tensor:
        return array if name in _OWN else super()._from_keras(name, array)


class _LowRankDense(LowRank, Dense):
    def call(self, x: Tensor) -> Tensor:
        x = as_float(x, self.weight)
        change = F.linear(F.linear(x, self.adapter_down), self.adapter_up)
        return self.activation(F.linear(x, self.weight, self.bias) + self.adapter_scale * change)


class _LowRankEinsumDense(LowRank, EinsumDense):
    def call(self, x: Tensor) -> Tensor:
        x = as_float(x, self.weight)
        y = torch.einsum(self.equation, x, self._to_keras("weight", self.weight))
        y = y + self.adapter_scale * self._change(x)
        return self.activation(y if self.bias is None else y + self.bias)

    def _change(self, x: Tensor) -> Tensor:
        # Letters of the kernel that the output has not are summed by the first matrix, the second brings the others.
        summed = [letter for letter in self._kernel if letter not in self._out]
        kept = [letter for letter in self._kernel if letter in self._out]
        rank = next(each for each in string.ascii_uppercase if each not in self.equation)
        dots = "..." if self._ellipsis else ""
        between = dots + "".join(letter for letter in self._in if letter not in summed) + rank
        down = self.adapter_down.view(-1, *self._stored[len(kept) :])
        up = self.adapter_up.view(*self._stored[: len(kept)], -1)
        x = torch.einsum(f"{dots}{self._in},{rank}{''.join(summed)}->{between}", x, down)
        return torch.einsum(f"{between},{''.join(kept)}{rank}->{dots}{self._out}", x, up)


class _LowRankConv(LowRank, Conv[Any]):
    def call(self, x: Tensor, bare: bool = False) -> Tensor:
        x = to_channels_first(as_float(x, self.weight))
        y = to_channels_last(self.convolve(x, self.early_bias(bare), 1))
        change = F.linear(to_channels_last(self.convolve(x, None, 1, self.adapter_down)), self.adapter_up)
        y = y + self.adapter_scale * change
        return y if bare else self.activation(y)


_KINDS: dict[type[KernelLayer], type[LowRank]] = {
    Dense: _LowRankDense,
    EinsumDense: _LowRankEinsumDense,
    Conv: _LowRankConv,
}

_made: dict[tuple[Any, Any], Any] = {}


def takes_adapter(layer: object) -> bool:
    """Whether a layer can have an adapter: a Dense, an EinsumDense, a projection of attention, or a convolution
    without groups, with weights and none yet. One that computes in its own way cannot."""
    return isinstance(layer, KernelLayer) and not isinstance(layer, LowRank) and _kind(layer) is not None


def add_adapter(layer: KernelLayer, rank: int, alpha: float) -> LowRank:
    """Give a layer an adapter, which changes nothing at first: `adapter_down` is drawn, `adapter_up` is zero.

    Raises: ConfigError for an impossible rank, or a layer that takes none.

    Example:
        >>> layer = Dense(8)
        >>> y = layer(torch.ones(2, 4))
        >>> _ = add_adapter(layer, rank=2, alpha=4.0)
        >>> bool((layer(torch.ones(2, 4)) == y).all()), tuple(layer.adapter_down.shape), tuple(layer.adapter_up.shape)
        (True, (2, 4), (8, 2))
    """
    positive_int("rank", rank)
    kind = _kind(layer)
    if kind is None or isinstance(layer, LowRank):
        raise ConfigError(f"{layer.label} takes no adapter", fix="See lepton_ai.layers.takes_adapter.")
    weight = layer.weight
    layer.__class__ = _adapted(kind, type(layer))
    assert isinstance(layer, LowRank)
    layer.adapter_rank, layer.adapter_alpha = rank, float(alpha)
    layer.add_weight("adapter_down", (rank, *weight.shape[1:]), "he_normal")
    layer.add_weight("adapter_up", (len(weight), rank), "zeros")
    for each in (layer.adapter_down, layer.adapter_up):
        each.data = each.data.to(weight)
        each.requires_grad_(True)
    return layer


def remove_adapter(layer: LowRank, *, merge: bool) -> None:
    """Let a layer be what it was, with the adapter's part in its kernel if `merge`."""
    if merge:
        with torch.no_grad():
            # In float64, so that what the sum costs is one rounding of the kernel.
            change = layer.adapter_up.double() @ layer.adapter_down.double().flatten(1)
            merged = layer.weight.double() + layer.adapter_scale * change.view(layer.weight.shape)
            layer.weight.copy_(merged)
    del layer.adapter_down, layer.adapter_up
    del layer.adapter_rank, layer.adapter_alpha
    layer.__class__ = layer.adapts  # type: ignore[assignment]


def _kind(layer: KernelLayer) -> type[LowRank] | None:
    call = type(layer).call
    if not layer.built or (isinstance(layer, Conv) and layer.groups > 1):
        return None
    return next((adapter for plain, adapter in _KINDS.items() if call is plain.call), None)


def _adapted(adapter: Any, plain: Any) -> Any:
    """The class of layers of class `plain` that have an adapter. Like them it is named, shown and stored: adapters
    are described beside the architecture, which they do not change."""
    if (adapter, plain) not in _made:
        made = type(plain)(f"_{plain.__name__}", (adapter, plain), {"adapts": plain, "__module__": plain.__module__})
        made.__name__, made.__qualname__ = plain.__name__, plain.__qualname__
        _made[adapter, plain] = made
    return _made[adapter, plain]
