"""Attention in several heads, between learnt projections."""

import abc
from typing import Any, Unpack

import torch
from torch import Tensor

from lepton_ai.core import ConfigError, ShapeError
from lepton_ai.layers.activations import Function
from lepton_ai.layers.arguments import fraction, positive_int, sizes
from lepton_ai.layers.attention import attend, both, causal_mask, check_parts, weights_of
from lepton_ai.layers.dense import Dense
from lepton_ai.layers.kernel import KernelLayer, KernelOptions
from lepton_ai.layers.masks import check_mask
from lepton_ai.layers.random import draws_for
from lepton_ai.layers.shapes import Shape, is_shape, show


class _Heads(Dense):
    """A projection into heads, or out of them. Keras keeps its kernel as (D, heads, size), or (heads, size, D)."""

    def __init__(
        self,
        units: int,
        heads: int,
        outwards: bool = False,
        activation: str | Function | None = None,
        **options: Unpack[KernelOptions],
    ) -> None:
        super().__init__(units, activation, **options)
        self.heads = heads
        self.outwards = outwards

    def _to_keras(self, name: str, value: Tensor) -> Tensor:
        if self.outwards:
            return value.view(len(value), self.heads, -1).permute(1, 2, 0) if name == "weight" else value
        value = value.view(self.heads, -1, *value.shape[1:])
        return value.permute(2, 0, 1) if name == "weight" else value

    def _from_keras(self, name: str, array: Tensor) -> Tensor:
        if self.outwards:
            return array.flatten(0, 1).T if name == "weight" else array
        return array.flatten(1).T if name == "weight" else array.flatten()


class HeadsOptions(KernelOptions, total=False):
    """What the constructors of attention in heads take besides their own arguments."""

    sliding_window: int | None
    use_gate: bool
    seed: int | None


class HeadsAttention(KernelLayer, abc.ABC):
    """The base of scaled dot-product attention in several heads.

    Args:
        dropout: share of the attention zeroed in training.
        sliding_window: attention goes to places fewer steps away than this only.
        use_gate: multiply what the heads bring by a learnt sigmoid of the query (Qiu et al., 2025, arXiv:2505.06708).

    The call takes `query_mask` `(B, T)`, `value_mask` and `key_mask` `(B, S)` (booleans, True for steps that count),
    `attention_mask` (boolean, `(B, T, S)` or what stretches to it, True where attention may go, also `(T, S)` or with
    heads, `(B, heads, T, S)`), `use_causal_mask` (only places up to the query's own) and `return_attention_scores`
    (then the answer is a pair with the scores `(B, heads, T, S)`). A query that may look nowhere gets attention 0.
    """

    ndim = 3
    supports_masking = True

    def __init__(
        self,
        dropout: float,
        *,
        sliding_window: int | None = None,
        use_gate: bool = False,
        seed: int | None = None,
        **options: Unpack[KernelOptions],
    ) -> None:
        super().__init__(**options)
        at = type(self).__name__
        self.dropout = fraction(f"{at}.dropout", dropout)
        self.sliding_window = None if sliding_window is None else positive_int(f"{at}.sliding_window", sliding_window)
        self.use_gate = use_gate
        self.seed = seed

    @property
    @abc.abstractmethod
    def heads(self) -> tuple[int, int]:
        """How many heads the queries have, and how many the keys and values."""

    @property
    @abc.abstractmethod
    def head_sizes(self) -> tuple[int, int]:
        """The sizes of each head's keys, and of its values."""

    def width(self, query: Shape) -> Any:
        """The output's last size."""
        return query[-1]

    # -- weights ----------------------------------------------------------------------------------------

    def build(self, input_shape: Any) -> None:
        query, key, value = self._split(input_shape)
        (heads, value_heads), (key_size, value_size) = self.heads, self.head_sizes
        self.query = self._projection("query", heads, key_size, query)
        self.key = self._projection("key", value_heads, key_size, key)
        if self.use_gate:
            self.gate = self._projection("gate", heads, value_size, query, "sigmoid")
        self.value = self._projection("value", value_heads, value_size, value)
        inside = (*query[:-1], heads * value_size)
        self.output = self._made(_Heads(self.width(query), heads, True, **self._options("output")), inside)

    def _projection(
        self, name: str, heads: int, size: int, input_shape: Shape, activation: str | None = None
    ) -> _Heads:
        layer = _Heads(heads * size, heads, activation=activation, **self._options(name))
        return self._made(layer, input_shape)

    def _options(self, name: str) -> KernelOptions:
        return {
            "name": name,
            "trainable": self.trainable,
            "use_bias": self.use_bias,
            "kernel_initializer": self.kernel_initializer,
            "bias_initializer": self.bias_initializer,
            "kernel_regularizer": self.kernel_regularizer,
            "bias_regularizer": self.bias_regularizer,
            "kernel_constraint": self.kernel_constraint,
            "bias_constraint": self.bias_constraint,
        }

    def _made(self, layer: _Heads, input_shape: Shape) -> _Heads:
        layer.path = f"{self.path}.{layer.name}"
        layer.ensure_built(input_shape)
        return layer

    # -- the call ---------------------------------------------------------------------------------------

    def forward(self, query: Any, value: Any = None, key: Any = None, **kwargs: Any) -> Any:
        """As `Layer.forward`; query, value and key may be given by name."""
        if value is None:
            raise ShapeError("got a query and no value", at=self.label, fix="For self-attention write attention(x, x).")
        return super().forward(query, value, *(() if key is None else (key,)), **kwargs)

    def call(
        self,
        query: Tensor,
        value: Tensor,
        key: Tensor | None = None,
        *,
        query_mask: Tensor | None = None,
        value_mask: Tensor | None = None,
        key_mask: Tensor | None = None,
        attention_mask: Tensor | None = None,
        use_causal_mask: bool = False,
        return_attention_scores: bool = False,
    ) -> Any:
        mask = self._mask(query, value, attention_mask, query_mask, value_mask, key_mask)
        queries = self._in_heads(self.query(query), self.heads[0])
        keys = self._in_heads(self.key(value if key is None else key), self.heads[1])
        values = self._in_heads(self.value(value), self.heads[1])
        gate = self.gate(query) if self.use_gate else None
        scale: float = self.head_sizes[0] ** -0.5
        dropping = self.training and self.dropout > 0
        if not return_attention_scores and not dropping:
            return self._join(attend(queries, keys, values, mask, use_causal_mask, scale), gate)
        causal = causal_mask(queries, keys) if use_causal_mask else None
        scores = weights_of(queries @ keys.transpose(-2, -1) * scale, both(mask, causal))
        attended = scores
        if dropping:
            keep = draws_for(self, query, self.seed).keep(tuple(scores.shape), self.dropout)
            attended = scores * keep * (1 / (1 - self.dropout))
        output = self._join(attended @ values, gate)
        return (output, scores) if return_attention_scores else output

    def _in_heads(self, x: Tensor, heads: int) -> Tensor:
        """(B, T, heads * size) to (B, heads, T, size), each head as often as queries share it."""
        split = x.view(*x.shape[:-1], heads, -1).transpose(1, 2)
        return split if heads == self.heads[0] else split.repeat_interleave(self.heads[0] // heads, 1)

    def _join(self, x: Tensor, gate: Tensor | None) -> Tensor:
        flat = x.transpose(1, 2).flatten(2)
        joined: Tensor = self.output(flat if gate is None else flat * gate)
        return joined

    def _mask(self, query: Tensor, value: Tensor, attention: Tensor | None, *steps: Tensor | None) -> Tensor | None:
        """All masks in one that stretches to (B, heads, T, S)."""
        wanted = (query.shape[0], self.heads[0], query.shape[1], value.shape[1])
        mask = None if attention is None else self._attention_mask(attention, wanted)
        if self.sliding_window is not None:
            rows = torch.arange(query.shape[1], device=query.device).unsqueeze(1)
            columns = torch.arange(value.shape[1], device=query.device)
            mask = both(mask, ((rows - columns).abs() < self.sliding_window)[None, None])
        for name, each, x, axis in zip(
            ("query_mask", "value_mask", "key_mask"), steps, (query, value, value), (-1, -2, -2), strict=True
        ):
            if each is not None:
                mask = both(mask, check_mask(each, x.shape, f"{self.label}.{name}").unsqueeze(axis).unsqueeze(1))
        return mask

    def _attention_mask(self, mask: Tensor, wanted: tuple[int, ...]) -> Tensor:
        sized = mask if mask.ndim == 4 else mask.unsqueeze(-3) if mask.ndim == 3 else mask[None, None]
        if mask.ndim not in (2, 3, 4) or any(
            got not in (1, size) for got, size in zip(sized.shape, wanted, strict=True)
        ):
            expected = show((wanted[0], *wanted[2:]))
            raise ShapeError(
                f"got an attention_mask of shape {show(tuple(mask.shape))}, expected {expected}", at=self.label
            )
        return sized.bool()

    # -- shapes -----------------------------------------------------------------------------------------

    def check_shape(self, input_shape: Any) -> None:
        super().check_shape(input_shape)
        check_parts(self.label, *self._split(input_shape))

    def _split(self, input_shape: Any) -> tuple[Shape, Shape, Shape]:
        """The shapes of query, key and value."""
        if is_shape(input_shape):
            raise ShapeError("got one input, expected a query and a value", at=self.label)
        query, value, *key = input_shape
        return query, key[0] if key else value, value

    def compute_output_shape(self, input_shape: Any) -> Shape:
        query = self._split(input_shape)[0]
        return (*query[:-1], self.width(query))

    def _symbolic_shape(self, input_shape: Any, kwargs: dict[str, Any]) -> Any:
        output = super()._symbolic_shape(input_shape, kwargs)
        if not kwargs.get("return_attention_scores"):
            return output
        query, _, value = self._split(input_shape)
        return output, (query[0], self.heads[0], query[1], value[1])


class MultiHeadAttention(HeadsAttention):
    """Scaled dot-product attention in several heads (Vaswani et al., 2017, arXiv:1706.03762).

    Shapes: query `(B, T, D)`, value `(B, S, V)` and key `(B, S, K)` (the value unless given) in; `(B, T, O)` out,
    where O is `output_shape`, or D. For masks and the other options see `HeadsAttention` and `KernelLayer`; the fans
    of the kernels are those of the maps from D to heads * size and back.

    Args:
        key_dim: size of each head's query and key.
        value_dim: size of each head's value; `key_dim` unless given.

    Raises: ConfigError for impossible sizes; ShapeError naming the layer.

    Example:
        >>> x = torch.ones(2, 5, 16)
        >>> MultiHeadAttention(num_heads=4, key_dim=8)(x, x, use_causal_mask=True).shape
        torch.Size([2, 5, 16])
    """

    def __init__(
        self,
        num_heads: int,
        key_dim: int,
        value_dim: int | None = None,
        dropout: float = 0.0,
        *,
        output_shape: int | tuple[int] | None = None,
        **options: Unpack[HeadsOptions],
    ) -> None:
        super().__init__(dropout, **options)
        self.num_heads = positive_int("MultiHeadAttention.num_heads", num_heads)
        self.key_dim = positive_int("MultiHeadAttention.key_dim", key_dim)
        self.value_dim = None if value_dim is None else positive_int("MultiHeadAttention.value_dim", value_dim)
        self.output_shape = None if output_shape is None else sizes("MultiHeadAttention.output_shape", output_shape, 1)

    @property
    def heads(self) -> tuple[int, int]:
        return self.num_heads, self.num_heads

    @property
    def head_sizes(self) -> tuple[int, int]:
        return self.key_dim, self.value_dim or self.key_dim

    def width(self, query: Shape) -> Any:
        return self.output_shape[0] if self.output_shape else query[-1]


class GroupQueryAttention(HeadsAttention):
    """Attention in which several query heads share one of keys and values (Ainslie et al., 2023, arXiv:2305.13245).

    Shapes: query `(B, T, D)`, value `(B, S, V)` and key `(B, S, K)` (the value unless given) in; `(B, T, D)` out. For
    masks and the other options see `HeadsAttention` and `KernelLayer`.

    Args:
        head_dim: size of each head.
        num_key_value_heads: a divisor of `num_query_heads`; 1 is multi-query attention.

    Raises: ConfigError for impossible sizes; ShapeError naming the layer.

    Example:
        >>> x = torch.ones(2, 5, 16)
        >>> GroupQueryAttention(8, num_query_heads=4, num_key_value_heads=2)(x, x).shape
        torch.Size([2, 5, 16])
    """

    def __init__(
        self,
        head_dim: int,
        num_query_heads: int,
        num_key_value_heads: int,
        dropout: float = 0.0,
        **options: Unpack[HeadsOptions],
    ) -> None:
        super().__init__(dropout, **options)
        at = "GroupQueryAttention"
        self.head_dim = positive_int(f"{at}.head_dim", head_dim)
        self.num_query_heads = positive_int(f"{at}.num_query_heads", num_query_heads)
        self.num_key_value_heads = positive_int(f"{at}.num_key_value_heads", num_key_value_heads)
        if num_query_heads % num_key_value_heads:
            raise ConfigError(
                at=f"{at}.num_key_value_heads",
                got=num_key_value_heads,
                expected=f"a divisor of num_query_heads={num_query_heads}",
            )

    @property
    def heads(self) -> tuple[int, int]:
        return self.num_query_heads, self.num_key_value_heads

    @property
    def head_sizes(self) -> tuple[int, int]:
        return self.head_dim, self.head_dim
